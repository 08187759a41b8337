"""What a table is made of, and what that costs a start."""

from __future__ import annotations

import subprocess
import sys

import pytest
from sqlalchemy import create_mock_engine

from apiserver.models import causes


def test_the_postgresql_dialect_is_not_loaded_for_sqlite() -> None:
    script = "import sys, apiserver.server; print('sqlalchemy.dialects.postgresql' in sys.modules)"
    command = [sys.executable, "-c", script]
    assert subprocess.run(command, check=True, capture_output=True).stdout == b"False\n"


@pytest.mark.parametrize("url", ["sqlite://", "postgresql://"])
def test_the_index_of_what_is_deleted_is_narrow_in_both_databases(url: str) -> None:
    said: list[str] = []
    engine = create_mock_engine(
        url, lambda sql, *_, **__: said.append(str(sql.compile(dialect=engine.dialect)))
    )
    causes.create(engine, checkfirst=False)
    (index,) = (sql for sql in said if "cause_of_deleted" in sql)
    assert index.endswith("WHERE type = 'DELETED'")

"""The first tables: objects, their undo log, and the revision counter that orders both.

Revision ID: 0001
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "meta",
        sa.Column("k", sa.String(32), primary_key=True),
        sa.Column("v", sa.BigInteger, nullable=False),
    )
    op.execute("INSERT INTO meta (k, v) VALUES ('rv', 1), ('compact_rv', 0)")
    key = [sa.Column(name, sa.String(253), primary_key=True) for name in ("api_group", "resource", "ns", "name")]
    op.create_table(
        "object",
        *key,
        sa.Column("uid", sa.String(64), nullable=False),
        sa.Column("rv", sa.BigInteger, nullable=False),
        sa.Column("created_rv", sa.BigInteger, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "change",
        sa.Column("rv", sa.BigInteger, primary_key=True, autoincrement=False),
        *(sa.Column(name, sa.String(253), nullable=False) for name in ("api_group", "resource", "ns", "name")),
        sa.Column("type", sa.String(8), nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.Column("prev", sa.LargeBinary, nullable=True),
        sa.Column("prev_rv", sa.BigInteger, nullable=False),
    )
    op.create_index("change_by_key", "change", ["api_group", "resource", "ns", "name", "rv"])


def downgrade() -> None:
    op.drop_table("change")
    op.drop_table("object")
    op.drop_table("meta")

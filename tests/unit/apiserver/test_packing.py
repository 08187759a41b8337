"""Bodies in the log."""

from __future__ import annotations

import orjson
import pytest

from apiserver.packing import WORTH_BYTES, Packer, unpack

LONG = orjson.dumps({"kind": "Pod", "text": "again and " * 200})


def test_a_long_body_is_packed_and_a_short_one_left() -> None:
    packer = Packer()
    short = b'{"kind":"Lease"}'
    assert len(short) < WORTH_BYTES
    assert packer.pack(short) == short
    assert len(packer.pack(LONG)) < len(LONG) / 10


@pytest.mark.parametrize("body", [LONG, b'{"kind":"Lease"}'])
def test_what_was_packed_or_never_was_comes_back(body: bytes) -> None:
    for stored in (Packer().pack(body), memoryview(Packer().pack(body)), body, memoryview(body)):
        assert unpack(stored) == body  # type: ignore[arg-type]

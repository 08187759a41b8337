"""SPDY/3.1 without a connection: frames in, events and frames out."""

from __future__ import annotations

import struct
import zlib

import pytest

from podium.client import spdy


class Wire:
    """A server's session, and what it has sent."""

    def __init__(self) -> None:
        self.sent = b""
        self.session = spdy.Session(self._send)

    def _send(self, data: bytes) -> None:
        self.sent += data

    def feed(self, data: bytes) -> list[spdy.Event]:
        return list(self.session.feed(data))


def syn_stream(blocks: spdy.HeaderBlocks, stream: int, **headers: str) -> bytes:
    payload = struct.pack(">IIH", stream, 0, 0) + blocks.pack(headers)
    return spdy.control_frame(spdy.SYN_STREAM, payload)


def test_the_dictionary_is_the_protocols() -> None:
    assert len(spdy.DICTIONARY) == 1423
    assert zlib.adler32(spdy.DICTIONARY) == 0xE3C6A7C2


def test_header_blocks_are_one_stream() -> None:
    one, other = spdy.HeaderBlocks(), spdy.HeaderBlocks()
    first, second = one.pack({"streamtype": "error"}), one.pack({"streamtype": "data"})
    assert other.unpack(first) == {"streamtype": "error"}
    assert other.unpack(second) == {"streamtype": "data"}
    with pytest.raises(spdy.Gone):
        spdy.HeaderBlocks().unpack(second)


def test_a_stream_may_come_byte_by_byte() -> None:
    wire = Wire()
    frame = syn_stream(spdy.HeaderBlocks(), 1, streamtype="stdin")
    events = [event for byte in frame for event in wire.feed(bytes([byte]))]
    assert events == [spdy.Opened(1, {"streamtype": "stdin"}, False)]


def test_data_is_told_of_as_it_comes_and_its_end_once() -> None:
    wire = Wire()
    frame = spdy.data_frame(3, b"hello", spdy.FIN)
    assert wire.feed(frame[:10]) == [spdy.Data(3, b"he", False)]
    assert wire.feed(frame[10:]) == [spdy.Data(3, b"llo", True)]
    assert wire.feed(spdy.data_frame(5, b"", spdy.FIN)) == [spdy.Data(5, b"", True)]


def test_pings_of_the_client_are_sent_back_and_no_others() -> None:
    wire = Wire()
    ping = spdy.control_frame(spdy.PING, struct.pack(">I", 7))
    wire.feed(ping + spdy.control_frame(spdy.PING, struct.pack(">I", 8)))
    assert wire.sent == ping


def test_what_is_consumed_is_given_back_to_the_stream_and_to_all() -> None:
    wire = Wire()
    wire.session.consumed(3, 100)
    wire.session.consumed(3, 0)
    updates = [struct.pack(">II", stream, 100) for stream in (3, 0)]
    assert wire.sent == b"".join(spdy.control_frame(spdy.WINDOW_UPDATE, u) for u in updates)


def test_settings_and_windows_of_the_client_change_nothing() -> None:
    wire = Wire()
    settings = spdy.control_frame(spdy.SETTINGS, struct.pack(">III", 1, 7, 1 << 20))
    window = spdy.control_frame(spdy.WINDOW_UPDATE, struct.pack(">II", 1, 10))
    assert wire.feed(settings + window) == []
    assert wire.sent == b""


def test_a_reset_names_its_stream() -> None:
    frame = spdy.control_frame(spdy.RST_STREAM, struct.pack(">II", 5, 5))
    assert Wire().feed(frame) == [spdy.Reset(5)]


@pytest.mark.parametrize(
    "data",
    [
        b"\x80\x02\x00\x01\x00\x00\x00\x00",
        spdy.control_frame(spdy.GOAWAY, struct.pack(">II", 0, 0)),
        spdy.control_frame(spdy.RST_STREAM, b""),
        spdy.control_frame(spdy.SYN_STREAM, struct.pack(">IIH", 1, 0, 0) + b"no zlib"),
    ],
    ids=["spdy/2", "goaway", "too short", "no zlib"],
)
def test_what_is_no_spdy_or_goes_away_ends_the_session(data: bytes) -> None:
    with pytest.raises(spdy.Gone):
        Wire().feed(data)


def test_headers_that_unpack_to_a_flood_end_the_session() -> None:
    bomb = syn_stream(spdy.HeaderBlocks(), 1, streamtype="x" * (1 << 20))
    assert len(bomb) < spdy.MAX_CONTROL_BYTES
    with pytest.raises(spdy.Gone, match="too large"):
        Wire().feed(bomb)

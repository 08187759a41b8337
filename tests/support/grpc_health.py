"""A gRPC health server, run as a script inside a container: `grpc_health.py PORT FILE`.

It serves while FILE exists. Only h2 and the standard library, so that the host's Python can run it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import struct
import sys
from collections.abc import Callable

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import DataReceived, RequestReceived, StreamEnded

SERVING, NOT_SERVING = 1, 2
CHECK = "/grpc.health.v1.Health/Check"


def a_frame(status: int) -> bytes:
    message = bytes([8, status]) if status else b""
    return struct.pack(">BI", 0, len(message)) + message


async def serve_one(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, is_serving: Callable[[str], bool]
) -> None:
    """One connection; `is_serving` is asked with the name of the service."""
    connection = H2Connection(H2Configuration(client_side=False, header_encoding="utf-8"))
    connection.initiate_connection()
    asked, path = b"", ""
    with contextlib.suppress(ConnectionResetError):
        while data := await reader.read(4096):
            for event in connection.receive_data(data):
                match event:
                    case RequestReceived():
                        path = dict(event.headers)[":path"]
                    case DataReceived():
                        asked += event.data
                    case StreamEnded(stream_id=stream):
                        is_ok = path == CHECK and is_serving(asked[7:].decode())
                        connection.send_headers(stream, [(":status", "200")])
                        connection.send_data(stream, a_frame(SERVING if is_ok else NOT_SERVING))
                        connection.send_headers(stream, [("grpc-status", "0")], end_stream=True)
            writer.write(connection.data_to_send())
    writer.transport.abort()
    with contextlib.suppress(OSError):
        await writer.wait_closed()


async def main(port: int, path: str) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await serve_one(reader, writer, lambda _service: os.path.exists(path))

    async with await asyncio.start_server(serve, None, port) as server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), sys.argv[2]))

"""Room podium/client: sends a process' spans to the API server, in batches, in the background.

    sender = SpanSender(client, "kubelet node-1")
    sender.start()               # from now on tracing's spans go here

Telling a span puts it into a bounded queue and returns. When the server is away they wait; when
there is no room they are dropped, and counted: the work they tell of never waits for them.
"""

from __future__ import annotations

import logging
import threading
from collections import deque

import orjson

from podium.api.trace_context import SPANS
from podium.client import tracing
from podium.client.errors import ApiError, ClientError
from podium.client.http import Client
from podium.client.tracing import SpanRecord

MAX_WAITING = 5000  # about a kilobyte each
BATCH = 500
GATHER_S = 0.5  # after the first, so that a burst is a few batches
RETRY_S = 1.0
STOP_TIMEOUT_S = 2.0

_log = logging.getLogger("spans")


class SpanSender:
    """One per process."""

    def __init__(self, client: Client, component: str) -> None:
        self.dropped = 0
        self._client = client.with_patience(0)
        self._component = component
        self._waiting: deque[SpanRecord] = deque()
        self._has_some = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="spans", daemon=True)

    def start(self) -> None:
        if not tracing.is_on():
            return
        tracing.send_to(self.put)
        self._thread.start()

    def stop(self) -> None:
        """Send what waits, within two seconds, and end. Safe to repeat."""
        tracing.send_to(None)
        self._stopping.set()
        self._has_some.set()
        if self._thread.ident is not None:
            self._thread.join(STOP_TIMEOUT_S)

    def put(self, record: SpanRecord) -> None:
        """From any thread; never blocks."""
        if len(self._waiting) >= MAX_WAITING:
            self.dropped += 1
            return
        self._waiting.append(record)
        self._has_some.set()

    def _run(self) -> None:
        while True:
            self._has_some.wait()
            self._has_some.clear()
            self._stopping.wait(GATHER_S)
            while self._waiting:
                if not self._send() and self._pause():
                    return
            if self._stopping.is_set():
                return

    def _pause(self) -> bool:
        """Wait for the server; True when it is time to end."""
        return self._stopping.wait(RETRY_S)

    def _send(self) -> bool:
        """One batch; False if it must be sent again."""
        batch = [self._waiting[i] for i in range(min(BATCH, len(self._waiting)))]
        body = {"component": self._component, "dropped": self.dropped, "spans": batch}
        try:
            self._client.raw("POST", SPANS, body=orjson.dumps(body))
        except ApiError as error:
            if error.code >= 500 or error.code == 429:
                return False
            self.dropped += len(batch)  # refused: asking again will not help
            _log.debug("%d spans refused: %s", len(batch), error)
        except ClientError:
            return False
        for _ in batch:
            self._waiting.popleft()
        return True

"""Browsers on the page, without the drawing: a process of its own that logs in, gets the page and
its files, holds its feed open and asks for what the picture asks for, as often as it does.

    python -m bench.browsers KUBECONFIG COUNT

Prints "ready" once all are shown a snapshot, ends when its standard input does, and then prints
{"messages", "bytes", "asked"} as one JSON line.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import re
import ssl
import sys
import threading
from pathlib import Path
from typing import Any

from podium.client.config import ClientConfig, load_kubeconfig, ssl_context

ASKS = ("/apis/metrics.k8s.io/v1beta1/nodes", "/podium/v1/timeline?size=400")
EVERY_S = 5.0  # cluster/usage.js, cluster/time_slider.js
TIMEOUT_S = 60


class Browser(threading.Thread):
    """One tab on the cluster's picture."""

    def __init__(self, config: ClientConfig, link: str) -> None:
        super().__init__(daemon=True)
        self._config = config
        self._context = ssl.create_default_context(cadata=(config.ca or b"").decode())
        self._cookie = self._login(link)
        self.is_shown = threading.Event()
        self.messages = self.bytes = self.asked = 0

    def _connect(self) -> http.client.HTTPSConnection:
        host, port = self._config.address
        return http.client.HTTPSConnection(host, port, context=self._context, timeout=TIMEOUT_S)

    def _login(self, link: str) -> str:
        connection = self._connect()
        connection.request("GET", "/" + link.split("/", 3)[3])
        answer = connection.getresponse()
        answer.read()
        connection.close()
        return str(answer.headers["Set-Cookie"]).split(";")[0]

    def get(self, connection: http.client.HTTPSConnection, path: str) -> bytes:
        connection.request("GET", path, headers={"Cookie": self._cookie})
        return connection.getresponse().read()

    def run(self) -> None:
        connection = self._connect()
        page = self.get(connection, "/ui/").decode()
        for path in sorted(set(re.findall(r'(?:src|href)="(/ui/static/[^"]+)"', page))):
            self.get(connection, path)
        threading.Thread(target=self._ask, args=(connection,), daemon=True).start()
        stream = self._connect()
        stream.request("GET", "/ui/feed", headers={"Cookie": self._cookie})
        answer = stream.getresponse()
        while line := answer.readline():
            self.bytes += len(line)
            if line.startswith(b"data:"):
                self.messages += 1
                self.is_shown.set()

    def _ask(self, connection: http.client.HTTPSConnection) -> None:
        pause = threading.Event()
        while True:
            for path in ASKS:
                self.get(connection, path)
                self.asked += 1
            pause.wait(EVERY_S)


def links(config: ClientConfig, count: int) -> list[str]:
    """One-time login links, as `podium ui` gets them."""
    host, port = config.address
    connection = http.client.HTTPSConnection(host, port, context=ssl_context(config))
    found = []
    for _ in range(count):
        connection.request("POST", "/ui/login-links", body=b"{}")
        found.append(str(json.loads(connection.getresponse().read())["url"]))
    connection.close()
    return found


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.browsers", description=__doc__)
    parser.add_argument("kubeconfig", type=Path)
    parser.add_argument("count", type=int)
    args = parser.parse_args()
    os.nice(19)  # a class has machines of its own: it shall not take this one's time
    config = load_kubeconfig(args.kubeconfig)
    browsers = [Browser(config, link) for link in links(config, args.count)]
    for browser in browsers:
        browser.start()
    if not all(browser.is_shown.wait(TIMEOUT_S) for browser in browsers):
        print("a browser was shown nothing", file=sys.stderr)
        return 1
    print("ready", flush=True)
    sys.stdin.read()
    told: dict[str, Any] = {
        name: sum(getattr(browser, name) for browser in browsers)
        for name in ("messages", "bytes", "asked")
    }
    print(json.dumps(told))
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""One API server: database, store, watches and the web server, put together and taken apart.

Room apiserver; used by __main__.py and by tests. Runs in the thread that calls it (gevent's hub).
"""

from __future__ import annotations

from apiserver.cluster_file import ServerConfig
from apiserver.database import open_database
from apiserver.default_objects import create_default_objects
from apiserver.http_server import HttpServer, server_context
from apiserver.routes import create_app
from apiserver.storage import Store
from apiserver.verbs import Verbs
from apiserver.watch import WatchHub


class ApiServer:
    """`start()` serves; `stop()` answers what is under way, then closes the database."""

    def __init__(self, config: ServerConfig) -> None:
        self.hub = WatchHub()
        self.store = Store(open_database(config.database), self.hub.publish)
        self.hub.begin(self.store.revisions()[0])
        self.verbs = Verbs(self.store, self.hub)
        pki = config.pki
        context = server_context(
            str(pki / "apiserver.crt"), str(pki / "apiserver.key"), str(pki / "ca.crt")
        )
        self.http = HttpServer(config.host, config.port, create_app(self.verbs), context)

    @property
    def port(self) -> int:
        return int(self.http.port)

    def start(self) -> None:
        self.store.start()
        create_default_objects(self.store)
        self.http.start()

    def stop(self) -> None:
        self.hub.end()
        self.http.stop()
        self.store.stop()

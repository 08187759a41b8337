"""One API server: database, store, watches and the web server, put together and taken apart.

Room apiserver; used by __main__.py and by tests. Runs in the thread that makes it (gevent's hub).
"""

from __future__ import annotations

from apiserver.authentication import Authenticator
from apiserver.clock_jobs import ClockJobs
from apiserver.cluster_file import ServerConfig
from apiserver.database import hold_database, open_database
from apiserver.default_objects import create_default_objects
from apiserver.fault_lab import FaultLab
from apiserver.http_server import HttpServer, server_context
from apiserver.kubelet_proxy import KubeletProxy
from apiserver.metrics import Metrics
from apiserver.resource_metrics import ResourceMetrics
from apiserver.routes import Rooms, create_app
from apiserver.service_account_tokens import ServiceAccountTokens
from apiserver.sessions import Sessions
from apiserver.span_log import SpanLog
from apiserver.storage import Store
from apiserver.subresources import Subresources
from apiserver.token_signer import TokenSigner
from apiserver.verbs import Verbs
from apiserver.watch import WatchHub


class ApiServer:
    """`start()` serves; `stop()` answers what is under way, then closes the database."""

    def __init__(self, config: ServerConfig) -> None:
        self._hold = hold_database(config.database)
        self.hub = WatchHub()
        self.store = Store(open_database(config.database), self.hub.publish)
        self.hub.begin(self.store.revisions()[0])
        self.verbs = Verbs(self.store, self.hub)
        pki = config.pki
        tokens = ServiceAccountTokens(self.store, TokenSigner(pki / "sa.key"))
        self.faults = FaultLab(self.verbs, pki.parent if config.is_lab else None)
        kubelets = KubeletProxy(self.verbs, pki, self.faults.check_node)
        rooms = Rooms(
            verbs=self.verbs,
            subresources=Subresources(self.verbs, tokens),
            kubelets=kubelets,
            resource_metrics=ResourceMetrics(self.verbs, kubelets),
            authenticator=Authenticator(Sessions((pki / "apiserver.key").read_bytes()), tokens),
            metrics=Metrics(),
            faults=self.faults,
            spans=SpanLog(self.store),
            config=config,
        )
        context = server_context(
            str(pki / "apiserver.crt"), str(pki / "apiserver.key"), str(pki / "ca.crt")
        )
        self.http = HttpServer(config.host, config.port, create_app(rooms), context)
        self.clock_jobs = ClockJobs(self.store, config.history)

    @property
    def port(self) -> int:
        return int(self.http.port)

    def start(self) -> None:
        self.store.start()
        create_default_objects(self.store)
        self.clock_jobs.start()
        self.faults.start()
        self.http.start()

    def stop(self) -> None:
        self.clock_jobs.stop()
        self.faults.stop()
        self.hub.end()
        self.http.stop()
        self.store.stop()
        if self._hold is not None:
            self._hold.close()

"""Liveness, readiness and startup probes. Room kubelet; `prober.py` is the door.

plan.py         what a probe wants, and what its answers add up to: pure
handlers.py     one try of each kind, and the words for what went wrong
http_probe.py   an HTTP GET as the kubelet makes it
grpc_probe.py   grpc.health.v1 over HTTP/2, with h2
prober.py       when to try, whom to tell
"""

from kubelet.probes.plan import Verdict
from kubelet.probes.prober import Answered, Prober

__all__ = ["Answered", "Prober", "Verdict"]

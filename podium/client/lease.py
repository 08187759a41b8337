"""Room podium/client: who leads, by a Lease (coordination.k8s.io/v1).

Called from whatever runs by the clock (controllers/manager.py): `try_lead()` every few seconds. The
identity is the same after a restart, so that a killed leader's successor resumes its lease at once;
another identity must see the lease unchanged for its whole duration first. Clocks of different
machines are never compared: only how long *we* have seen no renewal counts.
"""

from __future__ import annotations

from typing import Any

from podium.api import meta
from podium.client.clock import Clock, SystemClock
from podium.client.errors import AlreadyExists, ClientError, Conflict, NotFound
from podium.client.http import Client

LEASES = "leases.coordination.k8s.io"


class Lease:
    """One candidate's view of one lease. Not thread-safe."""

    def __init__(
        self,
        client: Client,
        name: str,
        identity: str,
        *,
        namespace: str = "kube-system",
        duration_s: int = 15,
        clock: Clock | None = None,
    ) -> None:
        self.identity = identity
        self.duration_s = duration_s
        self._client = client
        self._name, self._namespace = name, namespace
        self._clock = clock or SystemClock()
        self._observed: dict[str, Any] | None = None
        self._observed_at = 0.0  # monotonic
        self._renewed_at: float | None = None  # None: we do not hold it

    @property
    def is_held(self) -> bool:
        """Whether we lead; false once we have failed to renew for the whole duration."""
        if self._renewed_at is None:
            return False
        return self._clock.monotonic() - self._renewed_at < self.duration_s

    @property
    def holder(self) -> str:
        """Who holds it, as last seen; "" for nobody."""
        return str(((self._observed or {}).get("spec") or {}).get("holderIdentity") or "")

    def try_lead(self) -> bool:
        """Take or renew the lease; False if another holds it. Raises ClientError."""
        started = self._clock.monotonic()
        is_ours = False
        for _ in range(2):  # a second look, if somebody has written since the first
            try:
                is_ours = self._write(started) is not None
                break
            except (Conflict, AlreadyExists):
                self._renewed_at = None
        self._renewed_at = started if is_ours else None
        return is_ours

    def release(self) -> None:
        """Let another lead at once. Safe to repeat, and whether or not we hold it."""
        if not self.is_held or self._observed is None:
            return
        self._renewed_at = None
        spec = {**self._observed["spec"], "holderIdentity": "", "leaseDurationSeconds": 1}
        try:
            self._client.update(LEASES, {**self._observed, "spec": spec})
        except ClientError:
            return  # it will run out by itself

    def _write(self, started: float) -> dict[str, Any] | None:
        lease = self._observed if self._renewed_at is not None else None
        if lease is None:
            lease = self._read()
        if lease is None:
            made = self._client.create(LEASES, self._new())
            self._remember(made, started)
            return made
        if not self._may_take(lease):
            return None
        written = self._client.update(LEASES, self._taken(lease))
        self._remember(written, started)
        return written

    def _read(self) -> dict[str, Any] | None:
        try:
            lease = self._client.get(LEASES, self._name, self._namespace)
        except NotFound:
            return None
        version = lease["metadata"]["resourceVersion"]
        if self._observed is None or self._observed["metadata"]["resourceVersion"] != version:
            self._remember(lease, self._clock.monotonic())
        return lease

    def _remember(self, lease: dict[str, Any], moment: float) -> None:
        self._observed, self._observed_at = lease, moment

    def _may_take(self, lease: dict[str, Any]) -> bool:
        spec = lease.get("spec") or {}
        holder = spec.get("holderIdentity")
        if not holder or holder == self.identity:
            return True
        seen_for_s = self._clock.monotonic() - self._observed_at
        return seen_for_s >= (spec.get("leaseDurationSeconds") or self.duration_s)

    def _new(self) -> dict[str, Any]:
        now = meta.now_micro(self._clock.now())
        return {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"name": self._name, "namespace": self._namespace},
            "spec": {
                "holderIdentity": self.identity,
                "leaseDurationSeconds": self.duration_s,
                "acquireTime": now,
                "renewTime": now,
                "leaseTransitions": 0,
            },
        }

    def _taken(self, lease: dict[str, Any]) -> dict[str, Any]:
        now = meta.now_micro(self._clock.now())
        spec = dict(lease.get("spec") or {})
        if spec.get("holderIdentity") != self.identity:
            spec["acquireTime"] = now
            spec["leaseTransitions"] = (spec.get("leaseTransitions") or 0) + 1
        spec |= {
            "holderIdentity": self.identity,
            "leaseDurationSeconds": self.duration_s,
            "renewTime": now,
        }
        return {**lease, "spec": spec}

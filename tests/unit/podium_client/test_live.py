"""The client, informer, lease and recorder against the real API server, which dies at times."""

from __future__ import annotations

import itertools
import time
from typing import Any, cast

import pytest

from podium.client import event_recorder
from podium.client.errors import AlreadyExists, Conflict, Gone, Invalid, NotFound
from podium.client.event_recorder import EventRecorder
from podium.client.http import Client
from podium.client.informer import InformerFactory
from podium.client.lease import Lease
from tests.support.api_server import ApiServerProcess
from tests.support.builders import a_namespace, a_pod, unstored
from tests.support.fake_clock import FakeClock
from tests.support.waiting import eventually

_numbers = itertools.count(1)


@pytest.fixture
def ns(api_server: ApiServerProcess) -> str:
    name = f"live-{next(_numbers)}"
    api_server.client().create("namespaces", unstored(a_namespace(name)))
    return name


def test_what_is_created_can_be_read_changed_and_deleted(
    api_server: ApiServerProcess, ns: str
) -> None:
    client = api_server.client()
    made = client.create("pods", unstored(a_pod("web", ns)))
    with pytest.raises(AlreadyExists, match='pods "web" already exists'):
        client.create("pods", unstored(a_pod("web", ns)))
    client.patch("pods", "web", ns, {"metadata": {"labels": {"tier": "one"}}})
    with pytest.raises(Conflict):
        client.update("pods", made)
    assert (
        client.list("pods", ns, label_selector="tier=one")["items"][0]["metadata"]["name"] == "web"
    )
    client.delete("pods", "web", ns, grace_s=0)
    with pytest.raises(NotFound, match='pods "web" not found'):
        client.get("pods", "web", ns)


def test_every_cause_of_an_invalid_object_is_told(api_server: ApiServerProcess, ns: str) -> None:
    bad = unstored(a_pod("web", ns))
    bad["spec"] = {"containers": [{"name": "A B", "image": ""}]}
    with pytest.raises(Invalid) as caught:
        api_server.client().create("pods", bad)
    assert len(caught.value.details["causes"]) >= 2


def test_a_watch_from_a_version_gives_what_came_after_it(
    api_server: ApiServerProcess, ns: str
) -> None:
    client = api_server.client()
    rv = client.list("pods", ns)["metadata"]["resourceVersion"]
    client.create("pods", unstored(a_pod("web", ns)))
    with client.watch("pods", ns, resource_version=rv) as watch:
        event = next(watch)
    assert (event.type, event.object["metadata"]["name"]) == ("ADDED", "web")


def test_a_malformed_continue_token_is_refused(api_server: ApiServerProcess, ns: str) -> None:
    with pytest.raises((Gone, Exception), match="continue"):
        api_server.client().list("pods", ns, limit=1, continue_="nonsense")


def test_an_informer_survives_kill_9_of_the_server_and_misses_nothing(
    api_server: ApiServerProcess, ns: str
) -> None:
    client = api_server.client()
    factory = InformerFactory(api_server.client())
    pods = factory.informer("pods", namespace=ns)
    told: list[str] = []
    pods.add_handler(
        lambda new: told.append(f"+{new['metadata']['name']}"),
        None,
        lambda old: told.append(f"-{old['metadata']['name']}"),
    )
    factory.start()
    assert factory.wait_synced(10)
    client.create("pods", unstored(a_pod("before", ns)))
    eventually(lambda: told == ["+before"])
    api_server.kill()
    api_server.start()
    back = time.monotonic()
    client.delete("pods", "before", ns, grace_s=0)
    client.create("pods", unstored(a_pod("after", ns)))
    eventually(lambda: told == ["+before", "-before", "+after"])
    assert time.monotonic() - back < 5
    factory.stop()


def test_a_killed_leader_resumes_its_own_lease_and_another_waits(
    api_server: ApiServerProcess, ns: str
) -> None:
    clock, client = FakeClock(), api_server.client()

    def candidate(identity: str) -> Lease:
        return Lease(client, "leader", identity, namespace=ns, duration_s=15, clock=clock)

    assert candidate("a").try_lead()
    assert candidate("a").try_lead()  # after kill -9: same identity, at once
    rival = candidate("b")
    assert not rival.try_lead()
    clock.step(14)
    assert not rival.try_lead()
    clock.step(2)
    assert rival.try_lead()
    lease = client.get("leases", "leader", ns)
    assert lease["spec"]["holderIdentity"] == "b"
    assert lease["spec"]["leaseTransitions"] == 1


def test_a_lease_that_is_released_is_free_at_once(api_server: ApiServerProcess, ns: str) -> None:
    first = Lease(api_server.client(), "leader", "a", namespace=ns)
    second = Lease(api_server.client(), "leader", "b", namespace=ns)
    assert first.try_lead()
    assert not second.try_lead()
    first.release()
    assert not first.is_held
    assert second.try_lead()


def test_a_lease_that_somebody_else_has_written_to_is_still_renewed(
    api_server: ApiServerProcess, ns: str
) -> None:
    client = api_server.client()
    lease = Lease(client, "leader", "a", namespace=ns)
    assert lease.try_lead()
    client.patch("leases", "leader", ns, {"metadata": {"labels": {"x": "y"}}})
    assert lease.try_lead()
    assert lease.is_held


def events_of(api_server: ApiServerProcess, ns: str) -> list[dict[str, Any]]:
    return list(api_server.client().list("events", ns)["items"])


def test_the_same_event_again_raises_its_count(api_server: ApiServerProcess, ns: str) -> None:
    recorder = EventRecorder(api_server.client(), "tester", "host-1")
    pod = a_pod("web", ns)
    for _ in range(3):
        recorder.event(pod, "Warning", "BackOff", "it fell", field_path="spec.containers{main}")
        eventually(lambda: not recorder._waiting)
    recorder.stop()
    (event,) = events_of(api_server, ns)
    assert (event["count"], event["type"], event["message"]) == (3, "Warning", "it fell")
    assert event["involvedObject"]["fieldPath"] == "spec.containers{main}"
    assert event["source"] == {"component": "tester", "host": "host-1"}


def test_many_similar_events_are_combined_and_a_flood_is_cut_off(
    api_server: ApiServerProcess, ns: str
) -> None:
    recorder = EventRecorder(api_server.client(), "tester")
    pod = a_pod("web", ns)
    for number in range(40):
        recorder.event(pod, "Normal", "Created", f"made {number}")
    recorder.stop()
    events = events_of(api_server, ns)
    assert len(events) == 11
    (combined,) = [e for e in events if e["message"].startswith("(combined from similar events)")]
    assert combined["count"] == 15
    assert recorder.dropped == 15


class SlowClient:
    """Takes its time to write, and remembers when it began and ended."""

    def __init__(self) -> None:
        self.written: list[tuple[float, float]] = []

    def create(self, _resource: str, obj: dict[str, Any], _namespace: str) -> dict[str, Any]:
        began = time.monotonic()
        time.sleep(0.03)
        self.written.append((began, time.monotonic()))
        return obj


def test_a_slow_server_is_left_in_peace_between_events() -> None:
    client = SlowClient()
    recorder = EventRecorder(cast(Client, client), "tester")
    for number in range(4):
        recorder.event(a_pod(f"web-{number}", "default"), "Normal", "Created", "made")
    eventually(lambda: len(client.written) == 4)
    recorder.stop()
    for before, after in itertools.pairwise(client.written):
        assert after[0] - before[1] >= event_recorder.PAUSE * 0.03


def test_an_event_is_written_when_the_server_is_back(
    api_server: ApiServerProcess, ns: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_recorder, "TRIES", 1000)  # a busy machine starts a server slowly
    recorder = EventRecorder(api_server.client(patience_s=0), "tester")
    api_server.kill()
    recorder.event(a_pod("web", ns), "Normal", "Created", "made")
    api_server.start()
    eventually(lambda: len(events_of(api_server, ns)) == 1)
    recorder.stop()

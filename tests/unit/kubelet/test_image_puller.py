"""What a Pod is told while it waits for an image: kubelet/image_puller.py. Messages are v1.32's."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path
from typing import Any

import pytest

from kubelet.image_puller import ImageNotReady, ImagePuller, Pulled, short_duration
from kubelet.images import Image, ImageStore, PullFailed, RegistryUnavailable
from kubelet.images.errors import ImageError
from kubelet.images.pull import Pull
from kubelet.images.registry.credentials import Keyring
from kubelet.pull_secrets import PullSecrets
from tests.support.fake_recorder import FakeRecorder
from tests.support.images import OciLayout, layer_tar

Object = dict[str, Any]
NAME = "reg.local/app:1"
WHERE = "spec.containers{main}"


class FakePulls:
    """Pulls that the test ends."""

    def __init__(self) -> None:
        self.started: list[tuple[Pull, Keyring]] = []

    def start(self, reference: str, keyring: Keyring, *, is_fresh: bool = False) -> Pull:
        pull = Pull(reference, keyring)
        pull.began_at = pull.asked_at
        self.started.append((pull, keyring))
        return pull


class Lab:
    """A puller whose clock, pulls and Secrets the test has in its hand."""

    def __init__(self, directory: Path) -> None:
        self.store, self.pulls = ImageStore(str(directory / "images")), FakePulls()
        self.recorder, self.now = FakeRecorder(), 1000.0
        self.secrets: dict[str, Object] = {}
        self.woken: list[str] = []
        self.pod: Object = {"metadata": {"uid": "u", "name": "web", "namespace": "ns"}, "spec": {}}
        self.puller = ImagePuller(
            self.store, self.pulls, PullSecrets(self._secret, directory / "config.json"),  # type: ignore[arg-type]
            self.recorder, wake=self.woken.append, now=lambda: self.now,
        )  # fmt: skip

    def _secret(self, kind: str, namespace: str, name: str) -> Object | None:
        assert (kind, namespace) == ("secrets", "ns")
        return self.secrets.get(name)

    def put_secret(self, password: str) -> None:
        content = {"auths": {"reg.local": {"username": "ali", "password": password}}}
        data = base64.b64encode(json.dumps(content).encode()).decode()
        self.secrets["regcred"] = {
            "metadata": {"name": "regcred"},
            "type": "kubernetes.io/dockerconfigjson",
            "data": {".dockerconfigjson": data},
        }
        self.pod["spec"]["imagePullSecrets"] = [{"name": "regcred"}]

    def load(self) -> Image:
        layout = OciLayout()
        layout.image(NAME, [layer_tar({"app": b"1"})])
        return self.store.load(io.BytesIO(layout.tar()))[0]

    def ensure(self, policy: str = "IfNotPresent", image: str = NAME, where: str = WHERE) -> Pulled:
        return self.puller.ensure(self.pod, {"image": image, "imagePullPolicy": policy}, where)

    def waits(self, *args: str, **more: str) -> tuple[str, str]:
        with pytest.raises(ImageNotReady) as caught:
            self.ensure(*args, **more)
        return caught.value.reason, caught.value.message

    def fail(self, failure: ImageError, number: int = -1) -> None:
        self.pulls.started[number][0].end(None, failure)


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return Lab(tmp_path)


def test_a_pull_is_told_waited_for_and_told_of_again(lab: Lab) -> None:
    assert lab.waits() == ("", "")
    assert lab.waits() == ("", "")
    assert lab.recorder.messages("Pulling") == [f'Pulling image "{NAME}"']
    image = lab.load()
    (pull, _) = lab.pulls.started[0]
    pull.end(image, None)
    pull.asked_at, pull.began_at = pull.ended_at - 2.5, pull.ended_at - 2.25
    assert lab.woken == ["u"]
    assert lab.ensure().ref == image.repo_digests[0]
    assert lab.recorder.messages("Pulled") == [
        f'Successfully pulled image "{NAME}" in 2.25s (2.5s including waiting). '
        f"Image size: {image.size_bytes} bytes."
    ]


def test_what_is_here_is_not_pulled_unless_always(lab: Lab) -> None:
    lab.load()
    lab.ensure("IfNotPresent")
    lab.ensure("Never")
    assert lab.pulls.started == []
    assert lab.recorder.messages("Pulled")[0] == (
        f'Container image "{NAME}" already present on machine'
    )
    assert lab.waits("Always") == ("", "")
    assert len(lab.pulls.started) == 1


def test_a_failure_is_shown_then_backed_off_doubling_up_to_five_minutes(lab: Lab) -> None:
    for pause_s in (10, 20, 40, 80, 160, 300, 300):
        assert lab.waits() == ("", "")
        lab.fail(PullFailed("it is gone"))
        assert lab.waits() == ("ErrImagePull", "it is gone")
        lab.now += 1.5
        assert lab.waits() == (
            "ImagePullBackOff", f'Back-off pulling image "{NAME}": ErrImagePull: it is gone',
        )  # fmt: skip
        lab.now += pause_s - 2
        assert lab.waits()[0] == "ImagePullBackOff"
        lab.now += 1
    assert lab.recorder.events[:4] == [
        ("Normal", "Pulling", f'Pulling image "{NAME}"'),
        ("Warning", "Failed", f'Failed to pull image "{NAME}": it is gone'),
        ("Warning", "Failed", "Error: ErrImagePull"),
        ("Normal", "BackOff", f'Back-off pulling image "{NAME}"'),
    ]


def test_other_credentials_are_tried_at_once(lab: Lab) -> None:
    lab.put_secret("wrong")
    lab.waits()
    lab.fail(PullFailed("401"))
    assert lab.waits()[0] == "ErrImagePull"
    assert lab.waits()[0] == "ErrImagePull"  # for a second it is to be seen
    lab.put_secret("right")
    assert lab.waits() == ("", "")
    assert [c.password for c in lab.pulls.started[-1][1].lookup("reg.local/app")] == ["right"]


def test_two_containers_that_wait_for_one_image_count_as_one_failure(lab: Lab) -> None:
    for where in ("spec.containers{a}", "spec.containers{b}"):
        lab.waits(where=where)
    shared = lab.pulls.started[0][0]
    lab.puller._state.pulls["u", NAME, "spec.containers{b}"] = shared
    lab.fail(PullFailed("no"), 0)
    for where in ("spec.containers{a}", "spec.containers{b}"):
        assert lab.waits(where=where) == ("ErrImagePull", "no")
    lab.now += 10.5
    assert lab.waits() == ("", "")


def test_a_registry_that_cannot_be_reached_has_a_reason_of_its_own(lab: Lab) -> None:
    lab.waits()
    lab.fail(RegistryUnavailable("connection refused"))
    assert lab.waits() == (
        "RegistryUnavailable",
        f"image pull failed for {NAME} because the registry is unavailable: connection refused",
    )


def test_names_that_are_none_and_images_that_must_not_be_pulled(lab: Lab) -> None:
    assert lab.waits("Always", "UPPER") == (
        "InvalidImageName",
        'Failed to apply default image tag "UPPER": couldn\'t parse image name "UPPER": invalid '
        "reference format: repository name (library/UPPER) must be lowercase",
    )
    assert lab.waits("Never") == (
        "ErrImageNeverPull", f'Container image "{NAME}" is not present with pull policy of Never',
    )  # fmt: skip
    assert lab.recorder.reasons() == ["InspectFailed", "ErrImageNeverPull"]


def test_a_store_that_cannot_be_read_is_told(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: str) -> Image:
        raise OSError("input/output error")

    monkeypatch.setattr(lab.store, "get", broken)
    assert lab.waits() == (
        "ImageInspectError", f'Failed to inspect image "{NAME}": input/output error',
    )  # fmt: skip


def test_secrets_that_are_not_there_are_told_and_the_pull_tried(lab: Lab) -> None:
    lab.pod["spec"]["imagePullSecrets"] = [{"name": "a"}, {"name": "b"}]
    assert lab.waits() == ("", "")
    assert lab.recorder.messages("FailedToRetrieveImagePullSecret") == [
        "Unable to retrieve some image pull secrets (a, b); attempting to pull the image may not "
        "succeed."
    ]


def test_a_long_pull_says_how_far_it_is(lab: Lab) -> None:
    lab.waits()
    (pull, _) = lab.pulls.started[0]
    pull.total_bytes = 100 << 20
    pull.came(1)
    pull._told_at -= 31
    pull.came(25 << 20)
    assert lab.recorder.messages("Pulling")[1:] == [f'Pulling image "{NAME}": 25 of 100 MiB (25 %)']


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0, "0ms"), (0.0123, "12ms"), (2.3, "2.3s"), (2.3456, "2.345s"), (60, "1m0s"),
     (83.25, "1m23.25s"), (3661, "1h1m1s")],
)  # fmt: skip
def test_durations_look_as_gos(seconds: float, said: str) -> None:
    assert short_duration(seconds) == said

"""Images from a private registry, with kubectl: Debian's docker-registry over TLS and with a
password."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from tests.support.cluster import Cluster
from tests.support.images import (
    OciLayout,
    a_directory,
    an_entry,
    busybox_image_tar,
    busybox_layer,
    tar_of,
)
from tests.support.namespaced import Namespaced, a_sleeper, a_web_deployment
from tests.support.registry import PASSWORD, USER, Registry, needs_registry, running_registry

pytestmark = needs_registry
Object = dict[str, Any]
WITH_SECRET = {"imagePullSecrets": [{"name": "regcred"}]}


@pytest.fixture(scope="module")
def registry(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    """With busybox as team/app:1, trusted by the cluster's node."""
    directory = tmp_path_factory.mktemp("registry")
    with running_registry(directory, password=True) as registry:
        registry.push(busybox_image_tar(directory / "busybox.tar"), "team/app:1")
        registry.trust(cluster.data_dir)
        yield registry


def put_secret(ns: Namespaced, registry: Registry, password: str = PASSWORD) -> None:
    """imagePullSecret `regcred`, made or changed."""
    manifest = ns.out(
        "create", "secret", "docker-registry", "regcred", f"--docker-server={registry.host}",
        f"--docker-username={USER}", f"--docker-password={password}",
        "--dry-run=client", "-o", "yaml",
    )  # fmt: skip
    ns.apply(yaml.safe_load(manifest))


def a_deployment(registry: Registry, policy: str = "IfNotPresent", **spec: Any) -> Object:
    deployment = a_web_deployment()
    pod_spec = deployment["spec"]["template"]["spec"] | spec
    pod_spec["containers"][0] |= {
        "image": f"{registry.host}/team/app:1",
        "imagePullPolicy": policy,
    }
    deployment["spec"]["template"]["spec"] = pod_spec
    return deployment


def statuses(ns: Namespaced) -> list[Object]:
    return [s for pod in ns.items("pods") for s in pod["status"].get("containerStatuses") or ()]


def reasons(ns: Namespaced) -> set[str]:
    return {(s["state"].get("waiting") or {}).get("reason", "") for s in statuses(ns)}


def test_a_deployment_from_a_private_registry_gets_ready(
    ns: Namespaced, registry: Registry
) -> None:
    put_secret(ns, registry)
    ns.apply(a_deployment(registry, **WITH_SECRET))
    ns.rollout_done("deployment/web")
    digest = registry.digest("team/app:1")
    assert {s["imageID"] for s in statuses(ns)} == {f"{registry.host}/team/app@{digest}"}
    text = ns.out("describe", "pods")
    assert f'Successfully pulled image "{registry.host}/team/app:1" in ' in text
    assert "including waiting). Image size: " in text


def test_a_service_account_gives_its_pods_its_pull_secrets(
    ns: Namespaced, registry: Registry
) -> None:
    put_secret(ns, registry)
    about = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "puller"}}
    ns.apply(about | WITH_SECRET)
    ns.apply(a_deployment(registry, "Always", serviceAccountName="puller"))
    ns.rollout_done("deployment/web")


def test_a_wrong_password_backs_off_and_recovers_when_the_secret_is_right(
    ns: Namespaced, registry: Registry, cluster: Cluster
) -> None:
    put_secret(ns, registry, "wrong")
    ns.apply(a_deployment(registry, "Always", **WITH_SECRET))
    seen: set[str] = set()
    cluster.until(lambda: seen.update(reasons(ns)) or "ErrImagePull" in seen)
    cluster.until(lambda: reasons(ns) == {"ImagePullBackOff"})
    text = ns.out("describe", "pods")
    assert f'Failed to pull image "{registry.host}/team/app:1": failed to pull and unpack' in text
    assert "401 Unauthorized" in text
    put_secret(ns, registry)
    ns.rollout_done("deployment/web")


def test_an_image_is_pulled_by_hand_shown_on_the_node_and_not_removed_while_it_is_used(
    ns: Namespaced, registry: Registry, cluster: Cluster
) -> None:
    image = f"{registry.host}/team/app:1"
    told = cluster.podium("image", "pull", image, "--creds", f"{USER}:{PASSWORD}").stdout
    by_digest = f"{registry.host}/team/app@{registry.digest('team/app:1')}"
    assert by_digest in told

    def shown() -> list[str]:
        (node,) = ns.items("nodes")
        return [name for each in node["status"]["images"] for name in each["names"]]

    cluster.until(lambda: image in shown())
    ns.apply(a_deployment(registry))
    ns.rollout_done("deployment/web")
    done = cluster.podium("image", "rm", by_digest, check=False)
    assert done.returncode == 1
    assert f'image "{by_digest}" is in use' in done.stderr


def test_a_volume_that_the_image_names_is_writable_although_the_root_is_not(
    ns: Namespaced, registry: Registry
) -> None:
    layer = tar_of(a_directory("data", 0o700, uid=1000, gid=1000), an_entry("data/file", b"kept"))
    layout = OciLayout()
    layout.image("x:1", [busybox_layer(), layer], {
        "Entrypoint": ["sh", "-c", "sleep infinity & wait"], "User": "web", "WorkingDir": "/data",
        "Volumes": {"/data": {}}, "Env": ["PATH=/bin"], "StopSignal": "SIGKILL",
    })  # fmt: skip
    pod = a_sleeper("db", image=registry.push(layout, "team/db:1"))
    del pod["spec"]["containers"][0]["command"]
    pod["spec"]["containers"][0]["securityContext"] = {"readOnlyRootFilesystem": True}
    put_secret(ns, registry)
    pod["spec"] |= WITH_SECRET
    ns.apply(pod)
    ns.wait("pod/db", "condition=Ready")
    script = "id -u; pwd; cat file; echo; echo new > new && cat new"
    assert ns.sh("db", script).split("\n") == ["1000", "/data", "kept", "new"]
    assert ns.sh("db", "touch /tmp/x 2>&1 || true") == "touch: /tmp/x: Read-only file system"


def test_an_image_that_leads_out_of_itself_is_refused_and_says_so(
    ns: Namespaced, registry: Registry
) -> None:
    layout = OciLayout()
    layout.image("x:1", [tar_of(an_entry("../../../etc/cron.d/evil", b"* * * * * root true"))])
    put_secret(ns, registry)
    pod = a_sleeper("evil", image=registry.push(layout, "team/evil:1"))
    pod["spec"] |= WITH_SECRET
    ns.apply(pod)
    waiting = "jsonpath={.status.containerStatuses[0].state.waiting.reason}"
    ns.wait("pod/evil", f"{waiting}=ImagePullBackOff")
    text = ns.out("describe", "pod", "evil")
    assert "a path that leads out of the image: '../../../etc/cron.d/evil'" in text


def test_pods_that_wait_for_a_silent_registry_keep_nobody_and_can_be_deleted(
    ns: Namespaced,
) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=64) as silent:
        image = f"127.0.0.1:{silent.getsockname()[1]}/app:1"
        names = [f"stuck-{number}" for number in range(12)]  # more than the kubelet has workers
        ns.apply(*(a_sleeper(name, image=image) for name in names))
        for name in names:
            ns.wait(f"pod/{name}", "condition=PodReadyToStartContainers")
        ns.apply(a_sleeper("web"))
        ns.wait("pod/web", "condition=Ready")
        ns.kubectl("delete", "pods", *names, "--timeout=60s")

"""The unmodified kubectl against a real cluster, verb by verb."""

from __future__ import annotations

import json
import threading

import pytest

from podium.client.config import load_kubeconfig
from podium.client.http import Client
from tests.support.cluster import Cluster
from tests.support.namespaced import Namespaced, a_script, a_sleeper, a_web_deployment


def test_version_names_client_and_server(cluster: Cluster) -> None:
    version = json.loads(cluster.kubectl("version", "-o", "json").stdout)
    assert version["serverVersion"]["gitVersion"].startswith("v1.32")
    assert version["clientVersion"]["minor"].startswith("32")


def test_api_resources_lists_every_kind(cluster: Cluster) -> None:
    listed = cluster.kubectl("api-resources", "--no-headers").stdout
    kinds = {line.split()[-1] for line in listed.splitlines()}
    assert {
        "Namespace", "Node", "Pod", "ReplicaSet", "Deployment", "ConfigMap", "Secret",
        "ServiceAccount", "Event", "Lease",
    } <= kinds  # fmt: skip


def test_config_view_shows_the_cluster(cluster: Cluster) -> None:
    assert f"127.0.0.1:{cluster.port}" in cluster.kubectl("config", "view").stdout


def test_explain_shows_the_structure_of_a_pod(cluster: Cluster) -> None:
    text = cluster.kubectl("explain", "pod.spec").stdout
    assert "containers" in text
    assert "<[]Container> -required-" in text
    assert "terminationGracePeriodSeconds" in text


def test_apply_twice_says_created_then_unchanged_then_configured(ns: Namespaced) -> None:
    assert "deployment.apps/web created" in ns.apply(a_web_deployment())
    assert "deployment.apps/web unchanged" in ns.apply(a_web_deployment())
    assert "deployment.apps/web configured" in ns.apply(a_web_deployment(replicas=3))
    ns.rollout_done("deploy/web")


def test_create_with_a_typed_command_sends_protobuf(ns: Namespaced) -> None:
    ns.kubectl("create", "configmap", "settings", "--from-literal=colour=blue")
    ns.kubectl("create", "secret", "generic", "token", "--from-literal=key=s3cret")
    ns.kubectl("create", "serviceaccount", "robot")
    ns.kubectl("create", "deployment", "typed", "--image=host", "--", "sleep", "infinity")
    assert ns.get("configmap", "settings")["data"] == {"colour": "blue"}
    assert ns.get("secret", "token")["data"] == {"key": "czNjcmV0"}
    ns.wait("deploy/typed", "condition=Available")


def test_get_prints_tables_yaml_json_and_jsonpath(ns: Namespaced) -> None:
    ns.kubectl("create", "-f", "-", stdin=json.dumps(a_sleeper()))
    ns.wait("pod/web", "condition=Ready")
    header, line = ns.out("get", "pods", "-o", "wide").splitlines()
    assert header.split()[:5] == ["NAME", "READY", "STATUS", "RESTARTS", "AGE"]
    assert line.split()[:4] == ["web", "1/1", "Running", "0"]
    ip = ns.out("get", "pod", "web", "-o", "jsonpath={.status.podIP}")
    assert ip in line
    assert "kind: Pod" in ns.out("get", "pod", "web", "-o", "yaml")
    assert ns.out("get", "pods", "-A", "--field-selector", "spec.nodeName!=", "-o", "name")
    assert ns.out("get", "pods", "-l", "app=web", "-o", "name").strip() == "pod/web"
    assert ns.out("get", "pods", "-l", "app!=web", "-o", "name").strip() == ""
    assert ns.out("get", "pods", "--field-selector", "status.phase=Running", "-o", "name")


def test_get_watch_streams_changes(ns: Namespaced) -> None:
    timer = threading.Timer(0.5, lambda: ns.apply(a_sleeper()))
    timer.start()
    lines = ns.cluster.first_lines(
        ("kubectl", "-n", ns.name, "get", "pods", "-w", "--no-headers"),
        until="Running",
        timeout_s=30,
    )
    timer.join()
    assert any("Pending" in line or "ContainerCreating" in line for line in lines)


def test_describe_shows_containers_conditions_and_events(ns: Namespaced) -> None:
    ns.apply(a_sleeper())
    ns.wait("pod/web", "condition=Ready")
    text = ns.out("describe", "pod", "web")
    assert "Successfully assigned" in text
    assert "Container ID:  podium://" in text
    node = ns.out("get", "pod", "web", "-o", "jsonpath={.spec.nodeName}")
    assert "Non-terminated Pods" in ns.cluster.kubectl("describe", "node", node).stdout
    ns.apply(a_web_deployment("other"))
    ns.rollout_done("deploy/other")
    assert "ScalingReplicaSet" in ns.out("describe", "deployment", "other")


def test_scale_up_and_down(ns: Namespaced) -> None:
    ns.apply(a_web_deployment(replicas=1))
    ns.kubectl("scale", "deploy/web", "--replicas=4")
    ns.rollout_done("deploy/web")
    assert len(ns.items("pods")) == 4
    ns.kubectl("scale", "deploy/web", "--replicas=0")
    ns.wait("deploy/web", "jsonpath={.spec.replicas}=0")
    ns.kubectl("wait", "pod", "-l", "app=web", "--for=delete", "--timeout=30s")
    assert ns.items("pods") == []


def test_rolling_update_never_has_fewer_than_the_allowed_pods_ready(ns: Namespaced) -> None:
    strategy = {"rollingUpdate": {"maxUnavailable": 1, "maxSurge": 1}}
    ns.apply(a_web_deployment(replicas=4, strategy=strategy))
    ns.rollout_done("deploy/web")
    client = Client(load_kubeconfig(ns.cluster.kubeconfig), user_agent="podium-tests")
    before = client.list("pods", ns.name, label_selector="app=web")
    ns.kubectl("set", "env", "deploy/web", "COLOUR=green")
    ns.rollout_done("deploy/web")
    counts = _available_after_each_change(client, ns.name, before)
    client.close()
    assert len(counts) >= 8  # at least: four Pods came and four went
    assert min(counts) >= 3


def _available_after_each_change(client: Client, namespace: str, before: dict) -> list[int]:
    """Every state the Pods went through since a list, replayed from the watch: none is missed."""
    pods = {pod["metadata"]["uid"]: pod for pod in before["items"]}
    counts = []
    for event in client.watch(
        "pods",
        namespace,
        resource_version=before["metadata"]["resourceVersion"],
        label_selector="app=web",
        timeout_s=1,
        bookmarks=False,
    ):
        if event.type == "DELETED":
            pods.pop(event.object["metadata"]["uid"], None)
        else:
            pods[event.object["metadata"]["uid"]] = event.object
        counts.append(sum(_is_available(pod) for pod in pods.values()))
    return counts


def _is_available(pod: dict) -> bool:
    if pod["metadata"].get("deletionTimestamp"):
        return False
    conditions = pod.get("status", {}).get("conditions", [])
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)


def test_set_image_history_undo_and_restart(ns: Namespaced) -> None:
    ns.apply(a_web_deployment())
    ns.rollout_done("deploy/web")
    ns.kubectl("set", "image", "deploy/web", "main=does-not-exist:1")
    ns.kubectl("rollout", "undo", "deploy/web")
    ns.rollout_done("deploy/web")
    assert ns.get("deploy", "web")["spec"]["template"]["spec"]["containers"][0]["image"] == "host"
    history = ns.out("rollout", "history", "deploy/web")
    assert [line.split()[0] for line in history.splitlines()[2:] if line.strip()] == ["2", "3"]
    before = {pod["metadata"]["uid"] for pod in ns.items("pods")}
    ns.kubectl("rollout", "restart", "deploy/web")
    ns.rollout_done("deploy/web")
    after = {
        p["metadata"]["uid"] for p in ns.items("pods") if not p["metadata"].get("deletionTimestamp")
    }
    assert not before & after


def test_a_paused_deployment_waits(ns: Namespaced) -> None:
    ns.apply(a_web_deployment())
    ns.rollout_done("deploy/web")
    ns.kubectl("rollout", "pause", "deploy/web")
    ns.kubectl("set", "env", "deploy/web", "A=1")
    ns.wait("deploy/web", "jsonpath={.status.observedGeneration}=3")
    assert len(ns.items("replicasets")) == 1
    ns.kubectl("rollout", "resume", "deploy/web")
    ns.rollout_done("deploy/web")
    assert len(ns.items("replicasets")) == 2


def test_logs_follow_tail_and_previous(ns: Namespaced) -> None:
    ns.apply(a_script("count", "for i in 1 2 3; do echo line $i; done; sleep 1; echo end"))
    lines = ns.out("logs", "-f", "count", "--pod-running-timeout=30s").splitlines()
    assert lines == ["line 1", "line 2", "line 3", "end"]
    assert ns.out("logs", "count", "--tail=1") == "end\n"
    once = (
        "[ -e /data/again ] && { echo second; exec sleep 60; }; "
        "touch /data/again; echo first; exit 3"
    )
    pod = a_script(
        "again", once, restart="Always", volumeMounts=[{"name": "d", "mountPath": "/data"}]
    )
    pod["spec"]["volumes"] = [{"name": "d", "emptyDir": {}}]
    ns.apply(pod)
    ns.wait("pod/again", "jsonpath={.status.containerStatuses[0].restartCount}=1")
    ns.wait("pod/again", "condition=Ready")
    assert ns.out("logs", "again", "--previous") == "first\n"
    assert ns.out("logs", "again") == "second\n"


def test_exec_passes_stdin_output_and_exit_code(ns: Namespaced) -> None:
    ns.apply(a_sleeper())
    ns.wait("pod/web", "condition=Ready")
    assert ns.out("exec", "-i", "web", "--", "tr", "a-z", "A-Z", stdin="hello\n") == "HELLO\n"
    failed = ns.kubectl("exec", "web", "--", "sh", "-c", "echo oops >&2; exit 7", check=False)
    assert failed.returncode == 7
    assert "oops" in failed.stderr
    missing = ns.kubectl("exec", "web", "--", "no-such-program", check=False)
    assert missing.returncode != 0
    assert "no-such-program" in missing.stderr


def test_exec_carries_megabytes_both_ways(ns: Namespaced) -> None:
    ns.apply(a_sleeper())
    ns.wait("pod/web", "condition=Ready")
    text = "0123456789abcdef" * 64 * 1024 * 4  # 4 MiB
    assert ns.out("exec", "-i", "web", "--", "cat", stdin=text) == text


def test_label_annotate_patch_and_edit(ns: Namespaced, monkeypatch: pytest.MonkeyPatch) -> None:
    ns.apply(a_sleeper())
    ns.kubectl("label", "pod", "web", "tier=front")
    ns.kubectl("annotate", "pod", "web", "note=hello")
    ns.kubectl("patch", "pod", "web", "-p", '{"metadata":{"labels":{"tier":"back"}}}')
    ns.kubectl("patch", "pod", "web", "--type=json", "-p",
               '[{"op":"add","path":"/metadata/labels/extra","value":"1"}]')  # fmt: skip
    monkeypatch.setenv("KUBE_EDITOR", "sed -i s/extra:/edited:/")
    ns.kubectl("edit", "pod", "web")
    labels = ns.get("pod", "web")["metadata"]["labels"]
    assert labels == {"app": "web", "tier": "back", "edited": "1"}


def test_delete_waits_and_cascades(ns: Namespaced) -> None:
    ns.apply(a_web_deployment())
    ns.rollout_done("deploy/web")
    ns.kubectl("delete", "deploy", "web", "--cascade=foreground", "--wait")
    assert ns.items("pods") == []
    assert ns.items("replicasets") == []


def test_delete_with_orphan_leaves_the_pods(ns: Namespaced) -> None:
    ns.apply(a_web_deployment())
    ns.rollout_done("deploy/web")
    ns.kubectl("delete", "deploy", "web", "--cascade=orphan")
    (replicaset,) = ns.items("replicasets")
    assert "ownerReferences" not in replicaset["metadata"]
    assert len(ns.items("pods")) == 2


def test_deleting_a_namespace_takes_everything_in_it(cluster: Cluster) -> None:
    cluster.kubectl("create", "namespace", "doomed")
    doomed = Namespaced(cluster, "doomed")
    doomed.apply(a_web_deployment())
    doomed.rollout_done("deploy/web")
    cluster.kubectl("delete", "namespace", "doomed", "--wait", "--timeout=60s")
    left = cluster.kubectl(
        "get", "pods,deployments,replicasets,configmaps", "-n", "doomed", "-o", "name"
    )
    assert left.stdout == ""


def test_events_are_listed_for_an_object(ns: Namespaced) -> None:
    ns.apply(a_sleeper())
    ns.wait("pod/web", "condition=Ready")
    lines = ns.cluster.until(
        lambda: (text := ns.out("events", "--for", "pod/web")) and "Started" in text and text,
        timeout_s=15,
    )
    assert "Scheduled" in lines


def test_wait_for_deletion_and_for_a_condition(ns: Namespaced) -> None:
    ns.apply(a_script("job", "exit 0"))
    ns.wait("pod/job", "jsonpath={.status.phase}=Succeeded")
    ns.kubectl("delete", "pod", "job", "--wait=false")
    ns.wait("pod/job", "delete")


def test_can_i_and_whoami(cluster: Cluster) -> None:
    assert cluster.kubectl("auth", "can-i", "create", "pods").stdout.strip() == "yes"
    assert "kubernetes-admin" in cluster.kubectl("auth", "whoami").stdout

"""The verbs against the real API server, in a process of its own; no node, so nothing runs."""

from __future__ import annotations

import json
import os
import select
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from podium.cli import cluster_config, pki
from podium.cli.supervisor import component_environment
from podium.client.config import load_kubeconfig
from podium.client.http import Client


class ApiServer:
    """A running API server and `podium` bound to it."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir
        self.namespace = "default"
        self.client = Client(load_kubeconfig(data_dir / "admin.kubeconfig"))

    def podium(
        self, *args: str, stdin: str | None = None, code: int = 0
    ) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "-m", "podium.cli.main", "-n", self.namespace, *args],
            env={**component_environment(), "PODIUM_DATA_DIR": str(self.data_dir)},
            input=stdin or "",
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done

    def out(self, *args: str, **how: Any) -> str:
        return self.podium(*args, **how).stdout

    def err(self, *args: str, **how: Any) -> str:
        return self.podium(*args, code=1, **how).stderr

    def apply(self, *objects: dict[str, Any], **how: Any) -> str:
        return self.out("apply", "-f", "-", stdin=yaml.safe_dump_all(objects), **how)

    def get(self, what: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.out("get", what, "-o", "json"))
        return found


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    data_dir = tmp_path_factory.mktemp("data")
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    config = cluster_config.single_node(
        "abc123", data_dir, host="127.0.0.1", port=port, pod_cidr="10.99.0.0/16", node_name="n"
    )
    cluster_config.write(data_dir, config)
    for name in ("run", "log"):
        (data_dir / name).mkdir()
    pki.create_pki(data_dir, ["n"], "127.0.0.1", port)
    read_fd, write_fd = os.pipe()
    with open(data_dir / "log/apiserver.log", "wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "apiserver", "--data-dir", str(data_dir)],
            env={**component_environment(), "PODIUM_READY_FD": str(write_fd)},
            pass_fds=(write_fd,),
            stdout=log,
            stderr=log,
        )
    os.close(write_fd)
    try:
        is_told = bool(select.select([read_fd], [], [], 60)[0]) and os.read(read_fd, 10)
        assert is_told, (data_dir / "log/apiserver.log").read_text()
        server = ApiServer(data_dir)
        yield server
        server.client.close()
    finally:
        os.close(read_fd)
        process.terminate()
        process.wait(20)


@pytest.fixture
def api(server: ApiServer, request: pytest.FixtureRequest) -> ApiServer:
    """The server, in a namespace of the test's own."""
    server.namespace = f"t{abs(hash(request.node.name)) % 10**9}"
    server.client.create("namespaces", {"metadata": {"name": server.namespace}})
    return server


def a_pod(name: str = "web", **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": name}},
        "spec": {"containers": [{"name": "main", "image": "host"}], **spec},
    }


def a_deployment(replicas: int = 2, image: str = "host") -> dict[str, Any]:
    pod = a_pod()
    pod["spec"]["containers"][0]["image"] = image
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web"},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": "web"}},
            "template": {"metadata": {"labels": {"app": "web"}}, "spec": pod["spec"]},
        },
    }


def test_apply_creates_then_configures_then_leaves_alone(api: ApiServer) -> None:
    assert api.apply(a_deployment()) == "deployment.apps/web created\n"
    assert api.apply(a_deployment()) == "deployment.apps/web unchanged\n"
    assert api.apply(a_deployment(replicas=3)) == "deployment.apps/web configured\n"
    assert api.get("deploy/web")["spec"]["replicas"] == 3


def test_apply_keeps_what_others_have_set(api: ApiServer) -> None:
    first = a_deployment()
    del first["spec"]["replicas"]
    api.apply(first)
    assert api.out("scale", "deploy/web", "--replicas", "7") == "deployment.apps/web scaled\n"
    first["spec"]["template"]["spec"]["containers"][0]["image"] = "other"
    api.apply(first)
    found = api.get("deploy/web")["spec"]
    assert found["replicas"] == 7
    assert found["template"]["spec"]["containers"][0]["image"] == "other"


def test_a_dry_run_changes_nothing(api: ApiServer) -> None:
    for mode, note in (("client", "dry run"), ("server", "server dry run")):
        said = api.out(
            "apply", f"--dry-run={mode}", "-f", "-", stdin=yaml.safe_dump(a_deployment())
        )
        assert said == f"deployment.apps/web created ({note})\n"
    assert "not found" in api.err("get", "deploy/web")


def test_one_refused_object_does_not_hide_what_was_applied(api: ApiServer) -> None:
    bad = a_pod("Not_A_Name")
    text = yaml.safe_dump_all([a_pod("one"), bad, a_pod("two")])
    done = api.podium("apply", "-f", "-", stdin=text, code=1)
    assert done.stdout == "pod/one created\npod/two created\n"
    assert 'The Pod "Not_A_Name" is invalid: metadata.name' in done.stderr


def test_an_unknown_field_is_refused_in_the_servers_words(api: ApiServer) -> None:
    text = yaml.safe_dump(a_pod(replcas=1))
    assert 'unknown field "spec.replcas"' in api.err("apply", "-f", "-", stdin=text)
    done = api.podium("apply", "--validate=warn", "-f", "-", stdin=text)
    assert done.stdout == "pod/web created\n"
    assert 'Warning: unknown field "spec.replcas"' in done.stderr


def test_a_broken_manifest_applies_nothing_of_itself(api: ApiServer) -> None:
    text = yaml.safe_dump(a_pod("one")) + "---\na: {b\n"
    assert "standard input: line" in api.err("apply", "-f", "-", stdin=text)
    assert "not found" in api.err("get", "pod/one")


def test_a_namespace_that_is_not_there_is_told(api: ApiServer) -> None:
    text = yaml.safe_dump(a_pod())
    api.namespace = "nowhere"
    said = api.err("apply", "-f", "-", stdin=text)
    assert 'Error from server (NotFound): namespaces "nowhere" not found' in said


def test_get_prints_the_servers_table(api: ApiServer) -> None:
    api.apply(a_pod("one"), a_pod("two"))
    lines = api.out("get", "pods").splitlines()
    assert lines[0].split() == ["NAME", "READY", "STATUS", "RESTARTS", "AGE"]
    assert [line.split()[0] for line in lines[1:]] == ["one", "two"]
    assert [line.split()[0] for line in api.out("get", "po", "-l", "app=two").splitlines()[1:]] == [
        "two"
    ]
    assert "NODE" in api.out("get", "pods", "-o", "wide").splitlines()[0]


def test_get_of_every_namespace_names_it(api: ApiServer) -> None:
    api.apply(a_pod())
    lines = api.out("get", "pods", "-A").splitlines()
    assert lines[0].startswith("NAMESPACE")
    assert any(line.split()[:2] == [api.namespace, "web"] for line in lines)


def test_get_of_nothing_says_so(api: ApiServer) -> None:
    done = api.podium("get", "pods")
    assert (done.stdout, done.stderr) == ("", f"No resources found in {api.namespace} namespace.\n")


def test_get_prints_objects_in_every_form(api: ApiServer) -> None:
    api.apply(a_pod())
    assert yaml.safe_load(api.out("get", "pod/web", "-o", "yaml"))["metadata"]["name"] == "web"
    assert api.out("get", "pods", "-o", "name") == "pod/web\n"
    assert api.out("get", "pods", "-o", "jsonpath={.items[*].metadata.name}") == "web"
    assert api.get("pods")["kind"] == "List"
    assert "is none of" in api.podium("get", "pods", "-o", "xml", code=2).stderr


def test_get_names_what_is_missing_and_prints_the_rest(api: ApiServer) -> None:
    api.apply(a_pod())
    done = api.podium("get", "pod", "web", "ghost", code=1)
    assert "web" in done.stdout
    assert done.stderr == 'Error from server (NotFound): pods "ghost" not found\n'


def test_get_watch_prints_each_change(api: ApiServer) -> None:
    api.apply(a_pod("one"))
    process = subprocess.Popen(
        [sys.executable, "-m", "podium.cli.main", "-n", api.namespace, "get", "pods", "-w"],
        env={**component_environment(), "PODIUM_DATA_DIR": str(api.data_dir)},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    with process:
        assert process.stdout.readline().startswith("NAME")
        assert process.stdout.readline().startswith("one")
        api.client.create("pods", a_pod("two"), api.namespace)
        assert process.stdout.readline().startswith("two")
        process.terminate()


def test_get_at_an_earlier_revision_finds_what_was_deleted(api: ApiServer) -> None:
    api.apply(a_deployment(), a_pod())
    then = api.get("deploy/web")["metadata"]["resourceVersion"]
    revision = str(api.client.list("pods")["metadata"]["resourceVersion"])
    api.out("delete", "deploy/web", "pod/web", "--wait=false")
    assert api.out("get", "deploy,pods", "--at", revision, "-o", "name") == (
        "deployment.apps/web\npod/web\n"
    )
    assert json.loads(api.out("get", "deploy/web", "--at", then, "-o", "json"))["spec"]
    assert "web    0/1" in api.out("get", "pods", "--at", revision)
    assert "Too large resource version" in api.err("get", "pods", "--at", "999999")
    assert "how long ago" in api.err("get", "pods", "--at", "yesterday")


def test_diff_shows_what_changed_between_two_moments(api: ApiServer) -> None:
    api.apply(a_deployment())
    start = api.get("deploy/web")["metadata"]["resourceVersion"]
    assert "no difference" in api.out("diff", "--from", start)
    api.out("scale", "deploy/web", "--replicas", "7")
    api.apply(a_pod("new"))
    shown = api.out("diff", "--from", start, code=1)
    assert ": 1 added, 1 changed" in shown
    assert "changed deployment.apps/web in " in shown
    assert "-  replicas: 2\n+  replicas: 7\n" in shown
    one = json.loads(api.out("diff", "--from", start, "pod/new", "-o", "json", code=1))
    assert [item["type"] for item in one["items"]] == ["added"]
    assert api.podium("diff", "--from", "9999999", code=2).stderr.startswith("Error from server")


def test_history_shows_an_objects_changes_also_after_its_end(api: ApiServer) -> None:
    api.apply(a_deployment())
    api.out("scale", "deploy/web", "--replicas", "7")
    api.out("delete", "deploy/web")
    lines = api.out("history", "deploy/web").splitlines()
    assert [line.split()[3] for line in lines[1:]] == ["DELETED", "MODIFIED", "ADDED"]
    assert "spec.replicas" in lines[2]
    assert max(map(len, lines)) <= 100
    assert "+  replicas: 7" in api.out("history", "deploy/web", "--diff")
    assert 'deployments.apps "never" not found' in api.err("history", "deploy/never")


def test_delete_by_name_by_file_and_by_label(api: ApiServer) -> None:
    api.apply(a_pod("one"), a_pod("two"), a_pod("three"))
    assert api.out("delete", "pod", "one") == 'pod "one" deleted\n'
    text = yaml.safe_dump(a_pod("two"))
    assert api.out("delete", "-f", "-", stdin=text) == 'pod "two" deleted\n'
    assert api.out("delete", "pods", "-l", "app=three") == 'pod "three" deleted\n'
    assert api.get("pods")["items"] == []
    assert 'pods "one" not found' in api.err("delete", "pod/one")
    assert api.out("delete", "pod/one", "--ignore-not-found") == ""


def test_delete_waits_until_the_object_is_gone(api: ApiServer) -> None:
    pod = a_pod()
    pod["metadata"]["finalizers"] = ["example.com/hold"]
    api.apply(pod)
    began = time.monotonic()
    assert "timed out" in api.err("delete", "pod/web", "--timeout", "1")
    assert time.monotonic() - began >= 1
    api.client.patch("pods", "web", api.namespace, {"metadata": {"finalizers": None}})
    assert api.get("pods")["items"] == []


def test_delete_of_everything_must_be_said(api: ApiServer) -> None:
    assert "say which" in api.podium("delete", "pods", code=2).stderr


def test_rollout_history_pause_resume_restart(api: ApiServer) -> None:
    api.apply(a_deployment())
    assert api.out("rollout", "pause", "deploy/web") == "deployment.apps/web paused\n"
    assert "already paused" in api.err("rollout", "pause", "deploy/web")
    assert "can't restart" in api.err("rollout", "restart", "deploy/web")
    assert api.out("rollout", "resume", "deploy/web") == "deployment.apps/web resumed\n"
    assert api.out("rollout", "restart", "deploy", "web") == "deployment.apps/web restarted\n"
    template = api.get("deploy/web")["spec"]["template"]
    assert "kubectl.kubernetes.io/restartedAt" in template["metadata"]["annotations"]
    assert "a pod has no rollouts" in api.err("rollout", "status", "pod/web")


def a_revision(deployment: dict[str, Any], number: int, image: str) -> dict[str, Any]:
    template = a_deployment(image=image)["spec"]["template"]
    labels = {"app": "web", "pod-template-hash": str(number)}
    template["metadata"]["labels"] = labels
    owner = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web", "controller": True}
    return {
        "metadata": {
            "name": f"web-{number}",
            "labels": labels,
            "annotations": {
                "deployment.kubernetes.io/revision": str(number),
                "kubernetes.io/change-cause": f"image {image}",
            },
            "ownerReferences": [{**owner, "uid": deployment["metadata"]["uid"]}],
        },
        "spec": {"replicas": 0, "selector": {"matchLabels": labels}, "template": template},
    }


def test_rollout_undo_goes_back_to_an_earlier_template(api: ApiServer) -> None:
    api.apply(a_deployment(image="new"))
    deployment = api.get("deploy/web")
    for number, image in ((1, "old"), (2, "new")):
        api.client.create("replicasets.apps", a_revision(deployment, number, image), api.namespace)
    history = api.out("rollout", "history", "deploy/web")
    assert "1          image old" in history
    assert api.out("rollout", "undo", "deploy/web") == "deployment.apps/web rolled back\n"
    found = api.get("deploy/web")
    assert found["spec"]["template"]["spec"]["containers"][0]["image"] == "old"
    assert found["spec"]["template"]["metadata"]["labels"] == {"app": "web"}
    assert found["metadata"]["annotations"]["kubernetes.io/change-cause"] == "image old"
    assert "skipped rollback" in api.out("rollout", "undo", "deploy/web", "--to-revision", "1")
    assert "unable to find" in api.err("rollout", "undo", "deploy/web", "--to-revision", "9")


def test_describe_shows_the_object_and_its_events(api: ApiServer) -> None:
    api.apply(a_pod())
    pod = api.get("pod/web")
    event = {
        "metadata": {"name": "web.1"},
        "involvedObject": {
            "kind": "Pod",
            "name": "web",
            "namespace": api.namespace,
            "uid": pod["metadata"]["uid"],
            "apiVersion": "v1",
        },
        "reason": "FailedScheduling",
        "message": "no nodes available",
        "type": "Warning",
        "source": {"component": "scheduler"},
    }
    api.client.create("events", event, api.namespace)
    text = api.out("describe", "pod", "web")
    assert "Name:             web" in text
    assert "FailedScheduling" in text
    assert "no nodes available" in text


def test_scale_only_from_what_was_said(api: ApiServer) -> None:
    api.apply(a_deployment(replicas=2))
    said = api.err("scale", "deploy/web", "--replicas", "5", "--current-replicas", "3")
    assert "has 2 replicas, not 3" in said
    assert "a pod cannot be scaled" in api.err("scale", "pod/web", "--replicas", "5")
    assert api.get("deploy/web")["spec"]["replicas"] == 2


def test_logs_and_exec_of_a_pod_that_does_not_run_are_told(api: ApiServer) -> None:
    api.apply(a_pod())
    assert api.out("logs", "web") == ""  # not scheduled: nothing to read, as in Kubernetes
    assert "Error from server (BadRequest)" in api.err("exec", "web", "--", "date")
    assert 'pods "ghost" not found' in api.err("logs", "ghost")
    assert "container nope is not valid for pod web" in api.err("logs", "web", "-c", "nope")


def test_wait_gives_up_when_told_to(api: ApiServer) -> None:
    text = yaml.safe_dump(a_pod())
    said = api.err("apply", "--wait", "--timeout", "1", "-f", "-", stdin=text)
    assert "timed out waiting for pods web" in said


def test_kubectl_and_podium_apply_the_same_objects(api: ApiServer) -> None:
    api.apply(a_deployment())
    done = subprocess.run(
        ["kubectl", "-n", api.namespace, "apply", "-f", "-"],
        env={**os.environ, "KUBECONFIG": str(api.data_dir / "admin.kubeconfig")},
        input=json.dumps(a_deployment(replicas=5)),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.stdout, done.stderr) == ("deployment.apps/web configured\n", "")
    assert api.apply(a_deployment(replicas=5)) == "deployment.apps/web unchanged\n"

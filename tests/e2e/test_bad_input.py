"""What a user gets wrong gets a clear error in Kubernetes' own words, and nothing is lost."""

from __future__ import annotations

import copy
import json
import ssl
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from tests.support.cluster import Cluster
from tests.support.namespaced import Namespaced, a_script, a_sleeper, a_web_deployment


def refused(ns: Namespaced, *args: str, stdin: str | None = None) -> str:
    done = ns.kubectl(*args, stdin=stdin, check=False)
    assert done.returncode != 0, done.stdout
    return done.stderr


def refused_object(ns: Namespaced, obj: dict[str, Any], *args: str) -> str:
    return refused(ns, "create", *args, "-f", "-", stdin=json.dumps(obj))


def test_broken_yaml_names_file_line_and_column(cluster: Cluster, tmp_path: Path) -> None:
    path = tmp_path / "broken.yaml"
    path.write_text("apiVersion: v1\nkind: Pod\nmetadata: {name: x\nspec: 1\n")
    done = cluster.podium("apply", "-f", str(path), check=False)
    assert done.returncode == 1
    assert str(path) in done.stderr
    assert "line 4, column 5" in done.stderr


def test_an_unknown_kind_is_named(ns: Namespaced) -> None:
    thing = {"apiVersion": "v1", "kind": "Pot", "metadata": {"name": "x"}}
    assert 'no matches for kind "Pot" in version "v1"' in refused_object(ns, thing)


def test_an_unknown_field_is_an_error_when_strict_and_a_warning_otherwise(ns: Namespaced) -> None:
    pod = a_sleeper()
    pod["spec"]["containres"] = []
    assert 'unknown field "spec.containres"' in refused_object(ns, pod)
    warned = ns.kubectl("create", "--validate=warn", "-f", "-", stdin=json.dumps(pod))
    assert 'Warning: unknown field "spec.containres"' in warned.stderr
    assert "containres" not in ns.get("pod", "web")["spec"]


def test_a_wrong_type_is_named(ns: Namespaced) -> None:
    deployment = a_web_deployment()
    deployment["spec"]["replicas"] = "three"
    assert "spec.replicas" in refused_object(ns, deployment)


def test_every_cause_is_told_not_just_the_first(ns: Namespaced) -> None:
    deployment = a_web_deployment()
    deployment["spec"]["template"]["metadata"]["labels"] = {"app": "other"}
    deployment["spec"]["template"]["spec"]["containers"][0]["name"] = "Not_A_Name"
    deployment["spec"]["replicas"] = -1
    message = refused_object(ns, deployment)
    assert "`selector` does not match template `labels`" in message
    assert 'spec.template.spec.containers[0].name: Invalid value: "Not_A_Name"' in message
    assert "spec.replicas: Invalid value: -1: must be greater than or equal to 0" in message


def test_an_immutable_selector_cannot_be_changed(ns: Namespaced) -> None:
    ns.apply(a_web_deployment())
    changed = a_web_deployment()
    changed["spec"]["selector"] = {"matchLabels": {"app": "x"}}
    changed["spec"]["template"]["metadata"]["labels"] = {"app": "x"}
    message = refused(ns, "apply", "-f", "-", stdin=json.dumps(changed))
    assert "spec.selector: Invalid value" in message
    assert "field is immutable" in message
    assert ns.get("deploy", "web")["spec"]["selector"]["matchLabels"] == {"app": "web"}


def test_a_pods_spec_cannot_be_changed(ns: Namespaced) -> None:
    ns.apply(a_sleeper())
    ns.wait("pod/web", "condition=Ready")  # after this its version stays
    pod = copy.deepcopy(ns.get("pod", "web"))
    pod["spec"]["hostNetwork"] = True
    assert "pod updates may not change fields" in refused(
        ns, "replace", "-f", "-", stdin=json.dumps(pod)
    )


def test_a_name_of_300_characters_is_refused(ns: Namespaced) -> None:
    message = refused_object(ns, a_sleeper("x" * 300))
    assert "must be no more than 253 characters" in message


def test_a_body_of_20_megabytes_is_refused_with_413(cluster: Cluster) -> None:
    context = cluster.admin_tls_context()
    request = urllib.request.Request(
        f"https://127.0.0.1:{cluster.port}/api/v1/namespaces/default/configmaps",
        data=b" " * 20_000_000,
        headers={"Content-Type": "application/json"},
    )
    with pytest.raises((urllib.error.HTTPError, urllib.error.URLError)) as caught:
        urllib.request.urlopen(request, context=context, timeout=20)
    if isinstance(caught.value, urllib.error.HTTPError):
        assert caught.value.code == 413
        assert json.load(caught.value)["reason"] == "RequestEntityTooLarge"
        caught.value.close()
    else:  # the server answered and closed before the body was sent: the sender saw the reset
        assert "reset" in str(caught.value).lower() or "broken pipe" in str(caught.value).lower()


def test_without_credentials_the_answer_is_401(cluster: Cluster) -> None:
    context = ssl.create_default_context(cafile=cluster.data_dir / "pki" / "ca.crt")
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(
            f"https://127.0.0.1:{cluster.port}/api/v1/pods", context=context, timeout=20
        )
    assert caught.value.code == 401
    assert json.load(caught.value)["reason"] == "Unauthorized"
    caught.value.close()


def test_an_image_that_does_not_exist_backs_off_and_says_its_name(ns: Namespaced) -> None:
    ns.apply(a_sleeper(image="no-such-image:9"))
    ns.wait(
        "pod/web", "jsonpath={.status.containerStatuses[0].state.waiting.reason}=ImagePullBackOff"
    )
    text = ns.out("describe", "pod", "web")
    assert "ErrImagePull" in text
    assert "no-such-image:9" in text


def test_a_command_that_does_not_exist_ends_with_start_error(ns: Namespaced) -> None:
    pod = a_script("web", "")
    pod["spec"]["containers"][0]["command"] = ["/no/such/program"]
    ns.apply(pod)
    ns.wait("pod/web", "jsonpath={.status.phase}=Failed")
    ended = ns.get("pod", "web")["status"]["containerStatuses"][0]["state"]["terminated"]
    assert ended["reason"] == "StartError"
    assert ended["exitCode"] in (127, 128)
    assert "/no/such/program" in ended["message"]


def test_a_missing_object_is_not_found_in_kubernetes_words(ns: Namespaced) -> None:
    assert 'Error from server (NotFound): pods "ghost" not found' in refused(
        ns, "get", "pod", "ghost"
    )


def test_a_port_in_use_is_told_before_anything_starts(cluster: Cluster, tmp_path: Path) -> None:
    done = cluster.podium_anywhere(
        "up", "-d", "--data-dir", str(tmp_path / "other"), "--port", str(cluster.port), check=False
    )
    assert done.returncode == 1
    assert f"port {cluster.port} is already in use" in done.stderr
    assert not (tmp_path / "other" / "podium.db").exists()

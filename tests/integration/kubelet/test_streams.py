"""exec and attach as the kubelet serves them: WebSocket and SPDY, every version."""

from __future__ import annotations

import json
import threading

import pytest
from wsproto.events import Ping

from tests.integration.kubelet.served import Client, Served, SpdyClient
from tests.support.waiting import eventually


def test_exec_gives_output_and_exit_code_apart(served: Served) -> None:
    command = "command=sh&command=-c&command=echo+out%3B+echo+err+%3E%262%3B+exit+7"
    client = Client(served, f"{command}&stdout=true&stderr=true")
    status = client.finish()
    assert (client.output[1], client.output[2]) == (b"out\n", b"err\n")
    assert status["reason"] == "NonZeroExitCode"
    assert status["details"]["causes"] == [{"reason": "ExitCode", "message": "7"}]


def test_stdin_ends_when_the_client_closes_its_channel(served: Served) -> None:
    client = Client(served, "command=cat&stdin=true&stdout=true")
    client.wait_accepted()
    client.write(0, b"hello")
    client.write(255, b"\x00")
    assert client.finish() == {"metadata": {}, "status": "Success"}
    assert client.output[1] == b"hello"


def test_a_megabyte_goes_through_both_ways(served: Served) -> None:
    client = Client(served, "command=cat&stdin=true&stdout=true")
    client.wait_accepted()
    sent = bytes(range(256)) * 4096
    for start in range(0, len(sent), 1 << 16):
        client.write(0, sent[start : start + (1 << 16)])
        while len(client.output.get(1, b"")) < start + (1 << 15):
            client.read()
    client.write(255, b"\x00")
    client.finish()
    assert client.output[1] == sent


def test_pings_are_answered(served: Served) -> None:
    client = Client(served, "command=cat&stdin=true&stdout=true")
    client.wait_accepted()
    client.send(Ping(b"there?"))
    while not client.pongs:
        client.read()
    client.write(255, b"\x00")
    client.finish()


def test_a_command_that_does_not_exist_is_named(served: Served) -> None:
    status = Client(served, "command=no-such-program&stdout=true").finish()
    assert status["status"] == "Failure"
    assert "no-such-program" in status["message"]


def test_a_process_ends_with_its_client(served: Served) -> None:
    client = Client(served, "command=sleep&command=1000&stdout=true")
    client.wait_accepted()
    client.sock.close()
    eventually(lambda: not [t for t in threading.enumerate() if t.name == "exec-wait"])


def test_a_container_that_has_ended_runs_nothing(served: Served) -> None:
    served.runtime.end(served.id)
    code, message = served.get("/exec/default/web/main?command=true")
    assert (code, message) == (500, 'container not found ("main")')


# ---- every version of the protocols --------------------------------------------------------------

SHELL = (
    "command=sh&command=-c&command=echo+out%3B+echo+err+%3E%262%3B+exit+7&stdout=true&stderr=true"
)
WITH_STATUS = ("v5.channel.k8s.io", "v4.channel.k8s.io", "v4.base64.channel.k8s.io")


@pytest.mark.parametrize("protocol", [*WITH_STATUS, "channel.k8s.io", "base64.channel.k8s.io"])
def test_every_websocket_protocol_carries_output_and_result(served: Served, protocol: str) -> None:
    client = Client(served, SHELL, protocol)
    client.read_to_the_end()
    assert (client.output[1], client.output[2]) == (b"out\n", b"err\n")
    if protocol in WITH_STATUS:
        assert json.loads(client.output[3])["reason"] == "NonZeroExitCode"
    else:
        assert client.output[3] == b"command terminated with non-zero exit code: exit status 7"


@pytest.mark.parametrize("version", [5, 4, 3, 2, 1])
def test_every_spdy_protocol_carries_output_and_result(served: Served, version: int) -> None:
    protocol = f"v{version}.channel.k8s.io" if version > 1 else "channel.k8s.io"
    client = SpdyClient(served, f"/exec/default/web/main?{SHELL}", protocol)
    client.open("error", "stdout", "stderr")
    client.read_to_the_end()
    assert (client.output["stdout"], client.output["stderr"]) == (b"out\n", b"err\n")
    if version >= 4:
        assert json.loads(client.output["error"])["reason"] == "NonZeroExitCode"
    else:
        assert client.output["error"].endswith(b"exit status 7")


def test_half_of_a_spdy_stream_is_the_end_of_stdin(served: Served) -> None:
    query = "command=cat&stdin=true&stdout=true"
    client = SpdyClient(served, f"/exec/default/web/main?{query}", "v4.channel.k8s.io")
    client.open("error", "stdin", "stdout")
    client.write("stdin", b"x" * 1_000_000)
    client.write("stdin", b"", is_last=True)
    client.read_to_the_end()
    assert client.output["stdout"] == b"x" * 1_000_000
    assert json.loads(client.output["error"])["status"] == "Success"


def test_a_spdy_client_that_goes_ends_its_process(served: Served) -> None:
    query = "command=sleep&command=1000&stdout=true"
    client = SpdyClient(served, f"/exec/default/web/main?{query}", "v4.channel.k8s.io")
    client.open("error", "stdout")
    client.sock.close()
    eventually(lambda: not [t for t in threading.enumerate() if t.name == "exec-wait"])


def test_a_version_that_nobody_knows_is_refused(served: Served) -> None:
    with pytest.raises(AssertionError, match=r"403.*client supports \[v9\], server accepts \[v5"):
        SpdyClient(served, f"/exec/default/web/main?{SHELL}", "v9")


# ---- attach --------------------------------------------------------------------------------------


def test_who_is_attached_hears_what_is_written(served: Served) -> None:
    client = Client(served, "stdout=true", verb="attach")
    client.wait_accepted()
    eventually(lambda: served.runtime.attached(served.id) == 1)
    served.print("hello")
    while client.output.get(1, b"") != b"hello\n":
        client.read()
    served.runtime.end(served.id, exit_code=3)
    assert client.finish() == {"metadata": {}, "status": "Success"}


def test_who_does_not_keep_up_is_told_so(served: Served) -> None:
    client = Client(served, "stdout=true", verb="attach")
    client.wait_accepted()
    eventually(lambda: served.runtime.attached(served.id) == 1)
    line = b"x" * 999_999 + b"\n"
    for _ in range(100):
        if served.runtime.attached(served.id):
            served.runtime.write_log(served.id, line)
    assert served.runtime.attached(served.id) == 0
    status = client.finish()
    assert (status["status"], status["code"]) == ("Failure", 500)
    assert "does not keep up" in status["message"]


def test_attach_wants_a_stream(served: Served) -> None:
    code, message = served.get("/attach/default/web/main?tty=true")
    assert (code, message) == (400, "you must specify at least 1 of stdin, stdout, stderr")

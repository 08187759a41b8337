"""Records, messages and small tables: what needs neither root nor the kernel."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from kubelet.runtime import capabilities, host_image, leftovers, messages
from kubelet.runtime.container_child import find_executable
from kubelet.runtime.errors import CommandNotExecutable, CommandNotFound
from kubelet.runtime.event_feed import EventFeed
from kubelet.runtime.layout import Layout, connect, read_record, short_path, write_record
from kubelet.runtime.protocol import ContainerConfig, Mount, Resources, RuntimeEvent, SandboxConfig


def test_a_record_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = str(tmp_path / "state.json")
    write_record(path, {"a": [1, "ä"]})
    write_record(path, {"a": 2})
    assert read_record(path) == {"a": 2}
    assert os.listdir(tmp_path) == ["state.json"]


@pytest.mark.parametrize("rubbish", [b"", b"\0\0\0", b"[1]", b'{"half'])
def test_rubbish_is_no_record(tmp_path: Path, rubbish: bytes) -> None:
    (tmp_path / "x").write_bytes(rubbish)
    assert read_record(str(tmp_path / "x")) is None
    assert read_record(str(tmp_path / "missing")) is None


@pytest.mark.parametrize("name", ["", ".", "..", "../x", "a/b", "a\n", "-x", "x" * 129])
def test_a_sandbox_id_must_be_a_plain_name(name: str) -> None:
    with pytest.raises(ValueError, match="not a plain name"):
        Layout("/r").sandbox(name)


def test_a_socket_may_lie_deeper_than_a_socket_path_may_be_long(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 100) / ("e" * 100)
    deep.mkdir(parents=True)
    with socket.socket(socket.AF_UNIX) as listener:
        with short_path(str(deep), "s.sock") as path:
            listener.bind(path)
        listener.listen()
        with connect(str(deep), "s.sock"):
            pass
    with pytest.raises(ConnectionRefusedError):
        connect(str(deep), "s.sock")


def test_configurations_survive_the_wire() -> None:
    container = ContainerConfig(
        name="a", attempt=2, argv=["x"], env={"A": "b"}, cwd="/", log_path="/l", groups=[1],
        mounts=[Mount("/s", "/t", readonly=True)], resources=Resources(pids=3), labels={"l": "v"},
    )  # fmt: skip
    sandbox = SandboxConfig("id", "host", "kubepods/x", Resources(cpu_shares=2), host_ipc=True)
    assert messages.container_config(messages.to_dict(container)) == container
    assert messages.sandbox_config(messages.to_dict(sandbox)) == sandbox


def test_messages_arrive_whole_with_their_descriptors() -> None:
    ours, theirs = socket.socketpair()
    receiver = messages.Receiver()
    with ours, theirs, open("/dev/null") as null:
        data = messages.encode({"id": 1}) + messages.encode({"id": 2})
        socket.send_fds(ours, [data[:14]], [null.fileno()])
        assert receiver.receive(theirs) == [{"id": 1}]
        ours.sendall(data[14:])
        assert receiver.receive(theirs) == [{"id": 2}]
        (fd,) = receiver.take_fds(1)
        assert os.fstat(fd).st_rdev == os.fstat(null.fileno()).st_rdev
        assert not os.get_inheritable(fd)
        os.close(fd)
        ours.shutdown(socket.SHUT_WR)
        assert receiver.receive(theirs) is None


def test_every_listener_hears_what_comes_after_it_began() -> None:
    feed = EventFeed()
    first = feed.listen()
    feed.put(RuntimeEvent("container_started", "s", "1"))
    second = feed.listen()
    feed.put(RuntimeEvent("container_exited", "s", "1"))
    feed.close()
    assert [event.kind for event in first] == ["container_started", "container_exited"]
    assert [event.kind for event in second] == ["container_exited"]
    assert list(feed.listen()) == []


def test_capabilities_have_linuxs_numbers() -> None:
    assert capabilities.mask_of(["CAP_CHOWN", "CAP_MKNOD"]) == 1 | 1 << 27
    assert capabilities.mask_of(["CAP_SYS_ADMIN", "CAP_CHECKPOINT_RESTORE"]) == 1 << 21 | 1 << 40
    with pytest.raises(ValueError, match="unknown capability 'SYS_ADMIN'"):
        capabilities.mask_of(["SYS_ADMIN"])


def test_a_command_is_looked_up_in_path(tmp_path: Path) -> None:
    for name, mode in (("run", 0o755), ("data", 0o644)):
        (tmp_path / name).write_text("")
        (tmp_path / name).chmod(mode)
    env = {"PATH": f"/no/such:{tmp_path}"}
    assert find_executable("run", env) == f"{tmp_path}/run"
    with pytest.raises(
        CommandNotFound, match=r'^exec: "data": executable file not found in \$PATH$'
    ):
        find_executable("data", env)
    with pytest.raises(CommandNotExecutable, match="permission denied"):
        find_executable(f"{tmp_path}/data", env)
    with pytest.raises(CommandNotFound, match="no such file or directory"):
        find_executable(f"{tmp_path}/data/x", env)


def test_the_host_image_has_no_secrets_and_is_made_once(tmp_path: Path) -> None:
    image = host_image.prepare(str(tmp_path))
    names = set(os.listdir(f"{image.lower_dir}/etc"))
    assert {"passwd", "group", "hosts", "hostname", "resolv.conf", "mtab"} <= names
    assert not names & {"shadow", "gshadow", "machine-id", "ssh", "sudoers"}
    assert not os.path.exists(f"{image.lower_dir}/etc/ssl/private")
    assert os.stat(f"{image.lower_dir}/tmp").st_mode & 0o7777 == 0o1777
    assert image.readonly_binds[0] == "/usr"
    assert host_image.prepare(str(tmp_path)) == image
    assert os.listdir(tmp_path) == [os.path.basename(image.lower_dir)]


def test_mountinfos_escapes_are_undone() -> None:
    assert leftovers._unescape(r"/a\040b\134c") == r"/a b\c"

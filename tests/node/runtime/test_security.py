"""Privileges of a process in a container, as the kernel has them."""

from __future__ import annotations

import base64
import json
import os
import re
from pathlib import Path

import pytest

from kubelet.runtime.errors import RuntimeFailure
from kubelet.runtime.protocol import ContainerStatus
from kubelet.seccomp import SeccompProfiles
from tests.node.runtime.engine import DEFAULT_CAPABILITIES, Pods

# Makes system call number argv[1] with arguments argv[2:] and prints the errno
CALL = """python3 -c '
import ctypes, sys
libc = ctypes.CDLL(None, use_errno=True)
words = [ctypes.c_long(int(word, 0)) for word in sys.argv[1:]]
print(ctypes.get_errno() if libc.syscall(*words) < 0 else 0)
' """
EPERM, EINVAL, ENOSYS = "1", "22", "38"
UNSHARE, KEYCTL, X32_UNSHARE, I386_UNSHARE = 272, 250, 0x40000000 | 272, 310

# The same by `int 0x80`, the 32-bit way, which a 64-bit process may take as well
CALL_32 = """python3 -c '
import ctypes, mmap, struct, sys
number, argument = (int(word, 0) for word in sys.argv[1:])
code = b"\\x53\\xbb" + struct.pack("<I", argument) + b"\\xb8" + struct.pack("<I", number)
page = mmap.mmap(-1, 4096, prot=7)
page.write(code + b"\\xcd\\x80\\x5b\\xc3")
address = ctypes.addressof(ctypes.c_char.from_buffer(page))
print(-ctypes.CFUNCTYPE(ctypes.c_int)(address)())
' """


def default_filter(capabilities: list[str] = DEFAULT_CAPABILITIES) -> str:
    return SeccompProfiles("/nowhere").program({"type": "RuntimeDefault"}, capabilities)


def local_filter(directory: Path, **profile: object) -> str:
    (directory / "profile.json").write_text(json.dumps(profile))
    found = {"type": "Localhost", "localhostProfile": "profile.json"}
    return SeccompProfiles(str(directory)).program(found, DEFAULT_CAPABILITIES)


def status_of(pods: Pods, container: ContainerStatus) -> dict[str, str]:
    """/proc/1/status as seen from an exec'ed process's neighbour."""
    return dict(re.findall(r"(\w+):\s+(.*)", pods.sh(container, "cat /proc/1/status")))


@pytest.mark.parametrize("uid", [0, 1234])
@pytest.mark.parametrize("no_new_privileges", [True, False])
def test_a_filter_holds_for_the_command_and_for_what_is_execed(
    pods: Pods, uid: int, no_new_privileges: bool
) -> None:
    container = pods.sleeper(seccomp=default_filter(), uid=uid, no_new_privileges=no_new_privileges)
    assert status_of(pods, container)["Seccomp"] == "2"
    own = dict(re.findall(r"(\w+):\s+(.*)", pods.sh(container, "cat /proc/self/status")))
    assert (own["Seccomp"], own["Seccomp_filters"]) == ("2", "1")
    assert own["NoNewPrivs"] == str(int(no_new_privileges))
    assert own["CapEff"] == own["CapPrm"]
    assert int(own["CapPrm"], 16) & 1 << 21 == 0  # no CAP_SYS_ADMIN left over


def test_the_default_filter_refuses_what_an_unfiltered_process_may_do(pods: Pods) -> None:
    free, bound = pods.sleeper(), pods.sleeper(seccomp=default_filter())
    get_keyring = f"{KEYCTL} 0 -3 0"  # KEYCTL_GET_KEYRING_ID of the session keyring
    assert pods.sh(free, CALL + get_keyring) == "0"
    assert pods.sh(bound, CALL + get_keyring) == EPERM
    assert pods.sh(bound, f"{CALL} {UNSHARE} 0x10000000") == EPERM
    assert pods.sh(bound, f"{CALL} 1000") == ENOSYS
    assert (
        pods.sh(bound, "ls / >/dev/null && python3 -c 'import threading, socket' && echo works")
        == "works"
    )


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="other machines have one way")
def test_the_default_filter_guards_every_way_of_calling(pods: Pods) -> None:
    free, bound = pods.sleeper(), pods.sleeper(seccomp=default_filter())
    new_user_namespace = "0x10000000"
    assert pods.sh(free, f"{CALL} {X32_UNSHARE} {new_user_namespace}") == ENOSYS
    assert pods.sh(bound, f"{CALL} {X32_UNSHARE} {new_user_namespace}") == EPERM
    if pods.sh(free, f"{CALL_32} {I386_UNSHARE} {new_user_namespace}") == "0":
        assert pods.sh(bound, f"{CALL_32} {I386_UNSHARE} {new_user_namespace}") == EPERM
        assert pods.sh(bound, f"{CALL_32} 20 0") != EPERM  # getpid


def test_a_container_without_a_filter_has_none(pods: Pods) -> None:
    assert status_of(pods, pods.sleeper())["Seccomp"] == "0"


def test_a_privileged_container_is_not_filtered(pods: Pods) -> None:
    container = pods.sleeper(seccomp=default_filter(), privileged=True)
    assert status_of(pods, container)["Seccomp"] == "0"


def test_a_profile_of_the_node_is_obeyed(pods: Pods, tmp_path: Path) -> None:
    no_mkdir = {"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 13}
    text = local_filter(tmp_path, defaultAction="SCMP_ACT_ALLOW", syscalls=[no_mkdir])
    container = pods.sleeper(seccomp=text)
    assert "Permission denied" in pods.sh(container, "mkdir /tmp/x")
    assert pods.sh(container, "touch /tmp/x && echo made") == "made"


def test_a_profile_that_kills_ends_the_process_by_sigsys(pods: Pods, tmp_path: Path) -> None:
    kill = {"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_KILL_PROCESS"}
    text = local_filter(tmp_path, defaultAction="SCMP_ACT_ALLOW", syscalls=[kill])
    ended = pods.ended(pods.start("mkdir", "/tmp/x", seccomp=text))
    assert ended.exit_code == 128 + 31  # SIGSYS


def test_a_profile_without_clone_lets_an_exec_in_only_with_no_new_privileges(
    pods: Pods, tmp_path: Path
) -> None:
    """What is exec'ed must not be seen in the container while it still may set a filter itself."""
    no_fork = {"names": ["clone", "clone3", "fork", "vfork"], "action": "SCMP_ACT_ERRNO"}
    text = local_filter(tmp_path, defaultAction="SCMP_ACT_ALLOW", syscalls=[no_fork])
    bound = pods.sleeper(seccomp=text, no_new_privileges=True)
    assert pods.run(bound, "true")[0] == 0
    assert "fork" in pods.sh(bound, "(true) 2>&1")
    with pytest.raises(RuntimeFailure, match="seccomp profile refuses clone"):
        pods.run(pods.sleeper(seccomp=text), "true")


def test_a_program_that_the_kernel_does_not_take_is_a_start_error(pods: Pods) -> None:
    rubbish = base64.b64encode(bytes(8)).decode()
    started = pods.sleeper(seccomp=rubbish)
    assert (started.reason, started.exit_code) == ("StartError", 128)
    assert "seccomp" in started.message


def test_sysctls_are_set_in_the_sandbox_and_not_on_the_host(pods: Pods) -> None:
    wanted = {"net.ipv4.ip_unprivileged_port_start": "80", "kernel.msgmax": "4321"}
    before = {name: Path(f"/proc/sys/{name.replace('.', '/')}").read_text() for name in wanted}
    container = pods.sleeper(sandbox=pods.sandbox(sysctls=wanted))
    for name, value in wanted.items():
        path = f"/proc/sys/{name.replace('.', '/')}"
        assert pods.sh(container, f"cat {path}") == value
        assert Path(path).read_text() == before[name] != f"{value}\n"


def test_a_sysctl_that_does_not_exist_is_named(pods: Pods) -> None:
    sandbox = pods.sandbox(sysctls={"net.ipv4.conf.eth0.forwarding": "1"})
    with pytest.raises(RuntimeFailure, match=r'set sysctl "net.ipv4.conf.eth0.forwarding"'):
        pods.create("true", sandbox=sandbox)


def test_an_unmasked_proc_hides_nothing(pods: Pods) -> None:
    masked, unmasked = pods.sleeper(), pods.sleeper(unmasked_proc=True)
    count = "grep -c ' /proc/' /proc/self/mountinfo || true"
    assert int(pods.sh(masked, count)) > 5
    assert pods.sh(unmasked, count) == "0"


def test_open_files_are_limited_as_for_a_service_and_cores_are_not_written(pods: Pods) -> None:
    limits = pods.sh(pods.sleeper(), "ulimit -Sn; ulimit -Sc; ulimit -Hn").split()
    assert limits[:2] == ["1024", "0"]
    assert int(limits[2]) <= 524_288

"""What the container engine raises.

RuntimeFailure
├── SandboxNotFound        no such sandbox: nothing to do or make it again
├── ContainerNotFound
├── ContainerNotRunning    exec into a container that has exited
├── CommandNotFound        argv[0] does not exist in the rootfs (exit 127)
├── CommandNotExecutable   it exists and cannot be run (exit 126)
├── ShimGone               the shim died or does not answer: make the sandbox anew
└── HostUnsupported        the kernel or our privileges lack something, named in the message
"""

from __future__ import annotations


class RuntimeFailure(Exception):
    """Anything the engine could not do; the message names the call and the object."""


class SandboxNotFound(RuntimeFailure): ...


class ContainerNotFound(RuntimeFailure): ...


class ContainerNotRunning(RuntimeFailure): ...


class CommandNotFound(RuntimeFailure): ...


class CommandNotExecutable(RuntimeFailure): ...


class ShimGone(RuntimeFailure): ...


class HostUnsupported(RuntimeFailure): ...

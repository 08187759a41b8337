"""The launcher's first step: to be a program that no container can write to.

`python -m kubelet.runtime --root R --cgroup-root C`. A container that asks to run /proc/self/exe
runs the program of the process that was about to become it: the host's Python. It could keep that
file open, wait until nobody runs it, and write to it (CVE-2019-5736). So the launcher, and with it
every shim and container child, runs from a read-only mount that is attached nowhere: the file is
the same, but no way of reaching it allows writing. Costs one start of an empty Python.
"""

from __future__ import annotations

import os
import sys


def main() -> None:
    if os.statvfs("/proc/self/exe").f_flag & os.ST_RDONLY:
        from kubelet.runtime import launcher

        launcher.main()
        return
    from kubelet.runtime import syscalls

    program = syscalls.open_tree("/proc/self/exe")  # closed by the exec, which keeps the mount
    syscalls.make_readonly(program)
    argv = [sys.executable, *sys.orig_argv[1:]]  # by its first word Python finds its libraries
    os.execv(f"/proc/self/fd/{program}", argv)


if __name__ == "__main__":
    main()

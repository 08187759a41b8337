"""The kernel behind a Pod: what it enforces and counts now, read beside what the spec asks for.

Room kubelet/inspect: reads only, standard library; called by the kubelet's server, any thread.
`enforced.py` is the table of spec field → kernel file (docs/spec-to-kernel.md is checked against
it); `processes.py`, `cgroup_values.py`, `mounts.py` read /proc and cgroupfs, `network_view.py` what
`kubelet/network` reads by netlink; `inspection.py` puts a Pod together. What ends while it is read
is left out. Nothing here knows what the code meant: all comes from a process's own /proc.
"""

from kubelet.inspect.as_commands import NotRepeatable
from kubelet.inspect.inspection import Inspector

__all__ = ["Inspector", "NotRepeatable"]

"""What containerd cannot do is refused by name."""

from __future__ import annotations

import pytest

from kubelet.containerd.translate import refuse_unsupported
from kubelet.runtime.errors import HostUnsupported
from kubelet.runtime.protocol import ContainerConfig, Mount


def test_containerd_refuses_a_mount_that_is_read_only_with_all_below_it() -> None:
    plain = Mount("/srv", "/data", readonly=True)
    refuse_unsupported(ContainerConfig("main", 0, ["true"], {}, "/", "/log", mounts=[plain]))
    deep = Mount("/srv", "/data", readonly=True, is_recursive=True)
    config = ContainerConfig("main", 0, ["true"], {}, "/", "/log", mounts=[deep])
    with pytest.raises(HostUnsupported, match="recursive read-only mounts"):
        refuse_unsupported(config)

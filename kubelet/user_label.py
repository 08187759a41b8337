"""Who a container's first process is, kept with the container for its status. Pure.

Room kubelet; written by container_config.py into the container's labels, read by pod_status.py for
`status.containerStatuses[].user`: so it is true whatever was restarted in between.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

USER_LABEL = "user"  # "1000 3000 3000,4000": uid, gid, groups


def user_label(uid: int, gid: int, groups: Sequence[int]) -> str:
    return f"{uid} {gid} {','.join(map(str, groups))}"


def shown_user(labels: Mapping[str, str]) -> dict[str, Any] | None:
    """A ContainerUser; None for a container of an older kubelet."""
    if USER_LABEL not in labels:
        return None
    uid, gid, groups = labels[USER_LABEL].split(" ")
    linux: dict[str, Any] = {"uid": int(uid), "gid": int(gid)}
    linux["supplementalGroups"] = [int(group) for group in groups.split(",")]
    return {"linux": linux}

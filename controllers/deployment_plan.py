"""Room controllers: how a Deployment gets from where it is to where it should be, without any I/O.

Called by `deployment.py`. Each function takes the Deployment and its ReplicaSets as they are now
and gives the next step; what the step brings about is seen in a later pass. The rules are
Kubernetes' (documentation of Deployment: rolling update, proportional scaling, status).
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import orjson

Object = dict[str, Any]

HASH_LABEL = "pod-template-hash"
REVISION = "deployment.kubernetes.io/revision"
REVISION_HISTORY = "deployment.kubernetes.io/revision-history"
DESIRED_REPLICAS = "deployment.kubernetes.io/desired-replicas"
MAX_REPLICAS = "deployment.kubernetes.io/max-replicas"
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
# Annotations of the Deployment that its ReplicaSets do not get.
NOT_COPIED = frozenset(
    {LAST_APPLIED, REVISION, REVISION_HISTORY, DESIRED_REPLICAS, MAX_REPLICAS}
    | {"deprecated.deployment.rollback.to"}
)
MAX_HISTORY_CHARACTERS = 2000
SAFE_LETTERS = "bcdfghjklmnpqrstvwxz2456789"  # no vowels: no words


@dataclass(frozen=True, slots=True)
class Scale:
    """Give a ReplicaSet this many replicas."""

    replicaset: Object
    replicas: int


# --- reading ------------------------------------------------------------------------------------


def replicas_of(obj: Object) -> int:
    """What a Deployment or ReplicaSet asks for."""
    replicas = obj["spec"].get("replicas")
    return 1 if replicas is None else int(replicas)


def available_of(replicaset: Object) -> int:
    """How many are available and will stay: a status may be older than a scale down."""
    available = (replicaset.get("status") or {}).get("availableReplicas") or 0
    return min(int(available), replicas_of(replicaset))


def total(replicasets: Iterable[Object]) -> int:
    """The sum of what they ask for."""
    return sum(map(replicas_of, replicasets))


def counted(replicasets: Iterable[Object], count: str) -> int:
    """The sum of a count in their status."""
    return sum((rs.get("status") or {}).get(count) or 0 for rs in replicasets)


def active(replicasets: Iterable[Object]) -> list[Object]:
    """Those that ask for Pods."""
    return [rs for rs in replicasets if replicas_of(rs) > 0]


def oldest_first(replicasets: Iterable[Object]) -> list[Object]:
    return sorted(replicasets, key=_age)


def _age(obj: Object) -> tuple[str, str]:
    return obj["metadata"].get("creationTimestamp") or "", obj["metadata"]["name"]


def revision_of(obj: Object) -> int:
    """As annotated; 0 if it is not, or not as a number."""
    return _number_in(obj, REVISION) or 0


def _number_in(obj: Object, annotation: str) -> int | None:
    text = (obj["metadata"].get("annotations") or {}).get(annotation)
    try:
        return int(text) if text is not None else None
    except ValueError:
        return None


def is_rolling(deployment: Object) -> bool:
    return (deployment["spec"].get("strategy") or {}).get("type") != "Recreate"


def max_surge(deployment: Object) -> int:
    """How many Pods there may be beyond the wanted; 0 unless it is a rolling update."""
    return _fence_posts(deployment)[0] if is_rolling(deployment) else 0


def max_unavailable(deployment: Object) -> int:
    """How many of the wanted Pods may be missing; 0 unless it is a rolling update."""
    wanted = replicas_of(deployment)
    if not is_rolling(deployment) or wanted == 0:
        return 0
    return min(_fence_posts(deployment)[1], wanted)


def _fence_posts(deployment: Object) -> tuple[int, int]:
    rolling = (deployment["spec"].get("strategy") or {}).get("rollingUpdate") or {}
    wanted = replicas_of(deployment)
    surge = scaled(rolling.get("maxSurge", "25%"), wanted, round_up=True)
    unavailable = scaled(rolling.get("maxUnavailable", "25%"), wanted, round_up=False)
    if surge == 0 and unavailable == 0:
        unavailable = 1  # both round to nothing: without this it would never move
    return surge, unavailable


def scaled(value: int | str | None, of: int, *, round_up: bool) -> int:
    """An IntOrString: 3, or "25%" of a number."""
    if value is None:
        return 0
    if isinstance(value, int):
        return value
    share = int(value.removesuffix("%")) * of
    return -(-share // 100) if round_up else share // 100


# --- which ReplicaSet is the new one ------------------------------------------------------------


def new_and_old(deployment: Object, owned: Iterable[Object]) -> tuple[Object | None, list[Object]]:
    """The ReplicaSet with the Deployment's template (of several the oldest), and the rest."""
    wanted = comparable(deployment["spec"]["template"])
    ordered = oldest_first(owned)
    new = next((rs for rs in ordered if comparable(rs["spec"]["template"]) == wanted), None)
    return new, [rs for rs in ordered if rs is not new]


def comparable(template: Object) -> Any:
    """A template without its hash label, and without what means nothing."""
    meta = template.get("metadata") or {}
    labels = {k: v for k, v in (meta.get("labels") or {}).items() if k != HASH_LABEL}
    given = {k: v for k, v in meta.items() if k != "creationTimestamp"}
    return _meaningful({**template, "metadata": {**given, "labels": labels}})


def _meaningful(value: Any) -> Any:
    """Nothing, an empty list and an empty map are the same in a comparison."""
    if isinstance(value, dict):
        items = ((key, _meaningful(item)) for key, item in value.items())
        return {key: item for key, item in items if item not in (None, [], {})}
    if isinstance(value, list):
        return [_meaningful(item) for item in value]
    return value


def template_hash(template: Object, collision_count: int | None) -> str:
    """Up to ten letters, for names and labels; another collision count gives another."""
    plain = orjson.dumps(comparable(template), option=orjson.OPT_SORT_KEYS)
    digest = hashlib.blake2b(plain, digest_size=4)
    if collision_count is not None:
        digest.update(str(collision_count).encode())
    number = str(int.from_bytes(digest.digest(), "big"))
    return "".join(SAFE_LETTERS[ord(digit) % len(SAFE_LETTERS)] for digit in number)


def new_replicaset(deployment: Object, old: list[Object], reference: Object) -> Object:
    """The ReplicaSet to create for the Deployment's template."""
    spec, meta = deployment["spec"], deployment["metadata"]
    collisions = (deployment.get("status") or {}).get("collisionCount")
    hash_ = template_hash(spec["template"], collisions)
    template_meta = dict(spec["template"].get("metadata") or {})
    template_meta["labels"] = {**(template_meta.get("labels") or {}), HASH_LABEL: hash_}
    selector = dict(spec["selector"])
    selector["matchLabels"] = {**(selector.get("matchLabels") or {}), HASH_LABEL: hash_}
    annotations = copied_annotations(deployment) | {REVISION: str(next_revision(old))}
    made: Object = {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": {
            "name": f"{meta['name']}-{hash_}",
            "namespace": meta.get("namespace"),
            "labels": template_meta["labels"],
            "annotations": annotations | size_annotations(deployment),
            "ownerReferences": [reference],
        },
        "spec": {
            "replicas": 0,
            "selector": selector,
            "template": {**spec["template"], "metadata": template_meta},
        },
    }
    if spec.get("minReadySeconds"):
        made["spec"]["minReadySeconds"] = spec["minReadySeconds"]
    made["spec"]["replicas"] = new_size(deployment, made, old)
    return made


# --- annotations --------------------------------------------------------------------------------


def next_revision(old: Iterable[Object]) -> int:
    return max(map(revision_of, old), default=0) + 1


def copied_annotations(deployment: Object) -> dict[str, str]:
    found = deployment["metadata"].get("annotations") or {}
    return {name: value for name, value in found.items() if name not in NOT_COPIED}


def size_annotations(deployment: Object) -> dict[str, str]:
    """On each ReplicaSet: what the Deployment was sized to when it was last scaled."""
    wanted = replicas_of(deployment)
    return {
        DESIRED_REPLICAS: str(wanted),
        MAX_REPLICAS: str(wanted + max_surge(deployment)),
    }


def new_annotations(deployment: Object, new: Object, old: list[Object]) -> dict[str, str]:
    """What to change in the annotations of the new ReplicaSet: {} when all is as it should be.

    A ReplicaSet that is rolled back to gets the next revision and keeps a list of those it had.
    """
    found = new["metadata"].get("annotations") or {}
    wanted = copied_annotations(deployment)
    had, revision = revision_of(new), next_revision(old)
    if had < revision:
        wanted[REVISION] = str(revision)
        if REVISION in found:
            wanted[REVISION_HISTORY] = _with_revision(found.get(REVISION_HISTORY, ""), str(had))
    return {name: value for name, value in wanted.items() if found.get(name) != value}


def _with_revision(history: str, revision: str) -> str:
    revisions = [part for part in history.split(",") if part] + [revision]
    while len(",".join(revisions)) > MAX_HISTORY_CHARACTERS:
        del revisions[0]
    return ",".join(revisions)


# --- sizes --------------------------------------------------------------------------------------


def new_size(deployment: Object, new: Object, old: Iterable[Object]) -> int:
    """How many the new ReplicaSet may have now."""
    wanted = replicas_of(deployment)
    if not is_rolling(deployment):
        return wanted
    has = replicas_of(new)
    room = wanted + max_surge(deployment) - total([*old, new])
    return has if room <= 0 else has + min(room, wanted - has)


def needs_scaling(deployment: Object, owned: Iterable[Object]) -> bool:
    """Whether somebody has changed the Deployment's size since its ReplicaSets were sized."""
    wanted = replicas_of(deployment)
    desired = (_number_in(rs, DESIRED_REPLICAS) for rs in active(owned))
    return any(number is not None and number != wanted for number in desired)


def plan_rollout(deployment: Object, new: Object, old: list[Object]) -> list[Scale]:
    """The next step of a rolling update: first up, as far as the surge allows, then down."""
    return plan_up(deployment, new, old) or plan_down(deployment, new, old)


def plan_up(deployment: Object, new: Object, old: list[Object]) -> list[Scale]:
    """Bring the new ReplicaSet nearer to its size."""
    wanted, has = replicas_of(deployment), replicas_of(new)
    size = wanted if has > wanted else new_size(deployment, new, old)
    return [] if size == has else [Scale(new, size)]


def plan_down(deployment: Object, new: Object, old: list[Object]) -> list[Scale]:
    """Take Pods from the old ReplicaSets: those that do not work first, then as many as may go."""
    shrinking = oldest_first(active(old))
    if not shrinking:
        return []
    at_least = replicas_of(deployment) - max_unavailable(deployment)
    new_missing = replicas_of(new) - available_of(new)
    may_go = total([*old, new]) - at_least - new_missing
    if may_go <= 0:
        return []
    sizes = {rs["metadata"]["uid"]: replicas_of(rs) for rs in shrinking}
    may_go -= _take(sizes, shrinking, may_go, lambda rs: replicas_of(rs) - available_of(rs))
    spare = sum(map(available_of, [*old, new])) - at_least
    _take(sizes, shrinking, min(spare, may_go), lambda rs: sizes[rs["metadata"]["uid"]])
    return _changed(shrinking, sizes)


def _take(sizes: dict[str, int], replicasets: list[Object], most: int, takeable: Any) -> int:
    """Lower sizes by up to `most` altogether; by how many they were."""
    taken = 0
    for rs in replicasets:
        count = min(takeable(rs), most - taken)
        if count > 0:
            sizes[rs["metadata"]["uid"]] -= count
            taken += count
    return taken


def _changed(replicasets: list[Object], sizes: dict[str, int]) -> list[Scale]:
    steps = (Scale(rs, sizes[rs["metadata"]["uid"]]) for rs in replicasets)
    return [step for step in steps if step.replicas != replicas_of(step.replicaset)]


def plan_scaling(deployment: Object, new: Object | None, old: list[Object]) -> list[Scale]:
    """The sizes after the Deployment was scaled: in the middle of a rollout, in proportion.

    A step that keeps a size is there for the annotations that say what it was sized for.
    """
    wanted = replicas_of(deployment)
    only = _only_active(new, old)
    if only is not None:
        return [Scale(only, wanted)]
    if new is not None and _is_saturated(deployment, new):
        return [Scale(rs, 0) for rs in active(old)]
    return _proportional(deployment, new, old) if is_rolling(deployment) else []


def _only_active(new: Object | None, old: list[Object]) -> Object | None:
    """The one that has Pods; when none has, the newest. None if several have."""
    all_ = old if new is None else [*old, new]
    found = active(all_)
    if len(found) > 1:
        return None
    if found:
        return found[0]
    if new is not None:
        return new
    return oldest_first(old)[-1] if old else None


def _is_saturated(deployment: Object, new: Object) -> bool:
    wanted = replicas_of(deployment)
    available = (new.get("status") or {}).get("availableReplicas") or 0
    return replicas_of(new) == wanted == _number_in(new, DESIRED_REPLICAS) == available


def _proportional(deployment: Object, new: Object | None, old: list[Object]) -> list[Scale]:
    found = active(old if new is None else [*old, new])
    wanted = replicas_of(deployment)
    allowed = wanted + max_surge(deployment) if wanted > 0 else 0
    to_add = allowed - total(found)
    # The largest first; of equals, the newer when Pods are added, the older when they go.
    found = sorted(found, key=_age, reverse=to_add > 0)
    found.sort(key=replicas_of, reverse=True)
    sizes, added = [replicas_of(rs) for rs in found], 0
    for index, rs in enumerate(found):
        share = _share(deployment, rs, to_add - added)
        sizes[index] += share
        added += share
    if found and to_add != 0:
        sizes[0] = max(0, sizes[0] + to_add - added)  # what rounding has left
    return [Scale(rs, size) for rs, size in zip(found, sizes, strict=True)]


def _share(deployment: Object, rs: Object, left: int) -> int:
    """A ReplicaSet's part of what is left to add, or (below zero) to take."""
    fraction = _fraction(deployment, rs)
    return max(0, min(fraction, left)) if left > 0 else min(0, max(fraction, left))


def _fraction(deployment: Object, rs: Object) -> int:
    """By how many a ReplicaSet would change if it kept its part of the whole."""
    has, wanted = replicas_of(rs), replicas_of(deployment)
    if wanted == 0:
        return -has
    before = _number_in(rs, MAX_REPLICAS) or (deployment.get("status") or {}).get("replicas") or 0
    if before == 0:
        return 0
    exact = has * (wanted + max_surge(deployment)) / before
    return math.floor(exact + 0.5) - has


def plan_clean_up(deployment: Object, old: list[Object]) -> list[Object]:
    """The old ReplicaSets beyond the history limit that nobody uses, oldest revision first."""
    limit = deployment["spec"].get("revisionHistoryLimit")
    if limit is None or limit == 2**31 - 1:  # keep all
        return []
    alive = [rs for rs in old if not rs["metadata"].get("deletionTimestamp")]
    surplus = sorted(alive, key=revision_of)[: max(0, len(alive) - limit)]
    return [rs for rs in surplus if _is_unused(rs)]


def _is_unused(rs: Object) -> bool:
    status = rs.get("status") or {}
    seen = status.get("observedGeneration") or 0
    is_seen = (rs["metadata"].get("generation") or 0) <= seen
    return is_seen and not status.get("replicas") and replicas_of(rs) == 0

"""The steps of a rollout, without a cluster."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controllers import deployment_plan as plan
from tests.support.builders import a_deployment, a_replicaset, a_template, an_owner

Object = dict[str, Any]


def an_rs(name: str, replicas: int, available: int = 0, **more: Any) -> Object:
    status = {"replicas": replicas, "availableReplicas": available, "observedGeneration": 1}
    return a_replicaset(name, replicas, status=status, **more)


def sizes(steps: list[plan.Scale]) -> dict[str, int]:
    return {step.replicaset["metadata"]["name"]: step.replicas for step in steps}


def sized_for(deployment: Object) -> dict[str, str]:
    return plan.size_annotations(deployment)


@pytest.mark.parametrize(
    ("value", "of", "up", "down"),
    [(3, 10, 3, 3), ("25%", 10, 3, 2), ("25%", 4, 1, 1), ("1%", 1, 1, 0), ("0%", 7, 0, 0)],
)
def test_percentages_round_up_for_surge_and_down_for_unavailable(
    value: int | str, of: int, up: int, down: int
) -> None:
    assert plan.scaled(value, of, round_up=True) == up
    assert plan.scaled(value, of, round_up=False) == down


def test_a_rollout_may_always_move_even_if_both_limits_round_to_zero() -> None:
    deployment = a_deployment(replicas=1, max_surge=0, max_unavailable="25%")
    assert (plan.max_surge(deployment), plan.max_unavailable(deployment)) == (0, 1)


def test_the_first_replicaset_gets_all_replicas_at_once() -> None:
    deployment = a_deployment(replicas=100)
    made = plan.new_replicaset(deployment, [], an_owner(deployment))
    assert made["spec"]["replicas"] == 100
    assert made["metadata"]["annotations"] == {
        plan.REVISION: "1",
        plan.DESIRED_REPLICAS: "100",
        plan.MAX_REPLICAS: "125",
    }


def test_the_new_replicaset_selects_by_hash_and_carries_the_template() -> None:
    deployment = a_deployment()
    made = plan.new_replicaset(deployment, [], an_owner(deployment))
    hash_ = made["metadata"]["labels"][plan.HASH_LABEL]
    assert made["metadata"]["name"] == f"web-{hash_}"
    assert made["spec"]["selector"]["matchLabels"] == {"app": "web", plan.HASH_LABEL: hash_}
    assert made["spec"]["template"]["metadata"]["labels"][plan.HASH_LABEL] == hash_
    assert plan.HASH_LABEL not in deployment["spec"]["template"]["metadata"]["labels"]


def test_a_collision_count_gives_another_hash() -> None:
    template = a_template()
    hashes = {plan.template_hash(template, count) for count in (None, 1, 2)}
    assert len(hashes) == 3


def test_the_new_replicaset_is_found_by_template_without_its_hash() -> None:
    deployment = a_deployment()
    ours = plan.new_replicaset(deployment, [], an_owner(deployment))
    other = an_rs("other", 1, template=a_template(image="other"))
    new, old = plan.new_and_old(deployment, [other, ours])
    assert new is ours
    assert old == [other]


def test_a_rollout_goes_up_as_far_as_the_surge_allows_and_only_then_down() -> None:
    deployment = a_deployment(replicas=10, max_surge=3, max_unavailable=2)
    old, new = an_rs("old", 10, 10), an_rs("new", 0)
    assert sizes(plan.plan_rollout(deployment, new, [old])) == {"new": 3}
    new = an_rs("new", 3)
    assert sizes(plan.plan_rollout(deployment, new, [old])) == {"old": 8}


def test_old_pods_that_do_not_work_go_first() -> None:
    deployment = a_deployment(replicas=10, max_surge=0, max_unavailable=2)
    broken, fine = an_rs("broken", 3, 0), an_rs("fine", 7, 7)
    steps = plan.plan_down(deployment, an_rs("new", 0), [fine, broken])
    assert sizes(steps) == {"broken": 1}


def test_a_status_older_than_a_scale_down_does_not_take_too_many() -> None:
    deployment = a_deployment(replicas=10, max_surge=3, max_unavailable=0)
    old = an_rs("old", 7)
    old["status"]["availableReplicas"] = 10  # three of these have been deleted since
    assert sizes(plan.plan_down(deployment, an_rs("new", 6, 6), [old])) == {"old": 4}


def test_scaling_in_the_middle_of_a_rollout_keeps_the_proportions() -> None:
    before = a_deployment(replicas=10, max_surge=3, max_unavailable=2)
    old = an_rs("old", 8, 8, annotations=sized_for(before))
    new = an_rs("new", 5, 0, annotations=sized_for(before))
    after = a_deployment(replicas=15, max_surge=3, max_unavailable=2)
    assert plan.needs_scaling(after, [old, new])
    assert sizes(plan.plan_scaling(after, new, [old])) == {"old": 11, "new": 7}


def test_scaling_to_zero_takes_everything() -> None:
    before = a_deployment(replicas=10, max_surge=3)
    old = an_rs("old", 8, 8, annotations=sized_for(before))
    new = an_rs("new", 5, 0, annotations=sized_for(before))
    steps = plan.plan_scaling(a_deployment(replicas=0), new, [old])
    assert sizes(steps) == {"old": 0, "new": 0}


def test_a_rollback_gets_the_next_revision_and_remembers_the_one_it_had() -> None:
    first = an_rs("first", 0, annotations={plan.REVISION: "1"})
    second = an_rs("second", 3, annotations={plan.REVISION: "2"})
    changed = plan.new_annotations(a_deployment(), first, [second])
    assert changed == {plan.REVISION: "3", plan.REVISION_HISTORY: "1"}
    first["metadata"]["annotations"] |= changed
    assert plan.new_annotations(a_deployment(), first, [second]) == {}


def test_clean_up_keeps_the_limit_and_what_is_in_use() -> None:
    deployment = a_deployment(revisionHistoryLimit=1)
    old = [an_rs(f"r{n}", 0, annotations={plan.REVISION: str(n)}) for n in (10, 9, 2)]
    old[1]["status"]["replicas"] = 1
    doomed = [rs["metadata"]["name"] for rs in plan.plan_clean_up(deployment, old)]
    assert doomed == ["r2"]


class World:
    """ReplicaSets whose Pods come and go as a ReplicaSet controller and a kubelet would have it,
    and whose status may be older than the truth."""

    def __init__(self, deployment: Object, old: Object, new: Object) -> None:
        self.deployment, self.old, self.new = deployment, old, new
        self.truth = {"old": old["status"]["availableReplicas"], "new": 0}

    def step(self, what: str) -> None:
        for name, rs in (("old", self.old), ("new", self.new)):
            if what == f"obey {name}":  # surplus Pods are deleted: unavailable ones first
                self.truth[name] = min(self.truth[name], rs["spec"]["replicas"])
            if what == f"ready {name}" and self.truth[name] < rs["spec"]["replicas"]:
                self.truth[name] += 1
            if what == f"status {name}":
                rs["status"]["availableReplicas"] = self.truth[name]
        if what == "plan":
            for scale in plan.plan_rollout(self.deployment, self.new, [self.old]):
                scale.replicaset["spec"]["replicas"] = scale.replicas


STEPS = ["plan", "obey old", "obey new", "ready old", "ready new", "status old", "status new"]
LIMITS = st.one_of(st.integers(0, 8), st.integers(0, 100).map(lambda n: f"{n}%"))


@given(st.integers(1, 20), LIMITS, LIMITS, st.lists(st.sampled_from(STEPS), max_size=120))
def test_during_any_rollout_enough_are_available_and_never_too_many_exist(
    replicas: int, surge: int | str, unavailable: int | str, steps: list[str]
) -> None:
    deployment = a_deployment(replicas=replicas, max_surge=surge, max_unavailable=unavailable)
    world = World(deployment, an_rs("old", replicas, replicas), an_rs("new", 0))
    for what in steps:
        world.step(what)
        assert sum(world.truth.values()) >= replicas - plan.max_unavailable(deployment)
        assert plan.total([world.old, world.new]) <= replicas + plan.max_surge(deployment)


@given(st.integers(0, 20), LIMITS, LIMITS)
def test_every_rollout_ends_when_pods_become_ready(
    replicas: int, surge: int | str, unavailable: int | str
) -> None:
    deployment = a_deployment(replicas=replicas, max_surge=surge, max_unavailable=unavailable)
    world = World(deployment, an_rs("old", replicas, replicas), an_rs("new", 0))
    for _ in range(4 * replicas + 2):
        for what in ("plan", "obey old", "ready new", "status old", "status new"):
            world.step(what)
    assert plan.total([world.old]) == 0
    assert plan.total([world.new]) == replicas
    assert plan.plan_rollout(deployment, world.new, [world.old]) == []


@given(
    st.integers(0, 60),
    st.integers(1, 60),
    st.lists(st.integers(1, 40), min_size=2, max_size=5),
    LIMITS,
)
def test_proportional_scaling_adds_up_and_never_goes_below_zero(
    wanted: int, before: int, present: list[int], surge: int | str
) -> None:
    sized = sized_for(a_deployment(replicas=before, max_surge=surge))
    found = [an_rs(f"rs{n}", size, annotations=sized) for n, size in enumerate(present)]
    deployment = a_deployment(replicas=wanted, max_surge=surge)
    steps = plan.plan_scaling(deployment, found[0], found[1:])
    allowed = wanted + plan.max_surge(deployment) if wanted else 0
    assert all(step.replicas >= 0 for step in steps)
    planned = sum(step.replicas for step in steps)
    if allowed >= sum(present) or wanted == 0:
        assert planned == allowed
    else:
        assert planned <= sum(present)

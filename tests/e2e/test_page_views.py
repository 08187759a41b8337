"""Every view of the page is looked at: on a phone and on a wide screen, by day and by night.

In each nothing is cut off, nothing stands on anything else, and WCAG 2.1 AA is kept. Screenshots
of all of them go to artifacts/ for a person to look at.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest

from tests.support.browser import IN_TIME, PHONE, WIDE, Keys, Page, is_there
from tests.support.cluster import Cluster
from tests.support.namespaced import Namespaced, a_script, a_sleeper, a_web_deployment

pytestmark = [
    pytest.mark.skipif(not is_there(), reason="needs chromium and chromedriver (.ci/test-tools)"),
    pytest.mark.filterwarnings("ignore::ResourceWarning:selenium.*"),
]
Step = Callable[[Page], None]


@dataclass(frozen=True)
class Furnished:
    """A namespace with something in it for every view, and names for the addresses."""

    ns: str
    web: str  # a Pod of the Deployment "web"
    past: int  # a revision before it


@dataclass(frozen=True)
class View:
    """`path` has the names of Furnished in braces; `says` is waited for in `where`."""

    path: str
    says: str
    where: str = "main"
    steps: tuple[Step, ...] = field(default=())


def press(text: str, css: str = "button") -> Step:
    return lambda page: page.click_text(text, css)


def key(name: str) -> Step:
    return lambda page: page.keys(name)


def type_into(css: str, *keys: str) -> Step:
    return lambda page: page.find(css).send_keys(*keys)


def open_commands(page: Page) -> None:
    page.shows("veth pair")
    page.click(".commands summary")


POD, DEPLOYMENT = "/ui/object/pods/{ns}/{web}", "/ui/object/deployments.apps/{ns}/web"
DIALOG = "dialog"
VIEWS = {
    "cluster": View("/ui/?ns={ns}", "Pods ready"),
    "chosen": View("/ui/?ns={ns}", "Deployment", ".chosen",
                   (lambda page: page.js("document.querySelector('canvas').focus()"),
                    key(Keys.ARROW_DOWN))),
    "empty": View("/ui/?ns=nowhere", "No Pods in namespace nowhere"),
    "past": View("/ui/?ns={ns}&at={past}", "revision {past}"),
    "pods": View("/ui/objects/pods?ns={ns}", "web-"),
    "pods-wide": View("/ui/objects/pods?wide=1", "web-"),
    "no-claims": View("/ui/objects/persistentvolumeclaims?ns={ns}", "No Volume claims"),
    "events": View("/ui/objects/events?ns={ns}", "pod/broken"),
    "nodes": View("/ui/objects/nodes", "Ready"),
    "node": View("/ui/object/nodes/-/{node}", "Asked for by its Pods"),
    "secret": View("/ui/object/secrets/{ns}/password", "Show ("),
    "pod": View(POD, "Container main"),
    "pod-broken": View("/ui/object/pods/{ns}/broken", "ErrImagePull", "main"),
    "pod-timeline": View(POD + "?tab=timeline", "Started"),
    "pod-yaml": View(POD + "?tab=yaml", "name: {web}"),
    "pod-logs": View("/ui/object/pods/{ns}/chatty?tab=logs", "red <b>"),
    "pod-logs-none": View(POD + "?tab=logs", "Nothing has been written yet"),
    "pod-terminal": View(POD + "?tab=terminal", "#", ".term"),
    "pod-graphs": View(POD + "?tab=graphs", "limit 64 MiB"),
    "pod-trace": View(POD + "?tab=trace", "complete"),
    "pod-startup": View(POD + "?tab=startup", IN_TIME),
    "pod-why": View(POD + "?tab=why", "Scores of the nodes"),
    "pod-why-not": View("/ui/object/pods/{ns}/big?tab=why", "Insufficient cpu"),
    "pod-kernel": View(POD + "?tab=kernel", "unshare", ".commands", (open_commands,)),
    "pod-kernel-none": View("/ui/object/pods/{ns}/broken?tab=kernel", "Container main"),
    "pod-history": View(POD + "?tab=history", "kubelet"),
    "deployment": View(DEPLOYMENT, "Revisions"),
    "deployment-rollout": View(DEPLOYMENT + "?tab=rollout", "Rolled out"),
    "deployment-trace": View(DEPLOYMENT + "?tab=trace", "complete"),
    "deployment-history": View(DEPLOYMENT + "?tab=history", "kubectl"),
    "diff": View("/ui/diff?ns={ns}&from={past}", "added"),
    "diff-unknown": View("/ui/diff?from=tomorrow", "Cannot show what changed"),
    "lessons": View("/ui/lessons", "podium lesson check 10"),
    "debugger": View("/ui/debugger", "deployment at {ns}/stopped"),
    "faults": View("/ui/objects/faults.debug.podium.dev", "podium fault kill kubelet"),
    "gone": View("/ui/object/pods/{ns}/mortal", "Its life, as far as it is kept"),
    "never": View("/ui/object/pods/{ns}/nobody", 'There is no Pod "nobody"'),
    "nonsense": View("/ui/nonsense", "There is no such view"),
    "dialog-finder": View("/ui/", "web", DIALOG, (key("/"), type_into("dialog input", "web"))),
    "dialog-keys": View("/ui/", "Escape", DIALOG, (key("?"),)),
    "dialog-scale": View(DEPLOYMENT, "Replicas", DIALOG, (press("Scale"),)),
    "dialog-delete": View(POD, "Delete Pod", DIALOG, (press("Delete"),)),
    "dialog-breakpoint": View("/ui/debugger", "Only if", DIALOG, (press("New breakpoint"),)),
    "dialog-session": View("/ui/", "This session has ended", DIALOG,
                           (lambda page: page.js(
                               "document.dispatchEvent(new Event('podium:logged-out'))"),)),
    "menu": View("/ui/objects/pods?ns={ns}", "Breakpoints", ".nav",
                 (lambda page: page.js("document.getElementById('menu').click()"),)),
}  # fmt: skip


@pytest.fixture(scope="module")
def furnished(cluster: Cluster) -> Iterator[dict[str, object]]:
    ns = Namespaced(cluster, "views")
    cluster.kubectl("create", "namespace", ns.name)
    past = json.loads(cluster.kubectl("get", "--raw", "/podium/v1/revision").stdout)["revision"]
    ns.kubectl("create", "secret", "generic", "password", "--from-literal=word=swordfish")
    limits = {"limits": {"cpu": "500m", "memory": "64Mi"}}
    web = a_web_deployment("web", replicas=3)
    web["spec"]["template"]["spec"]["containers"][0]["resources"] = limits
    ns.apply(
        web,
        a_web_deployment("stopped", replicas=1),
        a_sleeper("broken", image="no-such:1"),
        a_sleeper("big", resources={"requests": {"cpu": "500"}}),
        a_sleeper("mortal"),
        a_script(
            "chatty", "printf '\\033[31mred <b>\\033[0m\\n'; sleep infinity", restart="Always"
        ),
    )
    for what in ("deploy/web", "deploy/stopped"):
        ns.rollout_done(what)
    for pod in ("mortal", "chatty"):
        ns.wait(f"pod/{pod}", "condition=Ready")
    ns.kubectl("delete", "pod", "mortal")
    cluster.podium("debug", "break", "deployment", "stopped", "-n", ns.name, "--name", "looked-at")
    ns.kubectl("scale", "deploy/stopped", "--replicas=2")
    pod = ns.items("pods", "-l", "app=web")[0]["metadata"]["name"]
    yield {"ns": ns.name, "web": pod, "past": past, "node": cluster.nodes[0]}
    cluster.podium("debug", "rm", "looked-at")
    cluster.kubectl("delete", "namespace", ns.name, "--wait=false")


@pytest.mark.parametrize("name", VIEWS)
def test_a_view_is_whole_and_legible(name: str, browser: Page, furnished: dict[str, str]) -> None:
    view, page = VIEWS[name], browser
    page.size(*PHONE)
    page.open(view.path.format(**furnished))
    page.until(lambda: page.text("#connection") in ("live", ""))
    page.until(lambda: not page.js("return document.querySelector('main .loading')"))
    for step in view.steps:
        step(page)
    page.shows(view.says.format(**furnished), view.where)
    assert page.misfits() == []
    page.screenshot(f"page-{name}-390")
    page.size(*WIDE)
    assert page.misfits() == []
    page.screenshot(f"page-{name}-1440")
    around = "" if name in ("cluster", "menu") else ".nav, .bar"  # the same around every view
    assert page.violations(besides=around) == []
    with page.at_night():
        page.screenshot(f"page-{name}-1440-dark")
        assert page.violations("color-contrast", around) == []
    assert page.errors() == []

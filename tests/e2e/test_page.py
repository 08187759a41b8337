"""The page in a real headless Chromium: it shows what the API shows, live, to everybody.

What holds for every view is in test_page_views.py. Screenshots go to artifacts/ for a person to
look at.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium.webdriver.common.by import By

from tests.support.browser import IN_TIME, WIDE, Keys, Page, chromium, is_there, login_link
from tests.support.cluster import Cluster
from tests.support.namespaced import Namespaced, a_script, a_sleeper, a_web_deployment

pytestmark = [
    pytest.mark.skipif(not is_there(), reason="needs chromium and chromedriver (.ci/test-tools)"),
    pytest.mark.filterwarnings("ignore::ResourceWarning:selenium.*"),
]
EVIL = "<img src=x onerror=alert(1)>"


@pytest.fixture
def page(browser: Page, ns: Namespaced) -> Iterator[Page]:
    """On the cluster's picture, narrowed to the test's namespace, with no complaint at the end."""
    browser.size(*WIDE)
    browser.open(f"/ui/?ns={ns.name}")
    browser.until(lambda: browser.text("#connection") == "live")
    browser.errors()
    yield browser
    assert browser.errors() == []


def url(ns: Namespaced, kind: str, name: str, tab: str = "") -> str:
    return f"/ui/object/{kind}/{ns.name}/{name}" + (f"?tab={tab}" if tab else "")


def a_pod_of(ns: Namespaced, app: str) -> str:
    return str(ns.items("pods", "-l", f"app={app}")[0]["metadata"]["name"])


# ---- the picture --------------------------------------------------------------------------------


def test_the_picture_shows_pods_as_they_are_born_become_ready_and_end(
    page: Page, ns: Namespaced
) -> None:
    page.shows("podium apply -f manifests/01-pod.yaml")
    ns.apply(a_web_deployment("shown", replicas=3))
    page.until(lambda: page.picture("pods") == 3)
    page.until(lambda: page.picture("ready") == 3)
    page.shows("3/3", ".numbers")
    page.shows("ScalingReplicaSet", ".news")
    page.screenshot("page-cluster-1440")
    page.colours("dark")
    page.screenshot("page-cluster-1440-dark")
    page.colours("light")
    ns.kubectl("scale", "deploy/shown", "--replicas=1")
    page.until(lambda: page.picture("pods") == 1)


def test_arrow_keys_go_through_the_picture_and_enter_opens(page: Page, ns: Namespaced) -> None:
    ns.apply(a_web_deployment("walked", replicas=2))
    page.until(lambda: page.picture("ready") == 2)
    page.js("document.querySelector('canvas.picture').focus()")
    page.keys(Keys.ARROW_DOWN)
    page.shows("walked", ".chosen")
    assert "Deployment walked" in page.text("#announce")
    page.keys(Keys.ARROW_DOWN)
    page.shows("ReplicaSet", ".chosen")
    page.keys(Keys.ARROW_DOWN)
    page.shows("Node", ".chosen")
    page.keys(Keys.ARROW_DOWN)
    page.shows("walked-", ".chosen")
    page.keys(Keys.ENTER)
    page.until(lambda: "/ui/object/pods/" in page.driver.current_url)
    page.shows("walked-", "h1")


# ---- lists and objects --------------------------------------------------------------------------


def test_every_kind_has_a_list_with_kubectls_columns(page: Page, ns: Namespaced) -> None:
    ns.apply(a_web_deployment("listed", replicas=1))
    ns.rollout_done("deploy/listed")
    page.open(f"/ui/objects/deployments.apps?ns={ns.name}")
    page.shows("listed")
    heads = page.texts(".virtual th")
    assert [head.strip() for head in heads] == ["Name", "Ready", "Up-to-date", "Available", "Age"]
    page.until(lambda: any("1/1" in row for row in page.texts(".virtual tbody tr")))
    served = ns.out("api-resources", "--verbs=list", "-o", "name").split()
    linked = page.js("return [...document.querySelectorAll('.nav a')].map(a => a.pathname)")
    wanted = {f"/ui/objects/{kind}" for kind in served if "metrics.k8s.io" not in kind}
    assert wanted <= set(linked)


def test_an_object_shows_its_yaml_its_timeline_and_whose_it_is(page: Page, ns: Namespaced) -> None:
    ns.apply(a_web_deployment("whole", replicas=1))
    ns.rollout_done("deploy/whole")
    pod = a_pod_of(ns, "whole")
    page.open(url(ns, "pods", pod))
    page.shows("ReplicaSet whole-")
    page.click_text("YAML", "[role=tab]")
    page.until(lambda: f"name: {pod}" in page.text(".yaml"))
    page.click_text("Timeline", "[role=tab]")
    page.until(lambda: "Started" in page.text(".timeline"))
    happened = page.text(".timeline")
    assert happened.index("Created") < happened.index("Scheduled") < happened.index("Started")
    assert page.driver.current_url.endswith("?tab=timeline")
    page.screenshot("page-timeline-1440")


def test_a_stale_link_says_what_is_gone_and_leads_back(page: Page, ns: Namespaced) -> None:
    page.open(url(ns, "pods", "gone"))
    page.shows(f'There is no Pod "gone" in namespace {ns.name}')
    page.open("/ui/objects/unicorns.example.com")
    page.shows('This cluster serves no kind "unicorns.example.com"')
    page.open("/ui/nonsense")
    page.shows("There is no such view")
    page.click_text("Back to the cluster", "a")
    page.until(lambda: page.picture("pods") == 0)


def test_a_pod_that_is_deleted_while_it_is_looked_at(page: Page, ns: Namespaced) -> None:
    ns.apply(a_sleeper("brief"))
    ns.wait("pod/brief", "condition=Ready")
    page.open(url(ns, "pods", "brief"))
    page.shows("Running")
    ns.kubectl("delete", "pod", "brief", "--wait=false")
    page.shows("Pod brief has just been deleted")


def test_what_a_user_wrote_is_shown_as_text(page: Page, ns: Namespaced) -> None:
    marked = a_sleeper("marked", image=EVIL)
    marked["metadata"]["annotations"] = {"example.com/evil": f"<script>alert(2)</script>{EVIL}"}
    ns.apply(marked)
    page.until(lambda: EVIL in page.text(".news"))
    for tab in ("overview", "yaml", "timeline"):
        page.open(url(ns, "pods", "marked", tab))
        page.shows(EVIL)
        assert page.js("return document.querySelectorAll('main img, main script').length") == 0


# ---- inside a Pod -------------------------------------------------------------------------------

CHATTY = r"""printf '\033[31mred\033[0m <script>alert(3)</script>\n'; i=0
while true; do i=$((i+1)); echo line $i; sleep 0.3; done"""


def test_logs_are_followed_with_their_colours_and_as_text(page: Page, ns: Namespaced) -> None:
    ns.apply(a_script("chatty", CHATTY))
    ns.wait("pod/chatty", "condition=Ready")
    page.open(url(ns, "pods", "chatty", "logs"))
    page.shows("red <script>alert(3)</script>", ".log")
    assert page.text(".log .fg-1") == "red"
    assert page.js("return document.querySelectorAll('main script').length") == 0
    last = page.texts(".log-line")[-1]
    page.until(lambda: page.texts(".log-line")[-1] != last)
    page.find("input[aria-label='Show only lines with']").send_keys("alert")
    page.until(lambda: "line" not in page.text(".log"))
    page.screenshot("page-logs-1440")


def test_a_terminal_runs_a_shell_in_the_container(page: Page, ns: Namespaced) -> None:
    ns.apply(a_sleeper("entered"))
    ns.wait("pod/entered", "condition=Ready")
    page.open(url(ns, "pods", "entered", "terminal"))
    page.shows("#", ".term")
    field = page.find(".term-field")
    field.send_keys("hostname; tput cols; printf '\\033[7minverse\\033[0m<b>'", Keys.ENTER)
    page.until(lambda: "inverse<b>" in page.text(".term").split("printf")[-1].partition("\n")[2])
    assert "entered" in page.text(".term")
    assert page.text(".term .bg-ink") == "inverse"
    page.screenshot("page-terminal-1440")
    field.send_keys("exit 3", Keys.ENTER)
    page.shows("The shell has ended with 3.")


SCREEN = r"""const done = arguments[2];
import(arguments[0] + "pod/screen.js").then(({ Screen }) => {
  const replies = [];
  const screen = new Screen(10, 4, (text) => replies.push(text));
  screen.write(new TextEncoder().encode(arguments[1]));
  done([screen.lines.map((line) => line.map((cell) => cell.text).join("").trimEnd()), replies]);
}, (error) => done(String(error)));"""


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("one\r\ntwo\x1b[1;3HX", ["onX", "two", "", ""]),  # addresses
        ("abcdefghijKL", ["abcdefghij", "KL", "", ""]),  # wraps
        ("1\r\n2\r\n3\r\n4\r\n5", ["2", "3", "4", "5"]),  # scrolls
        ("a\r\nb\r\nc\x1b[1;2r\x1b[2;1H\n!", ["b", "!", "c", ""]),  # within its region
        ("old\x1b[?1049h\x1b[Hnew\x1b[?1049l", ["old", "", "", ""]),  # the other screen
        ("abcdef\x1b[3D\x1b[K\x1b[1P", ["abc", "", "", ""]),  # erases
        ("\u6f22\u5b57e\u0301!", ["\u6f22\u5b57e\u0301!", "", "", ""]),  # wide and joined
        ("\x1b(0qx\x1b(Bq", ["\u2500\u2502q", "", "", ""]),  # lines
        ("\x1b]0;<b>title\x07ok\x1b[999Z\x1b[6n", ["ok", "", "", ""]),  # titles, the unknown
    ],
)
def test_a_terminal_understands_what_programs_write(
    browser: Page, written: str, shown: list[str]
) -> None:
    source = browser.js("return document.querySelector('script[type=module]').src")
    lines, _ = browser.driver.execute_async_script(SCREEN, source.removesuffix("main.js"), written)
    assert lines == shown


def test_graphs_show_use_against_the_limits(page: Page, ns: Namespaced) -> None:
    limits = {"limits": {"cpu": "500m", "memory": "64Mi"}}
    ns.apply(a_sleeper("measured", resources=limits))
    ns.wait("pod/measured", "condition=Ready")
    page.open(url(ns, "pods", "measured", "graphs"))
    page.until(lambda: len(page.driver.find_elements(By.CSS_SELECTOR, ".chart-line")) >= 3)
    assert "limit 500m cores" in page.text(".charts")
    assert "limit 64 MiB" in page.text(".charts")
    page.screenshot("page-graphs-1440")


def test_a_rollout_is_seen_in_motion(page: Page, ns: Namespaced) -> None:
    ns.apply(a_web_deployment("rolling", replicas=4))
    ns.rollout_done("deploy/rolling")
    page.open(url(ns, "deployments.apps", "rolling", "rollout"))
    page.shows("Rolled out: 4 of 4")
    ns.kubectl("set", "env", "deploy/rolling", "A=b")
    page.until(lambda: [row for row in page.texts(".revision") if "revision 2" in row])
    page.screenshot("page-rollout-1440")
    page.until(lambda: "4 ready" in page.texts(".revision")[0])
    page.until(lambda: page.picture("pods") == 4)
    assert "revision 2: 4" in page.text(".share-key")


def test_a_pod_says_why_it_is_where_it_is(page: Page, ns: Namespaced) -> None:
    ns.apply(a_sleeper("placed"), a_sleeper("big", resources={"requests": {"cpu": "500"}}))
    ns.wait("pod/placed", "condition=Ready")
    page.open(url(ns, "pods", "placed", "why"))
    page.shows("Scores of the nodes that would do")
    page.open(url(ns, "pods", "big", "why"))
    page.shows("Insufficient cpu")
    page.shows("with cpu ≤")
    page.screenshot("page-why-1440")


# ---- what nobody else has -----------------------------------------------------------------------


def test_a_slider_moves_the_picture_through_the_past(page: Page, ns: Namespaced) -> None:
    ns.apply(a_web_deployment("timed", replicas=3))
    page.until(lambda: page.picture("ready") == 3)
    then = json.loads(ns.cluster.kubectl("get", "--raw", "/podium/v1/revision").stdout)
    ns.kubectl("delete", "deploy/timed")
    page.until(lambda: page.picture("pods") == 0)
    page.open(f"/ui/?ns={ns.name}&at={then['revision']}")  # a moment has an address
    page.until(lambda: page.picture("ready") == 3)
    page.shows(f"revision {then['revision']}", ".when")
    page.screenshot("page-past-1440")
    page.click(".slider button[aria-label='One change on']")
    page.until(lambda: f"revision {then['revision']}" not in page.text(".when"))
    page.click_text("Now", ".slider button")
    page.until(lambda: page.picture("pods") == 0)
    page.open(f"/ui/diff?ns={ns.name}&from={then['revision']}")
    page.shows("deleted", ".history")
    page.screenshot("page-diff-1440")


@pytest.mark.parametrize(
    ("moment", "says"),
    [
        ("999999999", "it has not come yet. Timeout: Too large resource version: 999999999"),
        ("yesterday", "is neither a revision (812), nor a time"),
    ],
)
def test_a_moment_that_is_none_is_told_and_the_picture_stays_live(
    page: Page, ns: Namespaced, moment: str, says: str
) -> None:
    page.open(f"/ui/?ns={ns.name}&at={moment}")
    page.shows(f"live. The past of {moment} cannot be shown", ".when")
    assert says in page.text(".when")
    ns.apply(a_sleeper("now"))
    page.until(lambda: page.picture("pods") == 1)
    assert "at=" not in page.driver.current_url


def test_a_time_is_a_moment_too(page: Page, ns: Namespaced) -> None:
    page.open(f"/ui/?ns={ns.name}&at=1s%20ago")
    page.until(lambda: re.search(r"revision \d+$", page.text(".when")))
    assert re.search(r"[?&]at=\d+", page.driver.current_url)


def test_what_is_gone_still_has_a_history(page: Page, ns: Namespaced) -> None:
    ns.apply(a_sleeper("mortal"))
    ns.wait("pod/mortal", "condition=Ready")
    ns.kubectl("delete", "pod", "mortal")
    page.open(url(ns, "pods", "mortal"))
    page.shows("Its life, as far as it is kept")
    page.shows("kubectl", ".history")


def test_a_trace_leads_from_the_apply_to_each_process(page: Page, ns: Namespaced) -> None:
    ns.apply(a_web_deployment("traced", replicas=2))
    ns.rollout_done("deploy/traced")
    page.open(url(ns, "deployments.apps", "traced", "trace"))
    page.shows("2 of 2 Pods made in it are Ready")
    page.shows("complete", ".toolbar")
    page.shows("podium up --otlp-endpoint", ".exporter")
    rows = page.texts(".wf-name")
    assert "traced" in rows[1]  # below the head: the apply itself
    assert sum("process" in row for row in rows) == 2
    page.screenshot("page-trace-1440")
    page.open(url(ns, "pods", a_pod_of(ns, "traced"), "startup"))
    page.shows(IN_TIME)
    page.shows("sandbox", ".waterfall")
    page.screenshot("page-startup-1440")


def test_the_kernel_stands_beside_the_spec(page: Page, ns: Namespaced) -> None:
    if "pods/inspect" not in ns.out("get", "--raw", "/api/v1"):
        pytest.skip("this API server shows nothing of the kernel")
    ns.apply(a_sleeper("seen", resources={"limits": {"cpu": "500m", "memory": "64Mi"}}))
    ns.wait("pod/seen", "condition=Ready")
    page.open(url(ns, "pods", "seen", "kernel"))
    page.shows(str(64 << 20), ".kernel")
    page.shows("its own", ".namespaces")
    page.shows("sleep infinity")
    assert ns.get("pod", "seen")["status"]["podIP"] in page.text(".net-path")
    assert f"podium-{ns.cluster.id}" in page.text(".net-path")  # the bridge
    assert [row.split()[0] for row in page.texts(".layers li")] == ["upper", "layer"]
    page.click(".commands summary")
    page.until(lambda: page.text(".commands pre"))
    by_hand = ns.cluster.podium("inspect", "-n", ns.name, "pod/seen", "--as-commands").stdout
    assert page.text(".commands pre").strip() == by_hand.strip()


def test_a_pod_that_vanishes_while_its_kernel_is_inspected(page: Page, ns: Namespaced) -> None:
    ns.apply(a_sleeper("brief"))
    ns.wait("pod/brief", "condition=Ready")
    page.open(url(ns, "pods", "brief", "kernel"))
    page.shows("veth pair")
    ns.kubectl("delete", "pod", "brief")
    page.shows("Pod brief has just been deleted")
    page.shows("The kernel's view cannot be shown")
    page.shows("the Pod is gone")


def test_a_stopped_loop_is_stepped_from_the_page(page: Page, ns: Namespaced) -> None:
    ns.apply(a_web_deployment("stepped", replicas=1))
    ns.rollout_done("deploy/stepped")
    ns.cluster.podium("debug", "break", "deployment", "stepped", "-n", ns.name, "--name", "here")
    try:
        page.open("/ui/debugger")
        page.shows("here")
        ns.kubectl("scale", "deploy/stepped", "--replicas=2")
        page.shows(f"deployment at {ns.name}/stepped")
        page.shows("spec.replicas 1 → 2")
        page.screenshot("page-debugger-1440")
        page.click_text("Step")
        page.shows("write 2")
        page.click_text("Continue")
    finally:
        ns.cluster.podium("debug", "rm", "here")
    ns.rollout_done("deploy/stepped")


def test_lessons_are_listed_with_their_commands_and_what_is_passed(
    page: Page, ns: Namespaced
) -> None:
    ns.cluster.kubectl("create", "namespace", "lessons")
    passed = "--from-literal=passedAt=2026-11-26T00:00:00Z"
    ns.cluster.kubectl("-n", "lessons", "create", "configmap", "lesson-2", passed)
    page.open("/ui/lessons")
    page.until(lambda: len(page.texts(".lessons li")) >= 10)
    first, second = page.texts(".lessons li")[:2]
    assert "1. A process" in first
    assert "podium lesson 1 shows it" in first
    assert "passed" in second
    ns.cluster.kubectl("delete", "namespace", "lessons")


@pytest.mark.parametrize(
    ("keys", "heading"),
    [("gp", "Pods"), ("gb", "Debugger"), ("gw", "What changed"), ("gl", "Lessons")],
)
def test_views_are_reached_by_two_keys(page: Page, keys: str, heading: str) -> None:
    page.keys(keys)
    page.until(lambda: page.text("h1") == heading)
    assert page.js("return document.activeElement.id") == "main"


def test_tabs_are_gone_through_with_arrows_and_a_terminal_is_left(
    page: Page, ns: Namespaced
) -> None:
    ns.apply(a_sleeper("keyed"))
    ns.wait("pod/keyed", "condition=Ready")
    page.open(url(ns, "pods", "keyed"))
    page.until(lambda: page.text("[aria-selected=true]") == "Overview")
    page.js("document.querySelector('[role=tab]').focus()")
    seen = []
    for _ in page.texts("[role=tab]"):
        seen.append(page.text("[aria-selected=true]"))
        page.until(lambda: page.text("[role=tabpanel]").strip())
        if seen[-1] == "Terminal":
            page.shows("#", ".term")
            page.keys(Keys.CONTROL, Keys.SHIFT, Keys.ESCAPE)
        page.until(lambda: page.js("return document.activeElement.role") == "tab")
        page.keys(Keys.ARROW_RIGHT)
    assert seen == page.texts("[role=tab]")


# ---- changing things ----------------------------------------------------------------------------


def test_a_deployment_is_scaled_from_the_page(page: Page, ns: Namespaced) -> None:
    ns.apply(a_web_deployment("scaled", replicas=1))
    page.open(url(ns, "deployments.apps", "scaled"))
    page.click_text("Scale")
    field = page.find("dialog input[name=replicas]")
    field.clear()
    field.send_keys("3", Keys.ENTER)
    page.shows("3/3 ready")


def test_deleting_asks_first(page: Page, ns: Namespaced) -> None:
    ns.apply(a_sleeper("doomed"))
    page.open(url(ns, "pods", "doomed"))
    page.click_text("Delete")
    page.shows("Delete Pod doomed?", "dialog")
    page.keys(Keys.ENTER)  # the focus is on Cancel
    page.until(lambda: page.js("return !document.querySelector('dialog')"))
    assert ns.get("pod", "doomed")["metadata"].get("deletionTimestamp") is None
    page.click_text("Delete")
    page.click_text("Delete", "dialog button")
    page.shows("has just been deleted")


def test_a_fault_is_refused_where_there_is_no_lab(page: Page) -> None:
    page.open("/ui/objects/faults.debug.podium.dev")
    page.shows("Only in a cluster that was started with podium up --lab")
    button = "document.querySelector('.heading [data-tone=primary]')"
    page.until(lambda: page.js(f"return {button}?.hidden"))
    page.js(f"{button}.hidden = false")  # as on a page that was opened while there was one
    page.click_text("Break something")
    page.find("dialog input[name=target]").send_keys("kubelet")
    page.click_text("Break it", "dialog button")
    page.shows("faults are for a cluster that was started with podium up --lab", "#toasts")


# ---- everybody, everywhere ----------------------------------------------------------------------


def test_it_comes_back_by_itself_when_the_api_server_does(page: Page, ns: Namespaced) -> None:
    os.kill(ns.cluster.pids()["apiserver"], 9)
    page.until(lambda: page.text("#connection") != "live")
    page.until(lambda: page.text("#connection") == "live")
    ns.apply(a_sleeper("after"))
    page.until(lambda: page.picture("pods") == 1)
    page.errors()  # of connections that were refused meanwhile


def test_no_request_goes_to_another_host(page: Page, cluster: Cluster) -> None:
    urls = page.js("return performance.getEntriesByType('resource').map(e => e.name)")
    assert urls
    assert all(url.startswith(f"https://127.0.0.1:{cluster.port}/") for url in urls)


def test_a_login_link_works_once_also_from_another_site_and_a_stranger_sees_how_to_log_in(
    cluster: Cluster, tmp_path: Path
) -> None:
    link = login_link(cluster)
    with chromium(tmp_path) as page:
        page.driver.get(link)
        page.until(lambda: page.text("#connection") == "live")
        assert "key=" not in page.driver.current_url
        page.js("localStorage.clear()")
        page.driver.delete_all_cookies()  # a stranger again
        page.driver.get(link)
        page.shows("podium ui")
        page.driver.get(f"https://127.0.0.1:{cluster.port}/ui/objects/pods")
        page.shows("podium ui")
        page.screenshot("page-stranger")
        page.driver.get(f"data:text/html,<a href='{login_link(cluster)}'>from another site</a>")
        page.click("a")
        page.until(lambda: page.text("#connection") == "live")
        assert page.js("return localStorage.length")  # the key to write came as well
        assert "key=" not in page.driver.current_url

"""The status page in a real headless Chromium: it shows what the API shows, and it is live.

Screenshots go to artifacts/ (override with PODIUM_ARTIFACTS) for a person to look at.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import Select, WebDriverWait

from tests.support.cluster import Cluster
from tests.support.namespaced import Namespaced, a_sleeper, a_web_deployment

ARTIFACTS = Path(os.environ.get("PODIUM_ARTIFACTS", "artifacts"))

needs_chromium = pytest.mark.skipif(
    not (shutil.which("chromium") and shutil.which("chromedriver")),
    reason="needs Debian's chromium and chromium-driver (.ci/run installs them)",
)
pytestmark = [needs_chromium, pytest.mark.filterwarnings("ignore::ResourceWarning:selenium.*")]


def start_browser(profile: Path) -> webdriver.Chrome:
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium")
    flags = (
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--disable-dev-shm-usage",
        f"--user-data-dir={profile}",
    )
    for flag in flags:
        options.add_argument(flag)
    options.set_capability("acceptInsecureCerts", True)  # the CA is the cluster's own
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    return webdriver.Chrome(options, webdriver.ChromeService(shutil.which("chromedriver")))


@pytest.fixture(scope="module")
def browser(
    cluster: Cluster, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[webdriver.Chrome]:
    """A browser that has logged in by a one-time link."""
    browser = start_browser(tmp_path_factory.mktemp("chromium"))
    browser.set_window_size(1440, 900)
    browser.get(login_link(cluster))
    until(browser, lambda: connection(browser) == "live")
    yield browser
    browser.quit()


def login_link(cluster: Cluster) -> str:
    return re.search(r"https://\S+", cluster.podium("ui").stdout)[0]


def until(browser: webdriver.Chrome, condition, timeout_s: float = 20):
    return WebDriverWait(browser, timeout_s, poll_frequency=0.1).until(lambda _: condition())


def connection(browser: webdriver.Chrome) -> str:
    return browser.find_element(By.ID, "connection").text


def rows(browser: webdriver.Chrome, table: str, name: str) -> list[str]:
    """The texts of the rows whose object's name starts so, read in one go (rows are redrawn)."""
    script = """return [...document.querySelectorAll(`#${arguments[0]} tbody tr`)]
                .filter(r => r.dataset.name.startsWith(arguments[1])).map(r => r.innerText)"""
    return browser.execute_script(script, table, name)


def screenshot(browser: webdriver.Chrome, name: str) -> None:
    ARTIFACTS.mkdir(exist_ok=True)
    assert browser.save_screenshot(str(ARTIFACTS / f"{name}.png"))


def test_the_page_shows_nodes_workloads_pods_and_events_live(
    browser: webdriver.Chrome, ns: Namespaced
) -> None:
    ns.apply(a_web_deployment("shown", replicas=3))
    until(browser, lambda: len(rows(browser, "pods", "shown-")) == 3)
    until(browser, lambda: all("Running" in row for row in rows(browser, "pods", "shown-")))
    until(browser, lambda: "3/3" in rows(browser, "workloads", "shown")[0])
    pod = ns.items("pods")[0]
    (row,) = rows(browser, "pods", pod["metadata"]["name"])
    assert pod["status"]["podIP"] in row
    assert pod["spec"]["nodeName"] in row
    node = browser.find_element(By.CSS_SELECTOR, f"[data-node='{pod['spec']['nodeName']}']").text
    assert "Ready" in node
    assert "Memory" in node
    until(browser, lambda: "ScalingReplicaSet" in browser.find_element(By.ID, "events").text)
    screenshot(browser, "page-1440")
    ns.kubectl("scale", "deploy/shown", "--replicas=1")
    until(browser, lambda: len(rows(browser, "pods", "shown-")) == 1)


def test_what_a_user_wrote_is_shown_as_text(browser: webdriver.Chrome, ns: Namespaced) -> None:
    evil = "<img src=x onerror=alert(1)>"
    ns.apply(a_sleeper("marked", image=evil))
    until(browser, lambda: evil in browser.find_element(By.ID, "events").text)
    assert browser.find_elements(By.CSS_SELECTOR, "#events img") == []


def test_a_namespace_can_be_chosen(browser: webdriver.Chrome, ns: Namespaced) -> None:
    ns.apply(a_sleeper("chosen"))
    until(browser, lambda: rows(browser, "pods", "chosen"))
    choice = Select(browser.find_element(By.ID, "namespace"))
    choice.select_by_value(ns.name)
    until(browser, lambda: len(rows(browser, "pods", "")) == 1)
    choice.select_by_value("")
    until(browser, lambda: rows(browser, "pods", "chosen"))


def test_it_fits_a_phone_without_scrolling_sideways(
    browser: webdriver.Chrome, ns: Namespaced
) -> None:
    ns.apply(a_web_deployment("narrow", replicas=1))
    until(browser, lambda: rows(browser, "pods", "narrow-"))
    # Chromium's window has a least width; the device metrics do not.
    phone = {"width": 390, "height": 844, "deviceScaleFactor": 1, "mobile": True}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", phone)
    until(browser, lambda: browser.execute_script("return innerWidth") == 390)
    assert browser.execute_script("return document.documentElement.scrollWidth") <= 390
    screenshot(browser, "page-390")
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_it_comes_back_by_itself_when_the_api_server_does(
    browser: webdriver.Chrome, ns: Namespaced
) -> None:
    os.kill(ns.cluster.pids()["apiserver"], 9)
    until(browser, lambda: connection(browser) != "live")
    until(browser, lambda: connection(browser) == "live")
    ns.apply(a_sleeper("after"))
    until(browser, lambda: rows(browser, "pods", "after"))


def test_no_errors_and_no_request_to_another_host(
    browser: webdriver.Chrome, cluster: Cluster
) -> None:
    browser.refresh()
    until(browser, lambda: connection(browser) == "live")
    urls = browser.execute_script(
        "return performance.getEntriesByType('resource').map(e => e.name)"
    )
    assert urls
    assert all(url.startswith(f"https://127.0.0.1:{cluster.port}/") for url in urls)
    refused = [e for e in browser.get_log("browser") if "Content Security Policy" in e["message"]]
    assert refused == []


def test_a_login_link_works_once_and_a_stranger_sees_how_to_log_in(
    cluster: Cluster, tmp_path: Path
) -> None:
    link = login_link(cluster)
    first, second = start_browser(tmp_path / "a"), start_browser(tmp_path / "b")
    try:
        first.get(link)
        until(first, lambda: connection(first) == "live")
        second.get(link)
        assert "podium ui" in second.find_element(By.TAG_NAME, "main").text
        second.get(f"https://127.0.0.1:{cluster.port}/ui/")
        assert "podium ui" in second.find_element(By.TAG_NAME, "main").text
        screenshot(second, "page-stranger")
    finally:
        first.quit()
        second.quit()

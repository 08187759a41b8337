"""A real headless Chromium, as the tests of the page drive it.

    with chromium(tmp_path) as page:
        page.open(login_link(cluster))
        page.until(lambda: page.text("#connection") == "live")

Screenshots go to artifacts/ (override with PODIUM_ARTIFACTS) for a person to look at.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import axe_core_python
from selenium import webdriver
from selenium.common.exceptions import TimeoutException
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import WebDriverWait

from tests.support.cluster import Cluster
from tests.support.waiting import PATIENCE

ARTIFACTS = Path(os.environ.get("PODIUM_ARTIFACTS", "artifacts"))
IN_TIME = "within the objective" if PATIENCE == 1 else "the objective"  # of a Pod's start
WIDE, PHONE = (1440, 900), (390, 844)
T = TypeVar("T")

_FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
)


def is_there() -> bool:
    return bool(shutil.which("chromium") and shutil.which("chromedriver"))


def login_link(cluster: Cluster) -> str:
    """A new one-time link."""
    found = re.search(r"https://\S+", cluster.podium("ui").stdout)
    assert found
    return found[0]


class Page:
    """One tab, and the verbs that the tests are written in. Every wait has a bound."""

    def __init__(self, driver: webdriver.Chrome) -> None:
        self.driver = driver
        self.root = ""

    def login(self, cluster: Cluster) -> None:
        self.root = f"https://127.0.0.1:{cluster.port}"
        self.driver.get(login_link(cluster))

    def open(self, path: str) -> None:
        """An address below the cluster's: "/ui/objects/pods"."""
        self.driver.get(self.root + path)

    def size(self, width: int, height: int) -> None:
        """Chromium's window has a least width; the device metrics do not."""
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        self.until(lambda: self.js("return innerWidth") == width)

    def colours(self, scheme: str) -> None:
        """What the system is said to prefer: "light" or "dark"; and nothing flashes meanwhile."""
        features = [
            {"name": "prefers-color-scheme", "value": scheme},
            {"name": "prefers-reduced-motion", "value": "reduce"},
        ]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})

    @contextmanager
    def at_night(self) -> Iterator[None]:
        self.colours("dark")
        yield
        self.colours("light")

    # --- looking ----------------------------------------------------------------------------------

    def until(self, condition: Callable[[], T], timeout_s: float = 30) -> T:
        wait = WebDriverWait(self.driver, timeout_s * PATIENCE, poll_frequency=0.1)
        try:
            return wait.until(lambda _: condition())
        except TimeoutException:
            seen = self.js("return document.body.innerText.slice(0, 600)")
            raise AssertionError(
                f"not so after {timeout_s:g} s at {self.driver.current_url}:\n{seen}\n"
                f"{self.driver.get_log('browser')}"
            ) from None

    def js(self, script: str, *arguments: Any) -> Any:
        return self.driver.execute_script(script, *arguments)

    def find(self, css: str) -> WebElement:
        """The first one, as soon as it is there."""
        return self.until(lambda: next(iter(self.driver.find_elements(By.CSS_SELECTOR, css)), None))

    def text(self, css: str) -> str:
        """What the first one says; "" while there is none. Read in one go: views are redrawn."""
        return str(self.js("return document.querySelector(arguments[0])?.innerText ?? ''", css))

    def texts(self, css: str) -> list[str]:
        return list(
            self.js(
                "return [...document.querySelectorAll(arguments[0])].map(e => e.innerText)", css
            )
        )

    def shows(self, text: str, css: str = "main") -> None:
        """Wait until it says so."""
        self.until(lambda: text in self.text(css))

    def picture(self, name: str) -> int:
        """What the picture tells about itself: "pods" or "ready"."""
        return int(self.js("return document.querySelector('canvas.picture')?.dataset[arguments[0]]"
                           " ?? -1", name))  # fmt: skip

    def errors(self) -> list[str]:
        """What the browser complained of since last asked: scripts that failed, CSP."""
        return [
            entry["message"]
            for entry in self.driver.get_log("browser")
            if entry["level"] == "SEVERE" and "Failed to load resource" not in entry["message"]
        ]

    # --- doing ------------------------------------------------------------------------------------

    def click(self, css: str) -> None:
        self.find(css)
        self.js("document.querySelector(arguments[0]).click()", css)

    def click_text(self, text: str, css: str = "button") -> None:
        """The button, tab or link that says so."""
        script = """const found = [...document.querySelectorAll(arguments[0])]
                    .find(e => e.innerText.trim() === arguments[1]); found?.click();
                    return Boolean(found)"""
        self.until(lambda: self.js(script, css, text))

    def keys(self, *keys: str) -> None:
        """To whatever has the focus."""
        self.driver.switch_to.active_element.send_keys(*keys)

    # --- judging ----------------------------------------------------------------------------------

    def screenshot(self, name: str) -> None:
        ARTIFACTS.mkdir(exist_ok=True)
        assert self.driver.save_screenshot(str(ARTIFACTS / f"{name}.png"))

    def does_not_scroll_sideways(self) -> bool:
        return bool(self.js("return document.documentElement.scrollWidth <= innerWidth"))

    def cut_off(self) -> list[str]:
        """Words that stand, in part, outside of the window, and cannot be scrolled to."""
        return list(self.js(_CUT_OFF))

    def overlapping(self) -> list[str]:
        """Pairs of words that stand on each other."""
        return list(self.js(_OVERLAPPING))

    def misfits(self) -> list[str]:
        """What does not fit into the window, and what stands on each other."""
        found = [f"cut off: {text}" for text in self.cut_off()]
        found += [f"overlap: {pair}" for pair in self.overlapping()]
        return found if self.does_not_scroll_sideways() else [*found, "scrolls sideways"]

    def violations(self, only: str = "", besides: str = "") -> list[str]:
        """What axe-core finds against WCAG 2.1 A and AA, or against the rule `only`; but not in
        the parts `besides`, a CSS selector."""
        if not self.js("return Boolean(window.axe)"):
            self.driver.execute_script(_axe())
        rules = [only] if only else ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]
        found = self.driver.execute_async_script(
            """const done = arguments[arguments.length - 1];
            const where = arguments[2] ? { exclude: [[arguments[2]]] } : document;
            axe.run(where, { runOnly: { type: arguments[1], values: arguments[0] },
                                resultTypes: ["violations"], preload: false })
               .then(result => done(result.violations.flatMap(v => v.nodes.map(n =>
                   `${v.id}: ${n.html.slice(0, 160)} ${n.any[0]?.message ?? ""}`))),
                     error => done([String(error)]))""",
            rules,
            "rule" if only else "tag",
            besides,
        )
        return list(found)


@cache
def _axe() -> str:
    return (Path(axe_core_python.__file__).parent / "axe.min.js").read_text()


_TEXT_BOXES = """
const boxes = [];
const styles = new Map();
const styleOf = (e) => {
  if (!styles.has(e)) {
    const { position, overflowX, overflowY, textOverflow, clipPath } = getComputedStyle(e);
    const isFixed = position === "fixed" || position === "sticky";
    const clips = overflowX !== "visible" || overflowY !== "visible";
    styles.set(e, { isFixed, clips, scrolls: overflowX === "auto" || overflowX === "scroll",
                    hides: overflowX === "hidden" && textOverflow !== "ellipsis",
                    clipPath, outer: clips && e.getBoundingClientRect() });
  }
  return styles.get(e);
};
const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
while (walker.nextNode()) {
  const node = walker.currentNode, owner = node.parentElement;
  if (!node.data.trim() || !owner.checkVisibility({ visibilityProperty: true })) continue;
  if (owner.closest(".unseen, .skip, noscript, select, [hidden]")) continue;
  if (styleOf(owner).clipPath !== "none") continue;
  const range = document.createRange();
  range.selectNodeContents(node);
  for (const box of range.getClientRects()) {
    if (box.width < 2 || box.height < 2) continue;
    let { left, right, top, bottom } = box;
    let isReachable = false, isFixed = false, isHidden = false;
    for (let e = owner; e && e !== document.body; e = e.parentElement) {
      const style = styleOf(e);
      if (style.isFixed) isFixed = true;
      if (!style.clips) continue;
      const { outer } = style;
      if (style.scrolls) isReachable = true;
      if (style.hides && !isReachable && (right > outer.right + 1 || left < outer.left - 1)) {
        isHidden = true;
      }
      left = Math.max(left, outer.left); right = Math.min(right, outer.right);
      top = Math.max(top, outer.top); bottom = Math.min(bottom, outer.bottom);
    }
    if (right - left < 2 || bottom - top < 2) continue;
    const text = node.data.trim().slice(0, 60);
    boxes.push({ text, left, right, top, bottom, isReachable, isFixed, isHidden, owner });
  }
}
"""
_CUT_OFF = (
    _TEXT_BOXES
    + """
const outside = (b) => !b.isReachable && (b.left < -1 || b.right > innerWidth + 1);
const found = boxes.filter(b => b.isHidden || outside(b)).map(b => b.text);
const pen = document.createElement("canvas").getContext("2d");
for (const field of document.querySelectorAll("input[placeholder]")) {
  const style = getComputedStyle(field);
  pen.font = style.font;
  const room = field.clientWidth - parseFloat(style.paddingLeft) - parseFloat(style.paddingRight);
  if (field.checkVisibility() && pen.measureText(field.placeholder).width > room + 1) {
    found.push(field.placeholder);
  }
}
for (const dialog of document.querySelectorAll("dialog[open]")) {
  if (dialog.scrollWidth > dialog.clientWidth) found.push("a dialog's right side");
}
return found"""
)
_OVERLAPPING = (
    _TEXT_BOXES
    + """
const layer = (b) => b.owner.closest("dialog, .toasts, .nav, .bar, .chosen, .tip") ?? document.body;
const found = [];
boxes.sort((a, b) => a.top - b.top);
for (let i = 0; i < boxes.length; i++) for (let j = i + 1; j < boxes.length; j++) {
  const [a, b] = [boxes[i], boxes[j]];
  const high = Math.min(a.bottom, b.bottom) - b.top;
  if (b.top > a.bottom) break;
  const wide = Math.min(a.right, b.right) - Math.max(a.left, b.left);
  if (wide <= 3 || high <= 4) continue;
  if (a.owner === b.owner || a.owner.contains(b.owner) || b.owner.contains(a.owner)) continue;
  if (layer(a) !== layer(b) || a.isFixed !== b.isFixed) continue;
  found.push(`${a.text} / ${b.text}`);
}
return found.slice(0, 20)"""
)


@contextmanager
def chromium(profile: Path) -> Iterator[Page]:
    """A browser with nothing in it yet."""
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or ""
    for flag in (*_FLAGS, f"--user-data-dir={profile}"):
        options.add_argument(flag)
    options.set_capability("acceptInsecureCerts", True)  # the CA is the cluster's own
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options, webdriver.ChromeService(shutil.which("chromedriver")))
    driver.set_script_timeout(60)
    try:
        yield Page(driver)
    finally:
        driver.quit()


__all__ = [
    "ARTIFACTS",
    "IN_TIME",
    "PHONE",
    "WIDE",
    "Keys",
    "Page",
    "chromium",
    "is_there",
    "login_link",
]

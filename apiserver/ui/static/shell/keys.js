// Keys that work everywhere, and the page that lists all of them.

import { h } from "../widgets/dom.js";
import { icon } from "../widgets/icons.js";
import { put } from "../widgets/dom.js";
import { openFinder } from "../shell/finder.js";
import { go, listUrl } from "../shell/router.js";

const GO = { c: "/ui/", p: listUrl("pods"), d: listUrl("deployments.apps"), n: listUrl("nodes"), e: listUrl("events"), b: "/ui/debugger", w: "/ui/diff", l: "/ui/lessons" };
const CHORD_MS = 1200;

const LISTED = [
  ["/", "find an object or a kind"],
  ["g c", "go to the cluster picture"],
  ["g p · g d · g n · g e", "go to Pods, Deployments, nodes, events"],
  ["g b · g w · g l", "go to the debugger (breakpoints), what changed, lessons"],
  ["?", "this list"],
  ["Tab, then arrows", "in the picture: from one thing to the next; Enter opens it, Escape lets go"],
  ["← →", "on the tabs of an object: the next one"],
  ["↑ ↓, Enter", "in a list: from row to row, open"],
  ["Escape", "close what is open"],
  ["Ctrl+Shift+Escape", "leave a terminal (all other keys go to the container)"],
];

export function startKeys() {
  let chord = 0;
  document.addEventListener("keydown", (event) => {
    if (event.metaKey || event.ctrlKey || event.altKey || isTyping(event.target)) return;
    if (document.querySelector("dialog[open]")) return;
    if (Date.now() - chord < CHORD_MS && GO[event.key]) { chord = 0; event.preventDefault(); go(GO[event.key]); return; }
    chord = event.key === "g" ? Date.now() : 0;
    if (event.key === "/") { event.preventDefault(); openFinder(); }
    if (event.key === "?") { event.preventDefault(); openHelp(); }
  });
  document.getElementById("find").addEventListener("click", openFinder);
  put(document.getElementById("help"), icon("help")).addEventListener("click", openHelp);
}

const isTyping = (target) => target.closest?.("input, textarea, select, [data-takes-keys]");

function openHelp() {
  const dialog = h("dialog", { "aria-labelledby": "help-title" }, h("form", { method: "dialog" },
    h("h2", { id: "help-title" }, "Keys"),
    h("dl", { class: "keys" }, LISTED.map(([keys, what]) => [h("dt", {}, h("kbd", {}, keys)), h("dd", {}, what)])),
    h("p", { class: "soft" }, "Everything shown here is also told by kubectl and by the podium command."),
    h("div", { class: "buttons" }, h("button", { class: "button", "data-tone": "primary" }, "Close"))));
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
}

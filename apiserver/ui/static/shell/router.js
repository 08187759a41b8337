// Addresses and views. Every view has an address below /ui/ that can be reloaded and shared; a view's
// code is fetched when it is first shown.

import { h, put, announce } from "../widgets/dom.js";
import { loading, problem } from "../widgets/parts.js";
import { load } from "../shell/load.js";

const VIEWS = [
  [/^\/ui\/$/, "cluster/view.js"],
  [/^\/ui\/debugger$/, "debugger/view.js"],
  [/^\/ui\/diff$/, "insight/diff.js"],
  [/^\/ui\/lessons$/, "lessons/view.js"],
  [/^\/ui\/objects\/(?<key>[^/]+)$/, "objects/list.js"],
  [/^\/ui\/object\/(?<key>[^/]+)\/(?<ns>[^/]+)\/(?<name>[^/]+)$/, "objects/detail.js"],
];

let open = null; // { close() } of the view that is shown
let turn = 0;

/** The address of an object's page; `ns` may be "". */
export const objectUrl = (key, ns, name, tab = "") =>
  `/ui/object/${key}/${ns ? encodeURIComponent(ns) : "-"}/${encodeURIComponent(name)}${tab ? `?tab=${tab}` : ""}`;
export const listUrl = (key) => `/ui/objects/${key}`;

export function startRouter() {
  document.addEventListener("click", (event) => {
    const link = event.target.closest?.("a[href^='/ui/']");
    if (!link || event.defaultPrevented || event.button || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
    event.preventDefault();
    go(link.getAttribute("href"));
  });
  addEventListener("popstate", () => show(false));
  show(true);
}

const kept = new Map(); // parameters that go along from view to view: name → () → value

export const keep = (name, value) => kept.set(name, value);

export function go(to) {
  const target = new URL(to, location.href);
  for (const [name, value] of kept) if (value() && !target.searchParams.has(name)) target.searchParams.set(name, value());
  const url = target.pathname + target.search;
  if (url === location.pathname + location.search) return;
  history.pushState(null, "", url);
  show(false);
}

/** Note what is chosen within a view, without another step back. */
export function remember(parameters) {
  const query = new URLSearchParams(location.search);
  for (const [name, value] of Object.entries(parameters)) {
    if (value) query.set(name, value);
    else query.delete(name);
  }
  const text = query.toString();
  history.replaceState(history.state, "", location.pathname + (text ? `?${text}` : ""));
}

async function show(isFirst) {
  const mine = ++turn;
  const main = document.getElementById("main");
  open?.close?.();
  open = null;
  document.dispatchEvent(new CustomEvent("podium:navigated"));
  const path = location.pathname === "/ui" ? "/ui/" : location.pathname;
  for (const [pattern, code] of VIEWS) {
    const match = pattern.exec(path);
    if (!match) continue;
    const slow = setTimeout(() => { if (mine === turn) put(main, loading("the view")); }, 150);
    try {
      const view = await load(code);
      clearTimeout(slow);
      if (mine !== turn) return;
      put(main);
      open = view.open(main, decoded(match.groups ?? {}), new URLSearchParams(location.search));
    } catch (error) {
      clearTimeout(slow);
      if (mine === turn) put(main, problem("This view could not be loaded", error.message, h("a", { href: "/ui/" }, "Back to the cluster")));
    }
    if (!isFirst) arrive(main);
    return;
  }
  title("Not found");
  put(main, problem("There is no such view", `Nothing is at ${path}. The link may be from another version.`, h("a", { href: "/ui/" }, "Back to the cluster")));
}

function arrive(main) {
  scrollTo(0, 0);
  main.focus({ preventScroll: true });
  announce(document.title);
}

function decoded(groups) {
  const plain = {};
  for (const [name, value] of Object.entries(groups)) {
    try { plain[name] = decodeURIComponent(value); } catch { plain[name] = value; }
  }
  if (plain.ns === "-") plain.ns = "";
  return plain;
}

export function title(text) {
  document.title = text ? `${text} – Podium` : "Podium";
}

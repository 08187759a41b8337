// The namespace that all views are narrowed to; it stands in the address (?ns=) and is kept for the visit.

import { h, put } from "../widgets/dom.js";
import { keep, remember } from "../shell/router.js";
import { world } from "../world/world.js";

const listeners = new Set();
let namespace = new URLSearchParams(location.search).get("ns") ?? kept();

function kept() {
  try { return sessionStorage.getItem("podium.namespace") ?? ""; } catch { return ""; }
}

export const scope = () => namespace;

/** Call `run` whenever another namespace is chosen; gives the way to stop it. */
export function onScope(run) {
  listeners.add(run);
  return () => listeners.delete(run);
}

export function startScope() {
  const select = document.getElementById("namespace");
  let shown = "";
  world.watch(() => {
    const wanted = ["", ...world.namespaces()];
    if (namespace && !wanted.includes(namespace)) wanted.push(namespace);
    if (wanted.join("\n") === shown && select.options.length > 1) return;
    shown = wanted.join("\n");
    put(select, wanted.map((name) => h("option", { value: name }, name || "all")));
    select.value = namespace;
  });
  keep("ns", scope);
  select.addEventListener("change", () => {
    namespace = select.value;
    try { sessionStorage.setItem("podium.namespace", namespace); } catch { /* it holds for this page */ }
    remember({ ns: namespace });
    for (const run of listeners) run(namespace);
  });
}

// The list of views at the side; on a narrow screen it opens over the page.

import { h, put } from "../widgets/dom.js";
import { icon } from "../widgets/icons.js";
import { kinds } from "../api/discovery.js";
import { session } from "../api/session.js";
import { listUrl } from "../shell/router.js";
import { world } from "../world/world.js";

// Where the kinds stand that everybody knows; all others come under "More".
const PLACES = [
  ["Workloads", ["deployments.apps", "replicasets.apps", "statefulsets.apps", "daemonsets.apps", "jobs.batch", "cronjobs.batch", "pods"]],
  ["Network", ["services", "endpointslices.discovery.k8s.io", "ingresses.networking.k8s.io", "networkpolicies.networking.k8s.io"]],
  ["Configuration", ["configmaps", "secrets", "serviceaccounts"]],
  ["Storage", ["persistentvolumeclaims", "persistentvolumes", "storageclasses.storage.k8s.io"]],
  ["Cluster", ["nodes", "namespaces", "events", "leases.coordination.k8s.io"]],
];
const TITLES = { pods: "Pods", persistentvolumeclaims: "Volume claims", persistentvolumes: "Volumes" };

/** "ReplicaSets", "StorageClasses": the plural as one reads it. */
export function titleOf(kind) {
  if (TITLES[kind.key]) return TITLES[kind.key];
  return kind.kind.endsWith("s") ? `${kind.kind}es` : kind.kind.endsWith("y") ? `${kind.kind.slice(0, -1)}ies` : `${kind.kind}s`;
}

export async function startNavigation() {
  const nav = document.getElementById("nav");
  openAndClose(nav);
  document.addEventListener("podium:navigated", () => mark(nav));
  const [found, { insights }] = await Promise.all([kinds().catch(() => new Map()), session()]);
  const placed = new Set(PLACES.flatMap(([, keys]) => keys));
  const groups = [...PLACES, ["More", [...found.keys()].filter((key) => !placed.has(key))]];
  put(nav,
    h("ul", {}, item("/ui/", "Cluster"), found.has("breakpoints.debug.podium.dev") ? item("/ui/debugger", "Debugger") : null, insights.includes("diff") ? item("/ui/diff", "What changed") : null, insights.includes("lessons") ? item("/ui/lessons", "Lessons") : null),
    groups.map(([title, keys]) => {
      const here = keys.filter((key) => found.has(key));
      return here.length ? [h("h2", {}, title), h("ul", {}, here.map((key) => item(listUrl(key), titleOf(found.get(key)), key)))] : null;
    }));
  mark(nav);
  world.watch(() => count(nav));
}

const item = (url, text, key) => h("li", {}, h("a", { href: url }, text, key && h("span", { class: "count", "data-count": key })));

function count(nav) {
  for (const place of nav.querySelectorAll("[data-count]")) {
    const objects = world.kinds.get(place.dataset.count);
    if (objects && place.dataset.count !== "events") place.textContent = objects.size || "";
  }
}

function mark(nav) {
  const [, what, key] = location.pathname.split("/").slice(1);
  for (const link of nav.querySelectorAll("a")) {
    const here = what?.startsWith("object") ? listUrl(key) : `/ui/${what ?? ""}`;
    const isHere = link.getAttribute("href") === here;
    if (isHere) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  nav.removeAttribute("data-open");
  document.getElementById("menu").setAttribute("aria-expanded", "false");
}

function openAndClose(nav) {
  const button = put(document.getElementById("menu"), icon("menu"));
  const set = (isOpen) => {
    nav.toggleAttribute("data-open", isOpen);
    button.setAttribute("aria-expanded", isOpen);
    if (isOpen) nav.querySelector("a")?.focus();
  };
  button.addEventListener("click", () => set(!nav.hasAttribute("data-open")));
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && nav.hasAttribute("data-open")) { set(false); button.focus(); }
  });
  document.addEventListener("click", (event) => {
    if (!nav.contains(event.target) && !button.contains(event.target)) nav.removeAttribute("data-open");
  });
}

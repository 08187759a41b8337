// The tab "Kernel": each field of the Pod's spec beside the kernel file or call that enforces it and what
// the kernel says now; namespaces and who shares them; processes, network, layers and mounts
// (pods/inspect). Read anew while you look.

import { h, put } from "../widgets/dom.js";
import { badge, card, facts, loading, note, problem } from "../widgets/parts.js";
import { bytes } from "../widgets/units.js";
import { getJson } from "../api/client.js";
import { pause } from "../api/watch.js";
import { asCommands } from "../insight/commands.js";
import { drawIdentity, drawLayers, drawMounts } from "../insight/kernel_files.js";
import { drawNetwork } from "../insight/kernel_network.js";

const EVERY_MS = 2000;
const NO_LIMIT = 2n ** 62n; // cgroup v1's
const NO_LONGER = "the Pod is gone";

export function openKernel(panel, subject) {
  const stop = new AbortController();
  const body = h("div", { class: "kernel-cards" });
  const again = h("input", { type: "checkbox", checked: true });
  const state = h("span", { class: "soft", role: "status" });
  put(panel, h("div", { class: "toolbar" }, h("label", {}, again, "Read every two seconds"), state), body, asCommands(subject));
  put(body, loading("the kernel's view"));
  run();
  return () => stop.abort();

  async function run() {
    let before = null;
    for (let isFirst = true; !stop.signal.aborted; isFirst = false) {
      if (isFirst || (again.checked && !document.hidden && !body.contains(document.activeElement) && String(getSelection()) === "")) {
        try {
          const found = await getJson(`${subject.path}/inspect`, { signal: stop.signal });
          put(body, draw(found, subject.object.spec, before));
          state.textContent = `${found.node}: Linux ${found.kernel.release}, cgroup ${found.kernel.cgroup}, read in ${found.durationMs.toFixed(1)} ms`;
          before = liveValues(found);
        } catch (error) {
          if (stop.signal.aborted) return;
          put(body, problem("The kernel's view cannot be shown", error.code === 404 ? NO_LONGER : error.message));
          if (error.code === 404 || error.code === 400) return;
        }
      }
      await pause(EVERY_MS, stop.signal);
    }
  }
}

const liveValues = ({ pod, containers }) => new Map([["", pod], ...containers.map((one) => [one.name, one])].flatMap(([name, part]) => (part.rows ?? []).map((row) => [`${name} ${row.field} ${row.file}`, row.live])));

function draw({ pod, containers }, spec, before) {
  return [
    pod.rows?.length ? card("The Pod as a whole", facts([["Shim", pod.shimPid && `process ${pod.shimPid}`], ["State", pod.state]]), rows(pod.rows, "", before)) : null,
    spec.hostNetwork ? card("Network", note("It has none of its own: it uses the node's (hostNetwork).")) : drawNetwork(pod.network),
    containers.map((container) => drawContainer(container, before)),
  ];
}

function drawContainer(container, before) {
  const title = `Container ${container.name}`;
  if (!container.rows) return card(title, h("p", {}, badge(container.state, container.state === "waiting" ? "warn" : "idle"), ` ${container.message}`));
  return card(title,
    facts([["Process", `${container.pid} on the host`], ["Id", h("span", { class: "mono" }, container.id)]]),
    rows(container.rows, container.name, before),
    namespaces(container.namespaces ?? []),
    processes(container),
    drawIdentity(container.identity),
    drawLayers(container.layers),
    drawMounts(container.mounts, container.name));
}

// ---- spec field → kernel file = value -------------------------------------------------------------

const HEADS = ["Field of the spec", "Asked", "Kernel file or call", "Says now", "Used"];
const SHORT = ["Spec", "Asked", "File", "Now", "Used"]; // on a narrow screen, where each cell says it

function rows(list, name, before) {
  return h("div", { class: "scroll-x", tabindex: "0", role: "region", "aria-label": `What the kernel enforces ${name}` }, h("table", { class: "plain stacks kernel" },
    h("thead", {}, h("tr", {}, HEADS.map((text) => h("th", { scope: "col" }, text)))),
    h("tbody", {}, list.map((row) => {
      const was = before?.get(`${name} ${row.field} ${row.file}`);
      return h("tr", {},
        h("td", { class: "mono", "data-head": SHORT[0] }, shortField(row.field)), h("td", { class: "mono", "data-head": SHORT[1] }, row.asked ?? ""),
        h("td", { class: "mono", title: row.file, "data-head": SHORT[2] }, row.call ? `${fileName(row)} (${row.call})` : fileName(row)),
        h("td", { class: was !== undefined && was !== row.live ? "mono changed" : "mono", "data-head": SHORT[3] }, liveWords(row)), h("td", { "data-head": SHORT[4] }, usageWords(row.usage)));
    }))));
}

const shortField = (field) => (field?.includes("].") ? field.slice(field.indexOf("].") + 2) : field || "");
const fileName = ({ file, hierarchy }) => (hierarchy ? file.slice(file.lastIndexOf("/") + 1) : file);

function liveWords({ live, hierarchy }) {
  const text = String(live ?? "").split(/\s+/).filter(Boolean).join(" ") || "nothing set";
  return hierarchy === "v1" && /^\d+$/.test(text) && BigInt(text) >= NO_LIMIT ? "no limit" : text;
}

function usageWords(usage) {
  if (!usage) return "";
  if ("usedNs" in usage) return `${((usage.usedNs ?? 0) / 1e9).toFixed(2)} s of CPU${usage.periods ? `, throttled in ${usage.throttledPeriods} of ${usage.periods} periods` : ""}`;
  if ("oomKills" in usage) return `${bytes(usage.usedBytes ?? 0)}${usage.peakBytes ? `, at most ${bytes(usage.peakBytes)}` : ""}; at the limit ${usage.limitHits} times, ${usage.oomKills} killed`;
  if ("usedBytes" in usage) return usage.usedBytes === null ? "" : bytes(usage.usedBytes);
  if ("used" in usage) return `${usage.used} now`;
  if ("oomScore" in usage) return `oom_score ${usage.oomScore}`;
  if (usage.pressure) return Object.entries(usage.pressure).map(([kind, values]) => `${kind} waited ${(values.total / 1e6).toFixed(3)} s, ${values.avg10 ?? 0} % of the last 10 s`).join("; ");
  if (usage.devices) return usage.devices.join("; ");
  return Object.entries(usage).map(([key, value]) => `${key} ${typeof value === "object" ? JSON.stringify(value) : value}`).join(", ");
}

// ---- namespaces and processes ---------------------------------------------------------------------

function namespaces(list) {
  if (!list.length) return null;
  return h("div", { class: "kernel-part" }, h("h3", {}, "Namespaces"), h("ul", { class: "namespaces" }, list.map((one) => h("li", {}, h("strong", {}, one.kind), h("span", { class: "mono soft" }, ` ${one.inode} `), one.sharedWith.length ? `shared with ${one.sharedWith.slice(0, 6).join(", ")}${one.sharedWith.length > 6 ? ` and ${one.sharedWith.length - 6} more` : ""}` : h("span", { class: "good" }, "its own")))));
}

function processes({ processes: list = [], processCount }) {
  if (!list.length) return null;
  const known = new Set(list.map((one) => one.pid));
  const ordered = [];
  const add = (one, depth) => { ordered.push([one, depth]); for (const child of list) if (child.parent === one.pid && depth < 40) add(child, depth + 1); };
  for (const one of list) if (!known.has(one.parent)) add(one, 0);
  return h("div", { class: "kernel-part" }, h("h3", {}, `Processes (${processCount})`), h("div", { class: "scroll-x", tabindex: "0", role: "region", "aria-label": "Processes" }, h("table", { class: "plain processes" },
    h("thead", {}, h("tr", {}, ["On the host", "Inside", "User", "Memory", "Command"].map((text) => h("th", { scope: "col" }, text)))),
    h("tbody", {}, ordered.map(([one, depth]) => h("tr", {}, h("td", { class: "mono" }, one.pid), h("td", { class: "mono" }, one.pids.length > 1 ? one.pids.at(-1) : "same"), h("td", {}, one.uid), h("td", {}, bytes(one.residentBytes ?? 0)),
      h("td", { class: "mono" }, h("span", { css: { "padding-left": `${depth * 14}px` } }, one.command?.join(" ") || `[${one.name}]`))))))));
}

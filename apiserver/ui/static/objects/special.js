// What is special about some kinds, for the overview: one function a kind.

import { h } from "../widgets/dom.js";
import { badge, card, facts } from "../widgets/parts.js";
import { age, bytes, clock, cores, quantity } from "../widgets/units.js";
import { objectUrl } from "../shell/router.js";
import { world } from "../world/world.js";

export function special({ kind, object }) {
  return KINDS[kind.key]?.(object) ?? null;
}

const KINDS = {
  pods: pod,
  nodes: node,
  "deployments.apps": deployment,
  "replicasets.apps": (set) => [replicas(set), podsOf((one) => one.owner === set.metadata.uid)],
  configmaps: (map) => data("Data", map.data, (text) => text),
  "faults.debug.podium.dev": fault,
  secrets: (secret) => data("Data", secret.data, hiddenText),
  events: (event) => card("Event", facts([["Reason", event.reason], ["Message", event.message], ["Times", event.series?.count ?? event.count ?? 1], ["By", event.source?.component || event.reportingComponent]])),
};

// ---- Pods ---------------------------------------------------------------------------------------

function pod({ spec, status = {} }) {
  const all = [...(spec.initContainers ?? []).map((c) => [c, "init"]), ...(spec.containers ?? []).map((c) => [c, ""]), ...(spec.ephemeralContainers ?? []).map((c) => [c, "ephemeral"])];
  const states = new Map([...(status.initContainerStatuses ?? []), ...(status.containerStatuses ?? []), ...(status.ephemeralContainerStatuses ?? [])].map((one) => [one.name, one]));
  return [
    card("Place", facts([
      ["Node", spec.nodeName ? h("a", { href: objectUrl("nodes", "", spec.nodeName) }, spec.nodeName) : "none yet"],
      ["Address", status.podIP], ["Phase", status.phase], ["Why", [status.reason, status.message].filter(Boolean).join(": ")],
      ["Quality", status.qosClass], ["Restarts", spec.restartPolicy ?? "Always"], ["Account", spec.serviceAccountName],
    ])),
    ...all.map(([container, sort]) => containerCard(container, sort, states.get(container.name))),
  ];
}

function containerCard(container, sort, state) {
  const [word, says, since] = stateWords(state?.state);
  const { requests = {}, limits = {} } = container.resources ?? {};
  const bound = (name) => [requests[name] && `asks for ${requests[name]}`, limits[name] && `at most ${limits[name]}`].filter(Boolean).join(", ");
  const last = state?.lastState?.terminated;
  return card(`${sort ? `${sort[0].toUpperCase()}${sort.slice(1)} container` : "Container"} ${container.name}`, facts([
    ["State", h("span", {}, badge(word), says && h("span", { class: "soft" }, ` ${says}`), since && h("span", { class: "soft" }, ` for ${age(since)}`))],
    ["Ended before", last && `${last.reason ?? ""} (${last.exitCode})`],
    ["Image", h("span", { class: "mono" }, container.image)],
    ["Command", container.command && h("span", { class: "mono" }, [...container.command, ...(container.args ?? [])].join(" "))],
    ["Restarts", state?.restartCount || null],
    ["CPU", bound("cpu")], ["Memory", bound("memory")],
    ["Ports", container.ports?.map((port) => `${port.containerPort}/${port.protocol ?? "TCP"}`).join(", ")],
    ["Mounts", container.volumeMounts?.map((mount) => mount.mountPath).join(", ")],
  ]));
}

function stateWords(state) {
  if (state?.running) return ["Running", "", state.running.startedAt];
  if (state?.terminated) return [state.terminated.reason ?? "Completed", `exit code ${state.terminated.exitCode}`, null];
  return [state?.waiting?.reason ?? "Pending", state?.waiting?.message ?? "", null];
}

// ---- workloads ----------------------------------------------------------------------------------

function deployment(object) {
  const { metadata, spec, status = {} } = object;
  const strategy = spec.strategy?.rollingUpdate;
  const sets = [...world.replicasets.values()].filter((set) => set.owner === metadata.uid).sort((a, b) => Number(b.revision) - Number(a.revision));
  const uids = new Set(sets.map((set) => set.uid));
  return [
    card("Replicas", facts([
      ["Wanted", spec.replicas], ["Ready", status.readyReplicas ?? 0], ["Up to date", status.updatedReplicas ?? 0], ["Available", status.availableReplicas ?? 0],
      ["Strategy", spec.strategy?.type === "Recreate" ? "Recreate" : strategy && `RollingUpdate: at most ${strategy.maxUnavailable} missing, ${strategy.maxSurge} more`],
      ["Paused", spec.paused ? "yes" : null],
    ]), template(spec)),
    card("Revisions", h("table", { class: "plain" }, h("thead", {}, h("tr", {}, ["Revision", "Ready", "Image"].map((text) => h("th", { scope: "col" }, text)))),
      h("tbody", {}, sets.map((set) => h("tr", {}, h("td", {}, h("a", { href: objectUrl("replicasets.apps", set.ns, set.name) }, set.revision || set.name)), h("td", {}, `${set.ready}/${set.replicas}`), h("td", { class: "mono" }, set.images.join(", "))))))),
    podsOf((one) => uids.has(one.owner)),
  ];
}

const replicas = ({ spec, status = {} }) => card("Replicas", facts([["Wanted", spec.replicas], ["There", status.replicas ?? 0], ["Ready", status.readyReplicas ?? 0]]), template(spec));

const template = ({ template: { spec } }) => facts(spec.containers.map((one) => [`Container ${one.name}`, h("span", { class: "mono" }, one.image)]));

const LISTED = 200;

function podsOf(matches) {
  const found = [...world.pods.values()].filter(matches).sort((a, b) => a.name.localeCompare(b.name));
  return card(`Pods (${found.length})`, found.length
    ? h("div", { class: "scroll-y", tabindex: "0", role: "region", "aria-label": "Pods" }, h("table", { class: "plain" }, h("tbody", {}, found.slice(0, LISTED).map((one) => h("tr", {},
      h("td", { class: "mono" }, h("a", { href: objectUrl("pods", one.ns, one.name) }, one.name)), h("td", {}, badge(one.reason || one.phase)), h("td", { class: "soft" }, one.node ?? "no node"), h("td", { class: "soft number" }, age(one.born)))))))
    : h("p", { class: "soft" }, "None just now."), found.length > LISTED ? h("p", { class: "soft" }, `and ${found.length - LISTED} more`) : null);
}

// ---- the rest -----------------------------------------------------------------------------------

function node({ metadata, spec = {}, status = {} }) {
  const pods = [...world.pods.values()].filter((one) => one.node === metadata.name);
  const active = pods.filter((one) => !["Succeeded", "Failed"].includes(one.phase));
  const { allocatable = {}, nodeInfo = {} } = status;
  const sum = (name) => active.reduce((total, one) => total + one[name], 0);
  const meter = (name, used, whole, format) => h("div", { class: "meter" }, h("span", {}, name), h("progress", { max: Math.max(whole, used, 1e-9), value: used, "aria-label": `${name} asked for` }), h("span", {}, `${format(used)} of ${format(whole)}`));
  return [
    card("Asked for by its Pods",
      meter("CPU", sum("cpu") / 1000, quantity(allocatable.cpu), cores), meter("Memory", sum("memory"), quantity(allocatable.memory), bytes), meter("Pods", active.length, quantity(allocatable.pods), String)),
    card("Machine", facts([
      ["Takes Pods", spec.unschedulable ? "no, it is cordoned" : "yes"], ["Taints", spec.taints?.map((taint) => `${taint.key}:${taint.effect}`).join(", ")],
      ["Addresses", status.addresses?.map((one) => one.address).join(", ")], ["Runtime", nodeInfo.containerRuntimeVersion], ["Kernel", nodeInfo.kernelVersion], ["System", nodeInfo.osImage], ["Kubelet", nodeInfo.kubeletVersion],
    ])),
    podsOf((one) => one.node === metadata.name),
  ];
}

function fault({ spec, status = {} }) {
  return card("Fault", facts([
    ["What", spec.type], ["Target", spec.target], ["Delay", spec.delayMilliseconds && `${spec.delayMilliseconds} ms`], ["Memory", spec.memory],
    ["Bytes a second", spec.bytesPerSecond], ["Operations a second", spec.operationsPerSecond],
    ["Began", status.startTime && clock(status.startTime)], [status.phase === "Active" ? "Ends" : "Ended", status.endTime && clock(status.endTime)], ["Message", status.message],
  ]));
}

function data(title, entries, show) {
  const list = Object.entries(entries ?? {});
  return card(title, list.length ? list.map(([key, value]) => [h("h3", { class: "mono" }, key), show(value)].map((part) => (part instanceof Node ? part : h("pre", { class: "value", tabindex: "0" }, part)))) : h("p", { class: "soft" }, "Empty."));
}

/** A secret's value is shown only when asked for, one at a time. */
function hiddenText(encoded) {
  const place = h("div");
  const button = h("button", { class: "button", type: "button" }, `Show (${Math.floor(encoded.length * 0.75)} bytes)`);
  button.addEventListener("click", () => {
    const raw = Uint8Array.from(atob(encoded), (one) => one.charCodeAt(0));
    button.replaceWith(h("pre", { class: "value", tabindex: "0" }, new TextDecoder().decode(raw)));
  });
  place.append(button);
  return place;
}

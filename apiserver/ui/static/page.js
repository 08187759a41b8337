// The status page. One server-sent stream of watch events keeps a copy of the cluster in `world`;
// the tables are drawn from it, at most once a frame. Every text goes in by textContent, so that
// what a user wrote into a name or a message is never read as HTML.

const world = { nodes: new Map(), deployments: new Map(), replicasets: new Map(), pods: new Map(), events: new Map() };
const MAX_EVENTS = 200;
const MAX_RECONNECT_MS = 5000;
let namespace = "";
let drawRequested = false;
const changed = new Set();

const $ = (id) => document.getElementById(id);

function element(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined) continue;
    if (name === "class") node.className = value;
    else node.setAttribute(name, value);
  }
  node.append(...children.map((child) => (child instanceof Node ? child : document.createTextNode(String(child)))));
  return node;
}

// ---- quantities and times -------------------------------------------------------------------

const SUFFIX = { n: 1e-9, u: 1e-6, m: 1e-3, k: 1e3, M: 1e6, G: 1e9, T: 1e12, P: 1e15, E: 1e18,
  Ki: 2 ** 10, Mi: 2 ** 20, Gi: 2 ** 30, Ti: 2 ** 40, Pi: 2 ** 50, Ei: 2 ** 60 };

export function quantity(text) {
  const match = /^([+-]?[0-9.]+(?:[eE][+-]?\d+)?)([a-zA-Z]*)$/.exec(String(text ?? "0"));
  if (!match) return 0;
  return Number(match[1]) * (SUFFIX[match[2]] ?? 1);
}

const cores = (value) => (value < 10 ? value.toFixed(2).replace(/\.?0+$/, "") : Math.round(value).toString());

function bytes(value) {
  for (const [unit, size] of [["Gi", 2 ** 30], ["Mi", 2 ** 20], ["Ki", 2 ** 10]]) {
    if (value >= size) return `${(value / size).toFixed(value / size < 10 ? 1 : 0)} ${unit}B`;
  }
  return `${Math.round(value)} B`;
}

function age(timestamp, now = Date.now()) {
  const seconds = Math.max(0, Math.floor((now - Date.parse(timestamp)) / 1000));
  if (Number.isNaN(seconds)) return "";
  if (seconds < 120) return `${seconds}s`;
  if (seconds < 7200) return `${Math.floor(seconds / 60)}m`;
  if (seconds < 172800) return `${Math.floor(seconds / 3600)}h`;
  return `${Math.floor(seconds / 86400)}d`;
}

// ---- what an object says about itself ---------------------------------------------------------

const podRequest = (pod, name) =>
  (pod.spec.containers ?? []).reduce((sum, c) => sum + quantity(c.resources?.requests?.[name]), 0);

export function podPhase(pod) {
  const status = pod.status ?? {};
  if (pod.metadata.deletionTimestamp) return "Terminating";
  for (const state of [...(status.initContainerStatuses ?? []), ...(status.containerStatuses ?? [])]) {
    const waiting = state.state?.waiting?.reason;
    if (waiting && waiting !== "ContainerCreating" && waiting !== "PodInitializing") return waiting;
    const ended = state.state?.terminated;
    if (ended && ended.exitCode !== 0) return ended.reason ?? "Error";
  }
  if (status.reason) return status.reason;
  if (status.phase === "Succeeded") return "Completed";
  if (status.phase === "Pending" && pod.spec.nodeName) return "ContainerCreating";
  return status.phase ?? "Pending";
}

const TONE = { Running: "good", Completed: "idle", Succeeded: "idle", Pending: "warn", ContainerCreating: "warn", Terminating: "warn" };
const badge = (text, tone) => element("span", { class: "badge", "data-tone": tone ?? TONE[text] ?? "bad" }, text);

const isReady = (object) => (object.status?.conditions ?? []).find((c) => c.type === "Ready")?.status === "True";

function readyBar(ready, desired) {
  return element("span", { class: "ready" },
    element("progress", { max: Math.max(desired, 1), value: desired === 0 ? 1 : ready, "aria-label": `${ready} of ${desired} ready` }),
    `${ready}/${desired}`);
}

// ---- drawing ----------------------------------------------------------------------------------

const keyOf = (object) => object.metadata.uid;
const byName = (a, b) =>
  (a.metadata.namespace ?? "").localeCompare(b.metadata.namespace ?? "") || a.metadata.name.localeCompare(b.metadata.name);
const shown = (map) => [...map.values()].filter((o) => !namespace || o.metadata.namespace === namespace).sort(byName);

function row(object, cells, kind) {
  const tr = element("tr", { "data-key": keyOf(object), "data-kind": kind, "data-name": object.metadata.name });
  if (changed.has(keyOf(object))) tr.classList.add("changed");
  for (const [value, cssClass] of cells) tr.append(element("td", { class: cssClass }, value));
  return tr;
}

function drawNumbers() {
  const pods = [...world.pods.values()];
  const deployments = [...world.deployments.values()];
  const entries = [
    ["Nodes ready", `${[...world.nodes.values()].filter(isReady).length}/${world.nodes.size}`],
    ["Deployments available", `${deployments.filter((d) => (d.status?.availableReplicas ?? 0) >= (d.spec.replicas ?? 1)).length}/${deployments.length}`],
    ["Pods running", `${pods.filter((p) => podPhase(p) === "Running").length}/${pods.length}`],
    ["Restarts", pods.reduce((sum, p) => sum + restarts(p), 0)],
  ];
  $("numbers").replaceChildren(...entries.map(([name, value]) => element("div", {}, element("b", {}, value), element("span", {}, name))));
}

const restarts = (pod) => (pod.status?.containerStatuses ?? []).reduce((sum, s) => sum + (s.restartCount ?? 0), 0);

function drawNodes() {
  const cards = [...world.nodes.values()].sort(byName).map((node) => {
    const pods = [...world.pods.values()].filter((p) => p.spec.nodeName === node.metadata.name && !["Succeeded", "Failed"].includes(p.status?.phase));
    const allocatable = node.status?.allocatable ?? {};
    const meters = [
      ["CPU", pods.reduce((sum, p) => sum + podRequest(p, "cpu"), 0), quantity(allocatable.cpu), cores],
      ["Memory", pods.reduce((sum, p) => sum + podRequest(p, "memory"), 0), quantity(allocatable.memory), bytes],
      ["Pods", pods.length, quantity(allocatable.pods), String],
    ];
    const info = node.status?.nodeInfo ?? {};
    const address = (node.status?.addresses ?? []).find((a) => a.type === "InternalIP")?.address ?? "";
    return element("article", { "data-node": node.metadata.name },
      element("h3", {}, element("span", {}, node.metadata.name), isReady(node) ? badge("Ready", "good") : badge("NotReady", "bad")),
      element("p", {}, [address, info.osImage, info.kernelVersion && `Linux ${info.kernelVersion}`, info.containerRuntimeVersion].filter(Boolean).join(" · ")),
      ...meters.map(([name, used, total, format]) =>
        element("div", { class: "meter" }, element("span", {}, name),
          element("progress", { max: Math.max(total, used, 1e-9), value: used, "aria-label": `${name} requested` }),
          element("span", {}, `${format(used)} of ${format(total)}`))));
  });
  $("nodes").replaceChildren(...cards);
}

function workloadRow(object, kind) {
  const desired = object.spec.replicas ?? 1;
  const status = object.status ?? {};
  return row(object, [
    [kind, null], [object.metadata.namespace, null], [object.metadata.name, "name"],
    [readyBar(status.readyReplicas ?? 0, desired), null],
    [kind === "Deployment" ? status.updatedReplicas ?? 0 : status.replicas ?? 0, "number"],
    [status.availableReplicas ?? 0, "number"],
    [(object.spec.template?.spec?.containers ?? []).map((c) => c.image).join(", "), "image"],
    [age(object.metadata.creationTimestamp), "number"],
  ], kind);
}

function drawWorkloads() {
  const owned = (set) => set.metadata.ownerReferences?.some((o) => o.controller);
  const idle = (set) => owned(set) && (set.spec.replicas ?? 0) === 0 && !(set.status?.replicas);
  const rows = [
    ...shown(world.deployments).map((d) => workloadRow(d, "Deployment")),
    ...shown(world.replicasets).filter((r) => !idle(r)).map((r) => workloadRow(r, "ReplicaSet")),
  ];
  $("workloads").tBodies[0].replaceChildren(...rows);
}

function drawPods() {
  const rows = shown(world.pods).map((pod) => {
    const statuses = pod.status?.containerStatuses ?? [];
    return row(pod, [
      [pod.metadata.namespace, null], [pod.metadata.name, "name"], [badge(podPhase(pod)), null],
      [`${statuses.filter((s) => s.ready).length}/${(pod.spec.containers ?? []).length}`, null],
      [restarts(pod), "number"], [pod.status?.podIP ?? "", "ip"], [pod.spec.nodeName ?? "", "name"],
      [age(pod.metadata.creationTimestamp), "number"],
    ], "Pod");
  });
  $("pods").tBodies[0].replaceChildren(...rows);
}

const eventTime = (event) => event.lastTimestamp ?? event.eventTime ?? event.metadata.creationTimestamp;

function drawEvents() {
  const newest = [...world.events.values()]
    .filter((e) => !namespace || e.metadata.namespace === namespace)
    .sort((a, b) => Date.parse(eventTime(b)) - Date.parse(eventTime(a)) || Number(b.metadata.resourceVersion) - Number(a.metadata.resourceVersion))
    .slice(0, MAX_EVENTS);
  $("events").replaceChildren(...newest.map((event) => {
    const about = event.involvedObject ?? {};
    return element("li", { "data-type": event.type, class: changed.has(keyOf(event)) ? "changed" : null },
      element("time", { datetime: eventTime(event) }, new Date(eventTime(event)).toLocaleTimeString([], { hour12: false })),
      element("span", { class: "reason" }, (event.count ?? 1) > 1 ? `${event.reason} ×${event.count}` : event.reason ?? ""),
      element("span", { class: "object" }, `${(about.kind ?? "").toLowerCase()}/${about.name ?? ""}`),
      element("span", { class: "message" }, event.message ?? ""));
  }));
}

function drawNamespaces() {
  const names = new Set(["pods", "deployments", "replicasets", "events"].flatMap((kind) => [...world[kind].values()].map((o) => o.metadata.namespace)));
  const select = $("namespace");
  const wanted = ["", ...[...names].filter(Boolean).sort()];
  if (namespace && !wanted.includes(namespace)) wanted.push(namespace);
  if ([...select.options].map((o) => o.value).join("\n") === wanted.join("\n")) return;
  select.replaceChildren(...wanted.map((name) => element("option", { value: name }, name || "all")));
  select.value = namespace;
}

function draw() {
  drawRequested = false;
  drawNumbers();
  drawNamespaces();
  drawNodes();
  drawWorkloads();
  drawPods();
  drawEvents();
  changed.clear();
}

function requestDraw() {
  if (drawRequested) return;
  drawRequested = true;
  requestAnimationFrame(draw);
}

// ---- the live stream --------------------------------------------------------------------------

function connection(state, text) {
  $("connection").dataset.state = state;
  $("connection").textContent = text;
}

function take({ resource, type, object }) {
  const objects = world[resource];
  if (!objects) return;
  if (type === "DELETED") objects.delete(keyOf(object));
  else objects.set(keyOf(object), object);
  if (synced) changed.add(keyOf(object));
  requestDraw();
}

let synced = false;
let retryMs = 250;

function connect() {
  const stream = new EventSource("stream");
  stream.addEventListener("open", () => {
    for (const objects of Object.values(world)) objects.clear();
    synced = false;
    retryMs = 250;
  });
  stream.addEventListener("synced", () => { synced = true; connection("live", "live"); requestDraw(); });
  stream.addEventListener("message", (message) => take(JSON.parse(message.data)));
  stream.addEventListener("error", () => {
    connection("lost", "reconnecting");
    if (stream.readyState !== EventSource.CLOSED) return;
    // The server refused the stream: either it is starting or this login has ended.
    setTimeout(connect, retryMs);
    retryMs = Math.min(retryMs * 2, MAX_RECONNECT_MS);
  });
}

$("namespace").addEventListener("change", (event) => { namespace = event.target.value; requestDraw(); });
setInterval(requestDraw, 10_000); // ages
connect();

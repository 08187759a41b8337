// The life of an object in order: Events, turns of conditions, what its containers did, and who changed
// it. Kubernetes gives seconds for most of it; what is kept of the past gives microseconds and, within one
// second, revisions give the order.

import { h, put, oncePerFrame } from "../widgets/dom.js";
import { empty } from "../widgets/parts.js";
import { clock, duration, milliseconds } from "../widgets/units.js";
import { session } from "../api/session.js";
import { follow } from "../api/watch.js";
import { readHistory } from "../insight/history.js";

const PAST_MS = 400; // after a change, before its past is read anew
const FIELDS = 4; // named of one change

/** open(panel, subject): subject has { object, kind, onChange(run) → stop }. */
export function openTimeline(panel, subject) {
  const events = new Map();
  const stop = new AbortController();
  const list = h("ol", { class: "timeline", "aria-label": "What happened, oldest first" });
  const place = h("div", {}, list);
  put(panel, place);
  let isRead = false;
  let past = []; // its changes, oldest first; empty where none are kept
  let timer = 0;

  const draw = oncePerFrame(() => {
    const entries = [...[...events.values()].flatMap(ofEvent), ...ofObject(subject.object, past), ...past.flatMap(ofChange)].sort(inOrder);
    if (!entries.length) { if (isRead) put(place, empty("Nothing is known to have happened", "Events go an hour after they happened; this object has none left.")); return; }
    put(place, list);
    put(list, rows(entries));
  });

  const { metadata } = subject.object;
  follow(metadata.namespace ? `/api/v1/namespaces/${metadata.namespace}/events` : "/api/v1/events", { fieldSelector: `involvedObject.uid=${metadata.uid}` }, "application/json", stop.signal, {
    reset: (found) => { events.clear(); for (const event of found.items) events.set(event.metadata.uid, event); draw(); },
    more: (found) => { for (const event of found.items) events.set(event.metadata.uid, event); draw(); },
    live: () => { isRead = true; draw(); },
    event: (type, event) => { if (type === "DELETED") events.delete(event.metadata.uid); else events.set(event.metadata.uid, event); draw(); },
    lost: () => {},
  });
  const readPast = async () => {
    if (!(await session()).insights.includes("history")) return;
    past = await readHistory(subject.kind.key, subject.namespace, subject.name).then((found) => found.items.filter((item) => item.uid === metadata.uid).reverse(), () => past);
    draw();
  };
  const forget = subject.onChange(() => { draw(); clearTimeout(timer); timer = setTimeout(readPast, PAST_MS); });
  readPast();
  draw();
  return () => { stop.abort(); clearTimeout(timer); forget(); };
}

/** By the second, for that is all that most of it tells; within one by revision. */
const inOrder = (a, b) => Math.floor(a.at / 1000) - Math.floor(b.at / 1000) || a.order - b.order || a.at - b.at;

function rows(entries) {
  let before = -Infinity; // who tells whole seconds alone was not before the one before it
  const moments = entries.map((entry) => (before = Math.max(before, entry.at)));
  const start = moments[0];
  const span = Math.max(1, before - start);
  return entries.map((entry, index) => {
    const since = index ? moments[index] - moments[index - 1] : 0;
    return h("li", { "data-tone": entry.tone },
      h("time", { datetime: entry.time }, clock(entry.time)),
      h("span", { class: "since" }, since ? `+${since < 10_000 ? milliseconds(since) : duration(since / 1000)}` : ""),
      h("span", { class: "rail", "aria-hidden": "true" }, h("i", { css: { left: `${((moments[index] - start) / span) * 100}%` } })),
      h("span", { class: "what" }, entry.what, entry.by && h("span", { class: "soft" }, ` · ${entry.by}`)),
      entry.says && h("span", { class: "says" }, entry.says));
  });
}

function entry(time, what, says, { tone = "idle", by = "", order = 0 } = {}) {
  const at = Date.parse(time ?? "");
  return Number.isNaN(at) ? [] : [{ at, time, what, says, tone, by, order }];
}

function ofEvent(event) {
  const first = event.eventTime ?? event.firstTimestamp ?? event.metadata.creationTimestamp;
  const last = event.series?.lastObservedTime ?? event.lastTimestamp ?? first;
  const count = event.series?.count ?? event.count ?? 1;
  const about = { tone: event.type === "Warning" ? "bad" : "event", by: event.source?.component || event.reportingComponent, order: Number(event.metadata.resourceVersion) };
  const found = entry(first, event.reason, event.message, about);
  if (count > 1 && last !== first) found.push(...entry(last, `${event.reason} ×${count}`, event.message, about));
  return found;
}

/** Changes by which somebody wanted something; what the status tells is told below. */
function ofChange({ type, time, revision, by, manager, subresource, changed = [] }) {
  if (type === "DELETED") return entry(time, "Deleted", null, { tone: "bad", by, order: revision });
  const wished = changed.filter((field) => /^(spec|data|metadata\.(labels|deletion))/.test(field));
  if (type !== "MODIFIED" || subresource === "status" || !wished.length) return [];
  const shown = wished.length > FIELDS ? [...wished.slice(0, FIELDS), `${wished.length - FIELDS} more`] : wished;
  return entry(time, subresource === "binding" ? "Bound" : "Changed", shown.join(", "), { tone: "event", by: [by, manager !== by && manager].filter(Boolean).join(" with "), order: revision });
}

/** When a field of the status became what it is: as exactly as the past tells, or as the field itself. */
function exactly(past, field, time) {
  const second = Math.floor(Date.parse(time ?? "") / 1000);
  const change = past.find((item) => Math.floor(Date.parse(item.time) / 1000) >= second && item.changed?.some((one) => one.startsWith(field) || field.startsWith(`${one}[`)));
  const isSame = change && Math.floor(Date.parse(change.time) / 1000) <= second + 1;
  return isSame ? { time: change.time, order: change.revision } : { time, order: 0 };
}

function ofObject({ metadata, status }, past) {
  const born = past[0]?.type === "ADDED" ? past[0] : null;
  const found = [...entry(born?.time ?? metadata.creationTimestamp, "Created", null, { by: born?.by, order: born?.revision ?? 0 })];
  for (const condition of status?.conditions ?? []) {
    const isGood = condition.status === "True";
    const { time, order } = exactly(past, `status.conditions[${condition.type}]`, condition.lastTransitionTime);
    found.push(...entry(time, `${condition.type} is ${condition.status}`, [condition.reason, condition.message].filter(Boolean).join(": "), { tone: isGood ? "good" : "idle", by: "condition", order }));
  }
  for (const container of [...(status?.initContainerStatuses ?? []), ...(status?.containerStatuses ?? [])]) {
    for (const state of [container.lastState, container.state]) {
      const by = `container ${container.name}`;
      const { order } = exactly(past, "status.containerStatuses", state?.running?.startedAt ?? state?.terminated?.finishedAt);
      if (state?.running) found.push(...entry(state.running.startedAt, "Process started", null, { tone: "good", by, order: order - 0.5 }));
      if (state?.terminated) {
        const { startedAt, finishedAt, exitCode, reason } = state.terminated;
        found.push(...entry(startedAt, "Process started", null, { by }), ...entry(finishedAt, `Process ended with ${exitCode}`, reason, { tone: exitCode ? "bad" : "idle", by, order }));
      }
    }
  }
  if (metadata.deletionTimestamp && !past.length) found.push(...entry(metadata.deletionTimestamp, "To be deleted", `grace period ${metadata.deletionGracePeriodSeconds ?? 0} s`, { tone: "bad" }));
  return found;
}

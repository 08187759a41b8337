// The life of an object in order: Events, turns of conditions, what its containers did. The API gives
// seconds for some and microseconds for others; the object's own revision orders Events of one second.

import { h, put, oncePerFrame } from "../widgets/dom.js";
import { empty } from "../widgets/parts.js";
import { clock, duration, milliseconds } from "../widgets/units.js";
import { follow } from "../api/watch.js";

/** open(panel, subject): subject has { object, kind, onChange(run) → stop }. */
export function openTimeline(panel, subject) {
  const events = new Map();
  const stop = new AbortController();
  const list = h("ol", { class: "timeline", "aria-label": "What happened, oldest first" });
  const place = h("div", {}, list);
  put(panel, place);
  let isRead = false;

  const draw = oncePerFrame(() => {
    const entries = [...[...events.values()].flatMap(ofEvent), ...ofObject(subject.object)].sort((a, b) => a.at - b.at || a.order - b.order);
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
  const forget = subject.onChange(draw);
  draw();
  return () => { stop.abort(); forget(); };
}

function rows(entries) {
  const start = entries[0].at;
  const span = Math.max(1, entries.at(-1).at - start);
  let before = null;
  return entries.map((entry) => {
    const since = before === null ? 0 : entry.at - before;
    before = entry.at;
    return h("li", { "data-tone": entry.tone },
      h("time", { datetime: entry.time }, clock(entry.time)),
      h("span", { class: "since" }, since ? `+${since < 10_000 ? milliseconds(since) : duration(since / 1000)}` : ""),
      h("span", { class: "rail", "aria-hidden": "true" }, h("i", { css: { left: `${((entry.at - start) / span) * 100}%` } })),
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

function ofObject({ metadata, status }) {
  const found = [...entry(metadata.creationTimestamp, "Created", null)];
  for (const condition of status?.conditions ?? []) {
    const isGood = condition.status === "True";
    found.push(...entry(condition.lastTransitionTime, `${condition.type} is ${condition.status}`, [condition.reason, condition.message].filter(Boolean).join(": "), { tone: isGood ? "good" : "idle", by: "condition" }));
  }
  for (const container of [...(status?.initContainerStatuses ?? []), ...(status?.containerStatuses ?? [])]) {
    for (const state of [container.lastState, container.state]) {
      const by = `container ${container.name}`;
      if (state?.running) found.push(...entry(state.running.startedAt, "Process started", null, { tone: "good", by }));
      if (state?.terminated) {
        const { startedAt, finishedAt, exitCode, reason } = state.terminated;
        found.push(...entry(startedAt, "Process started", null, { by }), ...entry(finishedAt, `Process ended with ${exitCode}`, reason, { tone: exitCode ? "bad" : "idle", by }));
      }
    }
  }
  if (metadata.deletionTimestamp) found.push(...entry(metadata.deletionTimestamp, "To be deleted", `grace period ${metadata.deletionGracePeriodSeconds ?? 0} s`, { tone: "bad" }));
  return found;
}

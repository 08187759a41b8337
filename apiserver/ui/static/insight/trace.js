// The tab "Trace": from the apply that caused it to each running process, as a waterfall
// (/podium/v1/trace). Exact: ids connect it, not times.

import { h, put } from "../widgets/dom.js";
import { fillWith, note } from "../widgets/parts.js";
import { clock, milliseconds } from "../widgets/units.js";
import { getJson } from "../api/client.js";
import { session } from "../api/session.js";
import { remember } from "../shell/router.js";

const AGAIN_MS = 1500;
const UID = /^[0-9a-f]{8}-[0-9a-f-]{27}$/;
const AT_FIRST = 300; // rows shown before one asks for all

export function openTrace(panel, subject) {
  const view = { revision: new URLSearchParams(location.search).get("revision") ?? "", isAll: false, isClosed: false };
  const place = h("div");
  put(panel, place);
  let timer = 0;

  async function read(isAgain) {
    const query = view.revision ? `?revision=${encodeURIComponent(view.revision)}` : "";
    const asked = getJson(`/podium/v1/trace/${subject.kind.key}/${subject.namespace || "-"}/${encodeURIComponent(subject.name)}${query}`);
    const found = isAgain ? await asked.then((trace) => { put(place, draw(trace, view, read)); return trace; }, () => null) : await fillWith(place, "the trace", asked, (trace) => draw(trace, view, read));
    if (found?.unfinished && !view.isClosed) timer = setTimeout(() => read(true), AGAIN_MS);
  }
  read(false);
  return () => { view.isClosed = true; clearTimeout(timer); remember({ revision: "" }); };
}

function draw(trace, view, again) {
  const spans = view.isAll ? trace.spans : trace.spans.slice(0, AT_FIRST);
  const total = Math.max(trace.durationMs, 0.001);
  const rows = spans.map((span) => row(span, total));
  return [
    h("div", { class: "toolbar" },
      changeChoice(trace, view, again),
      h("span", {}, `${trace.spans.length} spans in ${milliseconds(trace.durationMs)}, begun ${clock(trace.began)}${trace.by ? ` by ${trace.by}` : ""}${trace.manager ? ` with ${trace.manager}` : ""}`),
      h("span", { class: trace.isComplete ? "good" : "bad-words" }, trace.isComplete ? "complete" : `${trace.orphans} spans have lost their way`),
      trace.unfinished ? h("span", { class: "soft", role: "status" }, `${trace.unfinished} still under way`) : null,
      h("span", { class: "soft mono small" }, `trace ${trace.traceId}`), exporter()),
    readyPods(trace.pods ?? []),
    h("div", { class: "waterfall", role: "table", "aria-label": "Spans, each below what caused it", "aria-rowcount": trace.spans.length + 1 },
      h("div", { class: "wf-row wf-head", role: "row" }, h("span", { role: "columnheader" }, "What"), h("span", { role: "columnheader" }, scale(total)), h("span", { role: "columnheader" }, "Took")),
      rows),
    spans.length < trace.spans.length ? h("button", { class: "button", type: "button", on: { click: (event) => { view.isAll = true; event.target.disabled = true; again(true); } } }, `Show all ${trace.spans.length}`) : null,
    trace.droppedSpans ? note(`${trace.droppedSpans} spans were not kept for want of room; what they led to is still connected.`) : null,
  ];
}

/** Whether spans also go to a collector; filled in when it is known. */
function exporter() {
  const place = h("span", { class: "soft small exporter" });
  session().then(({ otlpEndpoint }) => put(place, otlpEndpoint ? ["also sent to ", h("code", {}, otlpEndpoint)] : ["not sent to a collector: ", h("code", {}, "podium up --otlp-endpoint URL"), " does"]));
  return place;
}

function changeChoice(trace, view, again) {
  const others = trace.otherChanges ?? [];
  if (!others.length) return null;
  const say = (change) => `${change.verb ?? "change"} ${change.subresource ? `${change.subresource} ` : ""}at revision ${change.revision}${change.manager ? ` (${change.manager})` : ""}`;
  const select = h("select", { "aria-label": "Which change" }, h("option", { value: String(trace.revision) }, `revision ${trace.revision}`), others.map((change) => h("option", { value: String(change.revision) }, say(change))));
  select.addEventListener("change", () => { view.revision = select.value; remember({ revision: view.revision }); again(false); });
  return h("label", {}, "Change", select);
}

function scale(total) {
  return [0, 0.25, 0.5, 0.75].map((part) => h("span", { class: "wf-tick", css: { left: `${part * 100}%` } }, milliseconds(total * part)));
}

function row(span, total) {
  const left = (span.startMs / total) * 100;
  const width = Math.max(0.15, (span.durationMs / total) * 100);
  const name = nameOf(span);
  const details = detailsOf(span);
  return h("div", { class: "wf-row", role: "row", "data-kind": span.kind },
    h("span", { class: "wf-name", role: "cell", css: { "--depth": String(Math.min(span.depth, 12)) }, title: details ? `${name}\n${details}` : name }, h("span", { class: `wf-kind k-${span.kind}` }, span.kind), name, details ? h("span", { class: "soft" }, ` ${details}`) : null),
    h("span", { class: "wf-field", role: "cell", "aria-label": `begins after ${milliseconds(span.startMs)}` }, h("i", { class: `k-${span.kind}`, css: { left: `${left}%`, width: `${Math.min(width, 100 - left)}%` }, "data-open": span.isFinished ? null : "yes" })),
    h("span", { class: "wf-took", role: "cell" }, span.kind === "process" ? "started" : milliseconds(span.durationMs)));
}

function nameOf(span) {
  if (span.kind === "change" && span.object) return `${span.verb} ${span.object.kind ?? span.object.resource} ${span.object.name}${span.subresource ? ` (${span.subresource})` : ""}`;
  if (span.kind === "process") return `process ${span.attributes?.pid ?? ""} of container ${span.attributes?.container ?? span.name}`;
  return [span.name, span.attributes?.container].filter(Boolean).join(" ");
}

function detailsOf(span) {
  const { waitedMs, queueMs, image, ip, outcome } = span.attributes ?? {};
  const waited = waitedMs ?? queueMs;
  return [span.component, span.by && span.kind === "change" ? `by ${span.by}` : "", span.kind === "reconcile" && !UID.test(span.key) && span.key, waited ? `waited ${milliseconds(waited)}` : "", image, ip, outcome && outcome !== "ok" ? outcome : ""].filter(Boolean).join(" · ");
}

function readyPods(pods) {
  const ready = pods.filter((pod) => pod.readyMs !== null && pod.readyMs !== undefined);
  if (!ready.length) return null;
  const slowest = ready.reduce((a, b) => (a.createdMs + a.readyMs > b.createdMs + b.readyMs ? a : b));
  return h("p", { class: "spaced-below" }, `${ready.length} of ${pods.length} Pods made in it are Ready; the last one, ${slowest.name}, ${milliseconds(slowest.createdMs + slowest.readyMs)} after it began.`);
}

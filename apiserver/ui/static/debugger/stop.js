// A loop that is stopped: what it was asked, what there is, what it wants, what it is about to write.

import { h } from "../widgets/dom.js";
import { badge, facts } from "../widgets/parts.js";
import { milliseconds } from "../widgets/units.js";
import { leftOf } from "../debugger/view.js";
import { yamlOf } from "../objects/yaml.js";

const INJECTIONS = [["Conflict", "the write fails with a 409"], ["Error", "the write fails with a 500"], ["StaleRead", "it begins anew on the version before"], ["Crash", "its process is killed"]];

/** act({ type, inject }) lets it go on; null: one may only look. */
export function stopCard(point, stop, act) {
  const { item = {}, object = {} } = stop;
  const button = (text, action, says, tone) => h("button", { class: "button", type: "button", title: says, "data-tone": tone, on: { click: () => act(action) } }, text);
  return h("section", { class: "card stop", "aria-label": `${point.spec.controller} is stopped` },
    h("div", { class: "stop-head" }, badge("stopped", "warn"), h("h2", {}, `${point.spec.controller} at ${stop.key}`), h("span", { class: "soft" }, `write ${stop.step ?? 1} · goes on by itself in ${leftOf(stop.until)}`)),
    act ? h("div", { class: "stop-actions" },
      button("Step", { type: "Step" }, "let this write through, stop before the next", "primary"), button("Continue", { type: "Continue" }, "let the reconcile run to its end"),
      h("span", { class: "soft" }, "or let it go wrong:"), INJECTIONS.map(([inject, says]) => button(inject, { type: "Inject", inject }, says, inject === "Crash" ? "danger" : null))) : null,
    facts([
      ["Object", [object.kind, object.name ?? stop.key].filter(Boolean).join(" ")], ["Waited in its queue", item.waitedMs !== undefined && milliseconds(item.waitedMs)], ["Failed before", item.failures || null],
      ["Others wait", item.waiting || null], ["Injected", stop.injected],
    ]),
    (stop.plannedWrites ?? []).map((write, index) => planned(write, index, point, stop)),
    h("div", { class: "seen" }, data("What it sees", stop.observed, point, stop), data("What it wants", stop.desired, point, stop)),
    stop.writes?.length ? h("details", { "data-id": `${point.metadata.name} ${stop.key} done` }, h("summary", {}, `${stop.writes.length} writes were let through`), h("ol", { class: "sentences" }, stop.writes.map((write) => h("li", {}, `${words(write)}: ${write.outcome ?? ""}`)))) : null);
}

const words = (write) => [write.verb, write.resource, write.subresource && `(${write.subresource})`, [write.namespace, write.name].filter(Boolean).join("/")].filter(Boolean).join(" ");
const shown = (value) => (value === undefined || value === null ? "nothing" : typeof value === "string" ? value : JSON.stringify(value));

function planned(write, index, point, stop) {
  return h("div", { class: "planned" },
    h("h3", {}, index ? "then " : "is about to ", h("span", { class: "mono" }, words(write))),
    write.refused ? h("p", { class: "bad-words" }, `the server would refuse it: ${write.refused}`) : null,
    write.changes?.length ? h("ul", { class: "changes" }, write.changes.map((change) => h("li", {}, h("span", { class: "mono" }, change.path), " ", h("span", { class: "d-less" }, shown(change.from)), " → ", h("span", { class: "d-more" }, shown(change.to))))) : null,
    write.changesNotShown ? h("p", { class: "soft" }, `and ${write.changesNotShown} more`) : null,
    write.body ? h("details", { "data-id": `${point.metadata.name} ${stop.key} ${index}` }, h("summary", {}, "The whole write"), h("pre", { class: "diff", tabindex: "0" }, yamlOf(plain(write.body)))) : null);
}

function data(name, value, point, stop) {
  if (value === undefined || value === null) return null;
  return h("div", {}, h("h3", {}, name), h("pre", { class: "diff", tabindex: "0", role: "region", "aria-label": `${name} (${point.metadata.name} ${stop.key})` }, yamlOf(plain(value))));
}

const plain = (value) => (typeof value === "object" && !Array.isArray(value) ? value : { value });

// The tab "Why here": what the scheduler weighed for this Pod, node by node, and what would make it fit
// elsewhere (/podium/v1/why).

import { h, put } from "../widgets/dom.js";
import { badge, card, facts, fillWith, note } from "../widgets/parts.js";
import { clock } from "../widgets/units.js";
import { getJson } from "../api/client.js";
import { objectUrl } from "../shell/router.js";

export function openWhy(panel, subject) {
  const place = h("div");
  put(panel, place);
  let asked = "";
  const ask = () => {
    const version = `${subject.object.spec.nodeName ?? ""} ${subject.object.metadata.annotations?.["scheduler.podium.dev/decision"] ?? ""}`;
    if (version === asked || subject.isGone) return;
    asked = version;
    fillWith(place, "the scheduler's reasons", getJson(`/podium/v1/why/pods/${subject.namespace}/${subject.name}`), draw);
  };
  ask();
  return subject.onChange(ask);
}

function draw({ decision, message, node, scheduler }) {
  if (!decision) return note(message || "No scheduler has decided about this Pod.");
  return h("div", { class: "grid" },
    card("Decision", facts([
      ["Result", badge(decision.result === "Bound" ? `on ${decision.node ?? node}` : decision.result, decision.result === "Bound" ? "good" : "warn")],
      ["Why", decision.message], ["At", clock(decision.at)], ["By", scheduler], ["Nodes", `${decision.nodes} looked at`],
      ["Makes room", decision.preempting && `${decision.preempting.count ?? ""} Pods go: ${(decision.preempting.pods ?? decision.preempting.victims ?? []).join(", ")}`],
    ])),
    remedies(decision.fits ?? []),
    scores(decision.scores ?? [], decision.node),
    rejections(decision.rejected ?? []));
}

const nodeLink = (name) => h("a", { href: objectUrl("nodes", "", name) }, name);

function remedies(fits) {
  if (!fits.length) return null;
  return card("Would fit", h("ul", { class: "sentences" }, fits.map((fit) => h("li", {}, nodeLink(fit.node), " with ", h("strong", {}, fit.with.join(" and "))))));
}

function scores(list, chosen) {
  if (!list.length) return null;
  const parts = [...new Set(list.flatMap((score) => Object.keys(score.parts ?? {})))].filter((part) => list.some((score) => score.parts?.[part]));
  const most = Math.max(1, ...list.map((score) => score.total));
  return card("Scores of the nodes that would do",
    h("div", { class: "scores" }, list.map((score) => h("div", { class: "score", "data-chosen": score.node === chosen || null },
      h("div", { class: "score-name" }, nodeLink(score.node), score.node === chosen ? badge("chosen", "good") : null, h("span", { class: "number" }, score.total.toFixed(1))),
      h("div", { class: "score-bar", "aria-hidden": "true" }, parts.map((part, index) => h("i", { class: `share-${index % 4}`, css: { width: `${((score.parts?.[part] ?? (index ? 0 : score.total)) / most) * 100}%` }, title: part }))),
      score.parts ? h("div", { class: "soft small" }, parts.map((part) => `${part} ${(score.parts[part] ?? 0).toFixed(0)}`).join(" · ")) : null))));
}

function rejections(list) {
  if (!list.length) return null;
  return card("Nodes that would not do", list.map((rejection) => h("div", { class: "rejection" },
    h("p", {}, h("strong", {}, `${rejection.count} node${rejection.count === 1 ? "" : "s"}: ${rejection.reason}`), h("span", { class: "soft" }, ` (${rejection.filter})`)),
    h("ul", { class: "sentences" }, rejection.nodes.map((node) => h("li", {}, nodeLink(node.name), ": ", (node.why ?? []).join("; "), node.fitsWith?.length ? h("span", { class: "good" }, ` → fits with ${node.fitsWith.join(" and ")}`) : null))))));
}

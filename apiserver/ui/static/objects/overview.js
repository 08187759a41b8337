// What an object is, at a glance: its own facts, its conditions, whom it belongs to, and what is special
// about its kind.

import { h, put, oncePerFrame } from "../widgets/dom.js";
import { badge, card, chips, facts } from "../widgets/parts.js";
import { age } from "../widgets/units.js";
import { kindOf } from "../api/discovery.js";
import { objectUrl } from "../shell/router.js";
import { special } from "../objects/special.js";

export function openOverview(panel, subject) {
  const owners = h("span");
  drawOwners(owners, subject.object.metadata);
  const draw = oncePerFrame(() => put(panel, h("div", { class: "grid" }, special(subject), about(subject.object, owners), conditions(subject.object.status))));
  const forget = subject.onChange(draw);
  draw();
  return forget;
}

function about({ metadata, kind, apiVersion }, owners) {
  const annotations = Object.entries(metadata.annotations ?? {});
  return card("About",
    facts([
      ["Kind", `${kind}, ${apiVersion}`], ["Namespace", metadata.namespace], ["Age", h("span", { title: metadata.creationTimestamp }, age(metadata.creationTimestamp))],
      ["Belongs to", (metadata.ownerReferences ?? []).length ? owners : null],
      ["Labels", metadata.labels ? chips(metadata.labels) : null],
      ["Finalizers", metadata.finalizers?.join(", ")],
      ["Uid", h("span", { class: "mono" }, metadata.uid)], ["Revision", h("span", { class: "mono" }, metadata.resourceVersion)],
    ]),
    annotations.length ? h("details", { class: "more" }, h("summary", {}, `${annotations.length} annotation${annotations.length > 1 ? "s" : ""}`), facts(annotations.map(([key, value]) => [h("span", { class: "mono" }, key), h("span", { class: "mono" }, value)]))) : null);
}

async function drawOwners(place, { ownerReferences, namespace }) {
  for (const owner of ownerReferences ?? []) {
    const kind = await kindOf(owner).catch(() => null);
    const text = `${owner.kind} ${owner.name}`;
    place.append(place.firstChild ? ", " : "", kind ? h("a", { href: objectUrl(kind.key, kind.isNamespaced ? namespace : "", owner.name) }, text) : text);
  }
}

function conditions(status) {
  const list = status?.conditions ?? [];
  if (!list.length) return null;
  return card("Conditions", h("div", { class: "scroll-x", tabindex: "0", role: "region", "aria-label": "Conditions" }, h("table", { class: "plain" },
    h("thead", {}, h("tr", {}, ["Condition", "Is", "Since", "Why"].map((title) => h("th", { scope: "col" }, title)))),
    h("tbody", {}, list.map((one) => h("tr", {},
      h("td", {}, one.type), h("td", {}, badge(one.status, toneOfCondition(one))), h("td", { class: "soft" }, age(one.lastTransitionTime)),
      h("td", {}, h("div", {}, one.reason), one.message ? h("div", { class: "soft" }, one.message) : null)))))));
}

const BAD_WHEN_TRUE = /Pressure$|^ReplicaFailure$|Unavailable$|^DisruptionTarget$/;

function toneOfCondition({ type, status }) {
  if (status === "Unknown") return "warn";
  return (status === "True") !== BAD_WHEN_TRUE.test(type) ? "good" : status === "False" && !BAD_WHEN_TRUE.test(type) ? "warn" : "bad";
}

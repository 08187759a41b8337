// What is chosen in the picture, in words, with the ways on from there.

import { h, put } from "../widgets/dom.js";
import { badge, facts } from "../widgets/parts.js";
import { age, bytes, cores } from "../widgets/units.js";
import { objectUrl } from "../shell/router.js";
import { kindWord } from "../cluster/describe.js";

export function drawCard(place, thing, letGo) {
  place.hidden = !thing;
  if (!thing) { put(place); return; }
  const { kind, record } = thing;
  const word = kind === "pods" ? record.reason || record.phase : kind === "nodes" ? (record.ready ? "Ready" : "NotReady") : `${record.ready}/${record.replicas}`;
  put(place,
    h("div", { class: "card-head" },
      h("strong", {}, record.name), kind === "pods" || kind === "nodes" ? badge(word) : badge(word, record.ready >= record.replicas ? "good" : "warn"),
      h("button", { class: "icon-button small", type: "button", "aria-label": "Let go", on: { click: letGo } }, "×")),
    facts([["Kind", kindWord(kind)], ["Namespace", record.ns], ...OF_KIND[kind](record), ["Age", age(record.born)]]),
    h("div", { class: "card-links" },
      h("a", { class: "button", "data-tone": "primary", href: objectUrl(kind, record.ns, record.name) }, "Open"),
      kind === "pods" && record.node && [
        h("a", { class: "button", href: objectUrl(kind, record.ns, record.name, "logs") }, "Logs"),
        h("a", { class: "button", href: objectUrl(kind, record.ns, record.name, "terminal") }, "Terminal"),
      ],
      kind === "deployments.apps" && h("a", { class: "button", href: objectUrl(kind, record.ns, record.name, "rollout") }, "Rollout")));
}

const OF_KIND = {
  pods: (pod) => [["Node", pod.node], ["Address", pod.ip], ["Containers", `${pod.containersReady} of ${pod.containers} ready`], ["Restarts", pod.restarts || null]],
  nodes: (node) => [["Address", node.ip], ["Room", `${cores(node.cpu / 1000)} CPU, ${bytes(node.memory)}, ${node.pods} Pods`], ["Runtime", node.runtime], ["Kernel", node.kernel], ["System", node.os]],
  "deployments.apps": (one) => [["Ready", `${one.ready} of ${one.replicas}`], ["Up to date", one.updated], ["Image", one.images.join(", ")]],
  "replicasets.apps": (one) => [["Ready", `${one.ready} of ${one.replicas}`], ["Revision", one.revision], ["Image", one.images.join(", ")]],
};

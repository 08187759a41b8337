// The view /ui/diff?from=&to=: what is different between two moments (/podium/v1/diff). A moment is a
// revision, a time, or "5m ago".

import { h, put } from "../widgets/dom.js";
import { badge, empty, fillWith } from "../widgets/parts.js";
import { clock } from "../widgets/units.js";
import { getJson } from "../api/client.js";
import { objectUrl, remember, title } from "../shell/router.js";
import { onScope, scope } from "../shell/scope.js";
import { diffOf } from "../insight/diff_text.js";

const TONES = { added: "good", changed: "idle", replaced: "warn", deleted: "bad" };

export function open(main, _where, query) {
  title("What changed");
  const place = h("div");
  const field = (name, label, value) => h("label", {}, label, h("input", { class: "text-field", name, value, autocomplete: "off", spellcheck: "false" }));
  const form = h("form", { class: "toolbar" }, field("from", "From", query.get("from") ?? "10m ago"), field("to", "to", query.get("to") ?? "now"), h("button", { class: "button", "data-tone": "primary" }, "Compare"), h("span", { class: "soft" }, "a revision, a time, or how long ago"));
  const ask = () => {
    const { from, to } = Object.fromEntries(new FormData(form));
    remember({ from, to: to === "now" ? "" : to });
    const asked = new URLSearchParams({ from, to: to || "now", ...(scope() && { namespace: scope() }) });
    fillWith(place, "what changed", getJson(`/podium/v1/diff?${asked}`), draw);
  };
  form.addEventListener("submit", (event) => { event.preventDefault(); ask(); });
  put(main, h("div", { class: "heading" }, h("h1", {}, "What changed")), form, place);
  ask();
  return { close: onScope(ask) };
}

function draw({ from, to, summary, items, more }) {
  const moment = (one) => `revision ${one.revision}${one.time ? ` (${clock(one.time)})` : ""}`;
  if (!items.length) return empty("Nothing is different", `between ${moment(from)} and ${moment(to)}.`);
  return [
    h("p", { class: "spaced-below" }, `Between ${moment(from)} and ${moment(to)}: `, Object.entries(summary).filter(([, count]) => count).map(([word, count]) => [badge(`${count} ${word}`, TONES[word]), " "])),
    h("ol", { class: "history" }, items.map((item) => h("li", {},
      h("div", { class: "history-head" }, badge(item.type, TONES[item.type]), h("a", { href: objectUrl(item.resource, item.namespace, item.name, "history") }, `${item.kind} ${[item.namespace, item.name].filter(Boolean).join("/")}`), item.changes > 1 ? h("span", { class: "soft" }, `${item.changes} writes`) : null),
      item.diff ? h("details", {}, h("summary", {}, "Difference"), diffOf(item.diff)) : null))),
    more ? h("p", { class: "soft" }, `and ${more} more: choose a namespace, or ask podium diff`) : null,
  ];
}

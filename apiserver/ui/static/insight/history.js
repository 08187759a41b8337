// The tab "History": every change of the object that is kept, who made it, and what became different
// (/podium/v1/history). Also told of an object that is gone.

import { h, put } from "../widgets/dom.js";
import { badge, fillWith, note } from "../widgets/parts.js";
import { clock } from "../widgets/units.js";
import { getJson } from "../api/client.js";
import { diffOf } from "../insight/diff_text.js";

const SHOWN = 100;

export function openHistory(panel, subject) {
  const place = h("div");
  put(panel, place);
  let timer = 0;
  const ask = () => fillWith(place, "the history", readHistory(subject.kind.key, subject.namespace, subject.name), (found) => drawHistory(found));
  ask();
  const forget = subject.onChange(() => { clearTimeout(timer); timer = setTimeout(ask, 1500); });
  return () => { clearTimeout(timer); forget(); };
}

export const readHistory = (key, namespace, name) => getJson(`/podium/v1/history/${key}/${namespace || "-"}/${encodeURIComponent(name)}?size=${SHOWN}&diffs=true`);

const WORDS = { ADDED: ["made", "good"], MODIFIED: ["changed", "idle"], DELETED: ["deleted", "bad"] };

export function drawHistory({ items, more, oldest }) {
  if (!items.length) return note("No change of it is kept.");
  return [
    h("ol", { class: "history", "aria-label": "Changes, newest first" }, items.map((item) => {
      const [word, tone] = WORDS[item.type] ?? [item.type, "idle"];
      return h("li", {},
        h("div", { class: "history-head" },
          h("time", { datetime: item.time }, clock(item.time)), badge(word, tone), h("span", { class: "soft mono" }, `revision ${item.revision}`),
          h("span", {}, [item.by, item.manager && item.manager !== item.by ? `with ${item.manager}` : "", item.subresource ? `at ${item.subresource}` : ""].filter(Boolean).join(" "))),
        item.changed?.length ? h("div", { class: "mono small" }, item.changed.slice(0, 12).join(", "), item.changed.length > 12 ? ` and ${item.changed.length - 12} more` : "") : null,
        item.diff ? h("details", {}, h("summary", {}, "What became different"), diffOf(item.diff)) : null);
    })),
    more ? h("p", { class: "soft" }, `${more} older changes are kept and not shown here: podium history tells them.`) : null,
    oldest?.revision ? h("p", { class: "soft" }, `Nothing older than revision ${oldest.revision} is kept.`) : null,
  ];
}

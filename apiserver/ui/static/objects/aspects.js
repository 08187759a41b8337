// Which tabs an object has, by its kind. Their code is fetched when they are first opened.

import { h, put } from "../widgets/dom.js";
import { loading, problem } from "../widgets/parts.js";
import { load } from "../shell/load.js";

const ASPECTS = [
  { id: "overview", title: "Overview", code: "objects/overview.js", run: "openOverview" },
  { id: "timeline", title: "Timeline", code: "objects/timeline.js", run: "openTimeline", not: ["events"] },
  { id: "yaml", title: "YAML", code: "objects/yaml_view.js", run: "openYaml" },
];

/** [{ id, title, open }] for tabs(). */
export async function aspectsOf(subject) {
  const { key } = subject.kind;
  return ASPECTS.filter((aspect) => (!aspect.only || aspect.only.includes(key)) && !aspect.not?.includes(key))
    .map((aspect) => ({ id: aspect.id, title: aspect.title, open: (panel) => lazily(panel, aspect, subject) }));
}

function lazily(panel, { code, run, title }, subject) {
  let close = null;
  let isLeft = false;
  const place = h("div");
  panel.append(place);
  const slow = setTimeout(() => put(place, loading(title)), 150);
  load(code).then((module) => { clearTimeout(slow); if (!isLeft) { put(place); close = module[run](place, subject) ?? null; } })
    .catch((error) => { clearTimeout(slow); if (!isLeft) put(place, problem(`${title} could not be shown`, error.message)); });
  return () => { isLeft = true; close?.(); };
}

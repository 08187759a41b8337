// The tab "Start-up": a Pod's phases with their milliseconds, against Kubernetes' objective of 5 s
// (/podium/v1/budget).

import { h, put } from "../widgets/dom.js";
import { badge, fillWith } from "../widgets/parts.js";
import { milliseconds } from "../widgets/units.js";
import { getJson } from "../api/client.js";

const AGAIN_MS = 1500;

export function openStartup(panel, subject) {
  const place = h("div");
  put(panel, place);
  let timer = 0;
  let isClosed = false;
  const path = `/podium/v1/budget/pods/${subject.namespace}/${encodeURIComponent(subject.name)}`;
  const again = (budget) => { if (budget && budget.readyMs === null && !isClosed && !subject.isGone) timer = setTimeout(read, AGAIN_MS); };
  const read = () => getJson(path).then((budget) => { put(place, draw(budget)); again(budget); }, () => {});
  fillWith(place, "the start-up", getJson(path), draw).then(again);
  return () => { isClosed = true; clearTimeout(timer); };
}

function draw(budget) {
  const { phases, readyMs, countedMs, leftOutMs, objectiveMs, isWithinObjective, restMs } = budget;
  const end = Math.max(readyMs ?? 0, ...phases.map((phase) => phase.startMs + phase.durationMs), 1);
  const word = readyMs === null ? badge("not Ready yet", "warn") : badge(isWithinObjective ? "within the objective" : "over the objective", isWithinObjective ? "good" : "bad");
  return [
    h("p", { class: "budget-head" }, h("strong", {}, readyMs === null ? "Starting …" : `Ready in ${milliseconds(readyMs)}`), word),
    readyMs === null ? null : h("div", { class: "meter wide" }, h("span", {}, "Of 5 s"), h("progress", { max: objectiveMs, value: Math.min(countedMs, objectiveMs), "aria-label": "Share of the objective that was used" }), h("span", {}, `${milliseconds(countedMs)} of ${milliseconds(objectiveMs)}`)),
    leftOutMs ? h("p", { class: "soft spaced-below" }, `${milliseconds(leftOutMs)} of pulling images do not count, as in Kubernetes' own objective.`) : null,
    h("div", { class: "waterfall short-names", role: "table", "aria-label": "Phases of the start" },
      phases.map((phase) => {
        const name = [phase.name, phase.container, phase.attempt ? `try ${phase.attempt + 1}` : ""].filter(Boolean).join(" ");
        return h("div", { class: "wf-row", role: "row" },
          h("span", { class: "wf-name", role: "cell", css: { "--depth": phase.isPartOf ? "1" : "0" } }, name, h("span", { class: "soft" }, ` ${[phase.image, phase.ip, phase.outcome !== "ok" && phase.outcome].filter(Boolean).join(" · ")}`)),
          h("span", { class: "wf-field", role: "cell", "aria-label": `begins after ${milliseconds(phase.startMs)}` }, h("i", { class: phase.isPartOf ? "k-part" : "k-phase", css: { left: `${Math.max(0, (phase.startMs / end) * 100)}%`, width: `${Math.max(0.3, (phase.durationMs / end) * 100)}%` } })),
          h("span", { class: "wf-took", role: "cell" }, milliseconds(phase.durationMs)));
      })),
    restMs ? h("p", { class: "soft spaced-above" }, `${milliseconds(restMs)} are in no phase: messages on their way and turns of loops.`) : null,
  ];
}

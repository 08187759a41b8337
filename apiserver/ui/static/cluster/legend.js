// What the windows mean, drawn by the same hand as the picture.

import { h, put } from "../widgets/dom.js";
import { STATES } from "../world/states.js";
import { colours } from "../shell/theme.js";
import { paintWindow } from "../cluster/windows.js";

const SIZE = 18;
const NAMES = ["lit", "lit-edge", "unlit", "unlit-edge", "failing", "failing-ink", "done", "done-edge", "arrow"];

export function legend() {
  const list = h("ul", { class: "legend", "aria-label": "What the windows mean" });
  const draw = () => {
    const now = colours(NAMES);
    put(list, Object.entries(STATES).map(([state, says]) => h("li", {}, sample(state, now), says)));
  };
  const stop = new AbortController();
  document.addEventListener("podium:theme", draw, { signal: stop.signal });
  queueMicrotask(draw);
  return { element: list, close: () => stop.abort() };
}

function sample(state, now) {
  const density = Math.min(devicePixelRatio || 1, 2);
  const canvas = h("canvas", { width: SIZE * density, height: SIZE * density, "aria-hidden": "true" });
  const context = canvas.getContext("2d");
  context.scale(density, density);
  context.translate(1, 1);
  paintWindow(context, state, SIZE - 2, now);
  return canvas;
}

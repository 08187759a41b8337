// A graph of the last minutes: up to two lines, a dashed one for the limit, what it is now in words.

import { h, put, svg } from "../widgets/dom.js";

const WIDTH = 400;
const HEIGHT = 130;
const TOP = 12;
const KEPT_MS = 5 * 60_000;

export class Chart {
  /** lines: ["received", "sent"]; format(value) → text. */
  constructor({ title, lines, format }) {
    Object.assign(this, { title, lines, format, samples: [], limit: null, limitSays: "" });
    this.now = h("span", { class: "chart-now" }, h("span", { class: "soft" }, "measuring …"));
    this.figure = svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img", "aria-label": title });
    this.top = h("span", { class: "chart-top" });
    this.note = h("p", { class: "chart-note soft" });
    this.element = h("section", { class: "card chart" },
      h("div", { class: "chart-head" }, h("h2", {}, title), this.now),
      h("div", { class: "chart-field" }, this.figure, this.top), this.note);
  }

  /** values: one a line, null where it is not known. */
  add(at, values, limit = null, limitSays = "") {
    this.samples.push({ at, values });
    while (this.samples.length && this.samples[0].at < at - KEPT_MS) this.samples.shift();
    Object.assign(this, { limit, limitSays });
    this.#draw();
  }

  #draw() {
    const last = this.samples.at(-1);
    const span = Math.max(60_000, last.at - this.samples[0].at);
    const most = Math.max(...this.samples.flatMap((sample) => sample.values.filter((value) => value !== null)), 0);
    const isNear = this.limit && this.limit < most * 8;
    const top = Math.max(most * 1.15, isNear ? this.limit * 1.1 : 0) || 1;
    const x = (at) => WIDTH - ((last.at - at) / span) * WIDTH;
    const y = (value) => TOP + (1 - value / top) * (HEIGHT - TOP - 2);
    put(this.figure,
      svg("line", { class: "chart-ground", x1: 0, x2: WIDTH, y1: HEIGHT - 1, y2: HEIGHT - 1 }),
      isNear ? svg("line", { class: "chart-limit", x1: 0, x2: WIDTH, y1: y(this.limit), y2: y(this.limit) }) : null,
      this.lines.map((_, index) => this.#line(index, x, y)));
    const words = this.lines.map((name, index) => [this.lines.length > 1 ? h("i", { class: `line-${index + 1}`, "aria-hidden": "true" }) : null, this.lines.length > 1 ? `${name} ` : "", last.values[index] === null ? "…" : this.format(last.values[index]), " "]);
    put(this.now, words);
    this.top.textContent = this.format(top);
    this.note.textContent = this.limit ? this.limitSays : "no limit";
    this.figure.setAttribute("aria-label", `${this.title}: ${this.now.textContent}, ${this.note.textContent}`);
  }

  #line(index, x, y) {
    const points = this.samples.filter((sample) => sample.values[index] !== null).map((sample) => `${x(sample.at).toFixed(1)},${y(sample.values[index]).toFixed(1)}`);
    if (points.length < 2) return null;
    const area = `${points[0].split(",")[0]},${HEIGHT} ${points.join(" ")} ${WIDTH},${HEIGHT}`;
    return [index === 0 ? svg("polygon", { class: "chart-area", points: area }) : null, svg("polyline", { class: `chart-line line-${index + 1}`, points: points.join(" ") })];
  }
}

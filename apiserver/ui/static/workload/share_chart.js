// How many of each revision were ready, one upon the other, over the last minutes.

import { h, put, svg } from "../widgets/dom.js";

const [WIDTH, HEIGHT] = [400, 140];
const KEPT_MS = 3 * 60_000;
const SHORTEST_MS = 20_000;
const COLOURS = 4;

export class ShareChart {
  constructor() {
    this.samples = []; // { at, values: Map(id → number) }
    this.names = new Map(); // id → name, oldest first
    this.figure = svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img", "aria-label": "Ready Pods of each revision" });
    this.key = h("ul", { class: "share-key" });
    this.element = h("div", { class: "share" }, this.figure, this.key);
  }

  /** revisions: [{ id, name, value }] */
  add(at, revisions) {
    for (const { id, name } of revisions) this.names.set(id, name);
    this.samples.push({ at, values: new Map(revisions.map(({ id, value }) => [id, value])) });
    while (this.samples[0].at < at - KEPT_MS) this.samples.shift();
    this.#draw(at);
  }

  #draw(now) {
    const ids = [...this.names.keys()].filter((id) => this.samples.some((sample) => sample.values.get(id)));
    const span = Math.max(SHORTEST_MS, now - this.samples[0].at);
    const total = (sample) => ids.reduce((sum, id) => sum + (sample.values.get(id) ?? 0), 0);
    const top = Math.max(1, ...this.samples.map(total)) * 1.08;
    const x = (at) => WIDTH - ((now - at) / span) * WIDTH;
    const y = (value) => HEIGHT - (value / top) * (HEIGHT - 4);
    const bases = this.samples.map(() => 0);
    put(this.figure, ids.map((id, index) => {
      const upper = [];
      const lower = [];
      this.samples.forEach((sample, at) => {
        const until = this.samples[at + 1]?.at ?? now;
        const base = bases[at];
        bases[at] += sample.values.get(id) ?? 0;
        upper.push(`${x(sample.at).toFixed(1)},${y(bases[at]).toFixed(1)} ${x(until).toFixed(1)},${y(bases[at]).toFixed(1)}`);
        lower.unshift(`${x(until).toFixed(1)},${y(base).toFixed(1)} ${x(sample.at).toFixed(1)},${y(base).toFixed(1)}`);
      });
      return svg("polygon", { class: `share-${index % COLOURS}`, points: [...upper, ...lower].join(" ") });
    }));
    const last = this.samples.at(-1);
    put(this.key, ids.map((id, index) => h("li", {}, h("i", { class: `share-${index % COLOURS}`, "aria-hidden": "true" }), `${this.names.get(id)}: ${last.values.get(id) ?? 0}`)));
  }
}

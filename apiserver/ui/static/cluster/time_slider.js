// Moves the picture back and forth in time: a slider over what is kept, with a mark for each change
// (/podium/v1/timeline, /podium/v1/cluster?at=). At its right end the picture is live.

import { h, put, svg } from "../widgets/dom.js";
import { toast } from "../widgets/parts.js";
import { clock } from "../widgets/units.js";
import { getJson } from "../api/client.js";
import { remember } from "../shell/router.js";
import { world } from "../world/world.js";
import { asWorld, changedBetween } from "../cluster/past.js";

const STEPS = 400;
const WAIT_MS = 60;
const KEPT = 200; // pictures
const REFRESH_MS = 5000;
const WIDTH = 1000;

export class TimeSlider {
  /** show(what, changed) draws a past picture; live() goes back to now. */
  constructor({ show, live }) {
    Object.assign(this, { show, live, pictures: new Map(), marks: [], isLive: true, first: 0, last: 0, trouble: "" });
    this.range = h("input", { type: "range", min: "0", max: String(STEPS), value: String(STEPS), "aria-label": "Point in time" });
    this.figure = svg("svg", { viewBox: `0 0 ${WIDTH} 26`, preserveAspectRatio: "none", "aria-hidden": "true" });
    this.says = h("span", { class: "when", role: "status" });
    this.back = h("button", { class: "button", type: "button", "aria-label": "One change back" }, "‹");
    this.on = h("button", { class: "button", type: "button", "aria-label": "One change on" }, "›");
    this.now = h("button", { class: "button", type: "button" }, "Now");
    this.since = h("a", { class: "button", hidden: true }, "Changes since then");
    this.element = h("div", { class: "slider", hidden: true },
      this.back, h("div", { class: "slider-field" }, this.figure, this.range), this.on,
      h("div", { class: "slider-words" }, this.says, this.since, this.now));
    this.range.addEventListener("input", () => this.#moved());
    this.back.addEventListener("click", () => this.#step(-1));
    this.on.addEventListener("click", () => this.#step(1));
    this.now.addEventListener("click", () => this.goLive());
  }

  async start(at) {
    this.endings = [world.watch(() => { this.isStale = true; })];
    this.timer = setInterval(() => { if (this.isStale && this.isLive && !document.hidden) this.#read(); }, REFRESH_MS);
    await this.#read();
    if (at && this.last) this.#go(/^\d+$/.test(at) ? Number(at) : at);
  }

  close() {
    for (const end of this.endings ?? []) end();
    clearInterval(this.timer);
    clearTimeout(this.waiting);
    this.isClosed = true;
  }

  /** Back to now; `trouble` says why, where nobody asked for it. */
  goLive(trouble = "") {
    this.trouble = trouble;
    if (trouble) toast(trouble, "bad"); // the slider itself may be far below
    this.isLive = true;
    this.revision = null;
    this.range.value = STEPS;
    this.shown = null;
    remember({ at: "" });
    this.#word();
    this.live();
    this.#read();
  }

  async #read() {
    this.isStale = false;
    try {
      const found = await getJson(`/podium/v1/timeline?size=${STEPS}`);
      if (this.isClosed || !this.isLive) return;
      this.marks = found.items;
      this.first = found.items[0]?.revision ?? found.to.revision;
      this.last = found.to.revision;
      this.element.hidden = found.items.length < 2 && !this.trouble;
      this.#draw();
      this.#word();
    } catch { this.element.hidden = true; /* no past is kept here */ }
  }

  /** Marks stand at equal steps, one a change: what happened fills the slider, silence takes no room. */
  #draw() {
    const step = WIDTH / Math.max(1, this.marks.length);
    put(this.figure, this.marks.map((mark, index) => svg("rect", { class: `mark-${mark.type.toLowerCase()}`, x: index * step, width: Math.max(1, step - 1), y: 26 - HEIGHTS[mark.type], height: HEIGHTS[mark.type] })));
  }

  #moved() {
    const at = Number(this.range.value);
    if (at >= STEPS) { this.goLive(); return; }
    const mark = this.marks[Math.min(this.marks.length - 1, Math.floor((at / STEPS) * this.marks.length))];
    if (mark) this.#show(mark.revision);
  }

  #step(by) {
    const at = this.isLive ? this.marks.length : this.marks.findIndex((mark) => mark.revision >= this.revision);
    const next = (at < 0 ? this.marks.length : at) + by;
    if (next >= this.marks.length) { this.goLive(); return; }
    if (this.marks[next]) this.#go(this.marks[next].revision);
  }

  #go(revision) {
    const at = this.marks.findIndex((mark) => mark.revision >= revision);
    this.range.value = String(Math.max(0, Math.round(((at < 0 ? this.marks.length - 1 : at) / Math.max(1, this.marks.length)) * STEPS)));
    this.#show(revision);
  }

  #show(revision) {
    this.isLive = false;
    this.trouble = "";
    this.revision = revision;
    this.#word();
    clearTimeout(this.waiting);
    this.waiting = setTimeout(() => this.#fetch(revision), WAIT_MS);
  }

  async #fetch(revision) {
    try {
      const picture = this.pictures.get(revision) ?? await getJson(`/podium/v1/cluster?at=${encodeURIComponent(revision)}`);
      this.pictures.set(picture.at.revision, picture);
      if (this.pictures.size > KEPT) this.pictures.delete(this.pictures.keys().next().value);
      if (this.isClosed || this.isLive || this.revision !== revision) return;
      if (picture.at.revision !== revision) { this.#go(picture.at.revision); return; } // it was a time
      const changed = this.shown ? changedBetween(this.shown, picture) : new Set();
      this.shown = picture;
      remember({ at: String(revision) });
      this.#word(changed.size);
      this.show(asWorld(picture), changed);
    } catch (error) {
      if (this.isClosed) return;
      this.goLive(`The past of ${revision} cannot be shown: ${WHY[error.code] ?? ""}${error.message}`);
    }
  }

  #word(changed) {
    this.now.hidden = this.since.hidden = this.isLive;
    this.since.href = `/ui/diff?from=${this.revision}`;
    this.element.dataset.live = this.isLive;
    this.says.classList.toggle("bad-words", Boolean(this.trouble));
    const mark = this.marks.find((one) => one.revision >= this.revision);
    this.says.textContent = this.isLive ? ["live", this.trouble].filter(Boolean).join(". ") : `${mark ? clock(mark.time) : ""} · revision ${this.revision}${changed ? ` · ${changed} changed` : ""}`;
    this.range.setAttribute("aria-valuetext", this.isLive ? "now" : `${this.says.textContent}, ${mark ? `${mark.kind} ${mark.name} ${mark.type.toLowerCase()}` : ""}`);
  }
}

const WHY = { 410: "it is no longer kept. ", 504: "it has not come yet. " };
const HEIGHTS = { ADDED: 20, MODIFIED: 11, DELETED: 26 };

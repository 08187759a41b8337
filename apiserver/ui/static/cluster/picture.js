// The moving picture as a part that views can hold: it takes arrays of records, draws them on a canvas,
// and tells what is pointed at, chosen and opened. It draws only while something moves.

import { h, announce, oncePerFrame } from "../widgets/dom.js";
import { layout } from "../cluster/layout.js";
import { Painter } from "../cluster/paint.js";
import { Scene } from "../cluster/scene.js";
import { Slots } from "../cluster/slots.js";
import { neighbour } from "../cluster/neighbour.js";
import { describe } from "../cluster/describe.js";

const FRAMES_KEPT = 240;
const QUICK_MS = 6; // a frame that takes longer is followed by a rest: at most a third of the time is drawing
const calm = matchMedia("(prefers-reduced-motion: reduce)");

export class Picture {
  /** tell: { choose(thing or null), open(thing) }; a thing is { kind, record }. */
  constructor(tell, label = "The cluster: nodes as houses, Pods as their windows") {
    this.tell = tell;
    this.canvas = h("canvas", {
      class: "picture", tabindex: "0", role: "application", "aria-roledescription": "picture", "aria-label": label, "aria-describedby": "picture-keys",
    });
    this.tip = h("div", { class: "tip", hidden: true });
    this.more = h("p", { class: "more-note soft", hidden: true });
    this.element = h("div", { class: "picture-frame" },
      this.more, this.canvas, this.tip,
      h("p", { id: "picture-keys", class: "unseen" }, "Arrow keys go from one thing to the next, Enter opens it, Escape lets go."));
    this.slots = new Slots();
    this.scene = new Scene();
    this.painter = null; // once it is on the page: it needs the page's colours
    this.what = { nodes: [], deployments: [], replicasets: [], pods: [] };
    this.usage = new Map();
    this.changed = new Set(); // uids to point out
    this.chosen = null;
    this.hovered = null;
    this.frames = [];
    this.last = 0;
    this.isRunning = false;
    this.arrange = oncePerFrame(() => this.#arrange());
    this.#listen();
  }

  /** Show these; newcomers are born, who is missing ends. */
  show(what, changed = new Set()) {
    this.what = what;
    this.changed = changed;
    this.arrange();
  }

  measured(usage) {
    this.usage = usage;
    this.arrange();
  }

  choose(uid) {
    this.chosen = uid;
    const thing = this.#thing(uid);
    this.tell.choose(thing);
    if (thing) announce(describe(thing));
    this.arrange();
  }

  close() {
    this.isRunning = false;
    this.isClosed = true;
    this.resizes.disconnect();
    this.stop.abort();
  }

  // ---- drawing ----------------------------------------------------------------------------------

  #arrange() {
    const width = this.element.clientWidth;
    if (!width || this.isClosed) return;
    this.painter ??= new Painter(this.canvas);
    const windows = this.slots.assign(this.what.pods.filter((pod) => pod.node));
    this.plan = layout(this.what, windows, width);
    const owners = new Map(this.plan.sets.map((set) => [set.record.uid, set]));
    const origin = (pod) => {
      const set = owners.get(pod.owner);
      return set && { x: set.x + set.w / 2, y: set.y + set.h };
    };
    this.scene.update(this.what.pods, this.plan.pods, origin, calm.matches);
    this.old = oldSets(this.what);
    this.canvas.style.height = `${this.plan.height}px`;
    this.more.hidden = !this.plan.hidden;
    this.more.textContent = `${this.plan.hidden} more Deployments and ReplicaSets are not drawn: choose a namespace, or look at the lists.`;
    this.painter.prepare(this.plan, this.usage, this.chosen);
    this.#run();
  }

  #run() {
    if (this.isRunning) return;
    this.isRunning = true;
    this.last = performance.now();
    const frame = () => {
      if (!this.isRunning || this.isClosed) return;
      const began = performance.now();
      const isMoving = this.scene.step(Math.min(64, began - this.last));
      this.last = began;
      this.painter.frame(this.plan, this.scene, this);
      const took = performance.now() - began;
      this.#note(took);
      if (!isMoving) this.isRunning = false;
      else if (took < QUICK_MS) requestAnimationFrame(frame);
      else setTimeout(() => requestAnimationFrame(frame), took * 2);
    };
    frame();
  }

  /** What a frame took: shown to whoever measures (data-frame-ms: median and worst of the last ones). */
  #note(ms) {
    this.frames.push(ms);
    if (this.frames.length > FRAMES_KEPT) this.frames.shift();
    const sorted = [...this.frames].sort((a, b) => a - b);
    this.canvas.dataset.frameMs = `${sorted[sorted.length >> 1].toFixed(2)} ${sorted.at(-1).toFixed(2)}`;
    this.canvas.dataset.pods = this.scene.sprites.size;
    this.canvas.dataset.ready = [...this.scene.sprites.values()].filter((sprite) => sprite.state === "ready").length;
  }

  // ---- pointing and choosing --------------------------------------------------------------------

  #listen() {
    this.stop = new AbortController();
    const on = (target, event, run) => target.addEventListener(event, run, { signal: this.stop.signal });
    on(this.canvas, "pointermove", (event) => this.#hover(event));
    on(this.canvas, "pointerleave", () => this.#hover(null));
    on(this.canvas, "click", (event) => this.choose(this.#at(event)?.record.uid ?? null));
    on(this.canvas, "dblclick", (event) => { const thing = this.#at(event); if (thing) this.tell.open(thing); });
    on(this.canvas, "keydown", (event) => this.#key(event));
    on(document, "podium:theme", () => { this.painter?.newColours(); this.arrange(); });
    this.resizes = new ResizeObserver(this.arrange);
    this.resizes.observe(this.element);
  }

  #key(event) {
    if (event.key === "Enter" && this.chosen) { this.tell.open(this.#thing(this.chosen)); return; }
    if (event.key === "Escape" && this.chosen) { event.stopPropagation(); this.choose(null); return; }
    if (!event.key.startsWith("Arrow") || !this.plan) return;
    event.preventDefault();
    const next = neighbour(this.#spots(), this.chosen, event.key);
    if (next) this.choose(next);
  }

  #hover(event) {
    const thing = event && this.#at(event);
    const uid = thing?.record.uid ?? null;
    this.canvas.classList.toggle("over", Boolean(thing));
    if (thing && event.pointerType !== "touch") {
      this.tip.textContent = describe(thing);
      this.tip.hidden = false;
      const { x, y } = this.#point(event);
      this.tip.style.left = `${Math.max(0, Math.min(x + 14, this.element.clientWidth - this.tip.offsetWidth - 4))}px`;
      this.tip.style.top = `${y + 18}px`;
    } else this.tip.hidden = true;
    if (uid === this.hovered) return;
    this.hovered = uid;
    if (this.plan) this.#run();
  }

  #point(event) {
    const bounds = this.canvas.getBoundingClientRect();
    return { x: event.clientX - bounds.left, y: event.clientY - bounds.top };
  }

  #at(event) {
    if (!this.plan) return null;
    const { x, y } = this.#point(event);
    const spot = this.#spots().find((one) => x >= one.x && x <= one.x + one.w && y >= one.y && y <= one.y + one.h);
    return spot ? this.#thing(spot.uid) : null;
  }

  /** Everything that can be pointed at, the uppermost first. */
  #spots() {
    const { plaques, sets, houses } = this.plan;
    const spot = ({ record, x, y, w, h: height }) => ({ uid: record.uid, x, y, w, h: height });
    const windows = [...this.scene.sprites.values()].filter((sprite) => !sprite.isGone)
      .map((sprite) => ({ uid: sprite.uid, x: sprite.to.x - sprite.size / 2 - 1, y: sprite.to.y - sprite.size / 2 - 1, w: sprite.size + 2, h: sprite.size + 2 }));
    const roofs = houses.filter((house) => house.node).map((house) => ({ uid: house.node.uid, x: house.x, y: house.y, w: house.w, h: 50 }));
    return [...plaques.map(spot), ...sets.filter((set) => !set.isHidden).map(spot), ...windows, ...roofs];
  }

  #thing(uid) {
    if (!uid) return null;
    for (const [kind, list] of [["pods", this.what.pods], ["replicasets.apps", this.what.replicasets], ["deployments.apps", this.what.deployments], ["nodes", this.what.nodes]]) {
      const record = list.find((one) => one.uid === uid);
      if (record) return { kind, record };
    }
    return null;
  }
}

/** The uids of ReplicaSets that are being replaced by a newer one of the same Deployment. */
function oldSets({ replicasets }) {
  const newest = new Map();
  for (const set of replicasets) {
    const revision = Number(set.revision || 0);
    if (set.owner && revision > (newest.get(set.owner) ?? -1)) newest.set(set.owner, revision);
  }
  return new Set(replicasets.filter((set) => set.owner && Number(set.revision || 0) < newest.get(set.owner)).map((set) => set.uid));
}

// Draws the picture: what stands still (plaques, houses) once into a layer of its own, then, each frame,
// arrows and windows over it.

import { bytes, cores, percent } from "../widgets/units.js";
import { colours } from "../shell/theme.js";
import { SIZES } from "../cluster/layout.js";
import { Scene } from "../cluster/scene.js";
import { WindowPainter } from "../cluster/windows.js";

const { HOUSE } = SIZES;
const NAMES = ["ink", "soft", "line", "card", "accent", "good", "bad", "warn", "idle-ground", "street", "wall", "wall-edge", "roof", "roof-dark", "roof-off",
  "on-roof", "lit", "lit-edge", "unlit", "unlit-edge", "failing", "failing-ink", "done", "done-edge", "arrow"];
const SANS = 'system-ui, "Segoe UI", "DejaVu Sans", sans-serif';
const GAUGE_FONT = `11.5px ${SANS}`;
const EACH_ARROW = 120; // more Pods than that, and the arrows to a house become one

export class Painter {
  constructor(canvas) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d");
    this.still = document.createElement("canvas"); // below the arrows
    this.above = document.createElement("canvas"); // roofs: the arrows go in under them
    this.newColours();
  }

  newColours() {
    this.colours = colours(NAMES);
    this.density = Math.min(devicePixelRatio || 1, 2);
    this.windows = new WindowPainter(this.colours, this.density);
  }

  /** Draw what stands still anew; `usage`: node → { cpu, memory } as measured, or undefined. */
  prepare(plan, usage, chosen) {
    for (const canvas of [this.canvas, this.still, this.above]) {
      const [w, h] = [Math.round(plan.width * this.density), Math.round(plan.height * this.density)];
      if (canvas.width !== w || canvas.height !== h) { canvas.width = w; canvas.height = h; }
    }
    const [below, above] = [this.still, this.above].map((canvas) => this.#cleared(canvas.getContext("2d"), plan));
    this.#yard(below, plan);
    for (const house of plan.houses) {
      this.#house(below, house, usage.get(house.name), chosen);
      this.#roof(above, house);
    }
  }

  frame(plan, scene, { chosen, hovered, old, changed }) {
    const context = this.#cleared(this.context, plan);
    context.drawImage(this.still, 0, 0, plan.width, plan.height);
    this.#ownership(context, plan);
    this.#arrows(context, plan, scene, chosen ?? hovered);
    context.drawImage(this.above, 0, 0, plan.width, plan.height);
    for (const plaque of plan.plaques) this.#plaque(context, plaque, chosen, hovered);
    for (const set of plan.sets) if (!set.isHidden) this.#set(context, set, chosen, hovered);
    for (const sprite of scene.sprites.values()) this.windows.draw(context, sprite, old.has(sprite.pod?.owner));
    context.globalAlpha = 1;
    this.#rings(context, scene);
    for (const uid of changed) this.#marked(context, scene.sprites.get(uid), this.colours.accent);
    for (const one of [...plan.plaques, ...plan.sets]) if (changed.has(one.record.uid)) this.#framed(context, one);
    this.#marked(context, scene.sprites.get(hovered), this.colours.ink);
    this.#marked(context, scene.sprites.get(chosen), this.colours.accent);
  }

  #cleared(context, plan) {
    context.setTransform(this.density, 0, 0, this.density, 0, 0);
    context.clearRect(0, 0, plan.width, plan.height);
    return context;
  }

  // ---- the street -------------------------------------------------------------------------------

  #house(context, house, usage, chosen) {
    const c = this.colours;
    const { x, y, w, h, node } = house;
    const top = y + HOUSE.roof;
    context.fillStyle = c.street;
    context.fillRect(x - 8, y + h, w + 16, 4);
    context.fillStyle = c.wall;
    context.strokeStyle = chosen === node?.uid ? c.accent : c["wall-edge"];
    context.lineWidth = chosen === node?.uid ? 2.5 : 1.2;
    context.beginPath();
    context.rect(x, top - 2, w, h - HOUSE.roof + 2);
    context.fill();
    context.stroke();
    this.#emptyWindows(context, house);
    this.#foot(context, house, usage, y + h - HOUSE.foot);
  }

  #roof(context, { x, y, w, name, node }) {
    const c = this.colours;
    const isOff = !node?.ready;
    const slope = Math.min(34, w * 0.1);
    context.fillStyle = isOff ? c["roof-off"] : c["roof-dark"];
    context.fillRect(x + w - slope - 40, y - 9, 18, 30);
    context.fillStyle = isOff ? c["roof-off"] : c.roof;
    context.beginPath();
    context.moveTo(x - 8, y + HOUSE.roof);
    context.lineTo(x + slope - 8, y + 6);
    context.lineTo(x + w - slope + 8, y + 6);
    context.lineTo(x + w + 8, y + HOUSE.roof);
    context.closePath();
    context.fill();
    context.fillStyle = c["on-roof"];
    text(context, name, x + slope + 12, y + 26, w - slope * 2 - 40, `600 14px ${SANS}`);
    const word = !node ? "gone" : !node.ready ? "NotReady" : node.unschedulable ? "SchedulingDisabled" : node.pressure.length ? node.pressure.join(", ") : "Ready";
    context.globalAlpha = 0.92;
    text(context, [word, node?.ip].filter(Boolean).join(" · "), x + slope + 12, y + 42, w - slope * 2 - 24, `12px ${SANS}`);
    context.globalAlpha = 1;
  }

  /** The places where a Pod could be: a house that is empty still looks like one. */
  #emptyWindows(context, house) {
    const inset = Math.max(3, house.cell * 0.22) / 2;
    const left = house.x + (house.w - house.columns * house.cell) / 2;
    const top = house.y + HOUSE.roof + HOUSE.edge;
    context.strokeStyle = this.colours["wall-edge"];
    context.globalAlpha = 0.28;
    context.lineWidth = 1;
    context.beginPath();
    for (let row = 0; row < house.rows; row++) {
      for (let column = 0; column < house.columns; column++) {
        const size = house.cell - inset * 2;
        context.roundRect(left + column * house.cell + inset, top + row * house.cell + inset, size, size, Math.min(4, size / 5));
      }
    }
    context.stroke();
    context.globalAlpha = 1;
  }

  #foot(context, { x, w, node, windows }, usage, y) {
    const c = this.colours;
    context.fillStyle = c["idle-ground"];
    context.fillRect(x + 1, y, w - 2, HOUSE.foot - 1);
    if (!node) return;
    const count = windows.filter(Boolean).length;
    const half = (w - 34 - 74) / 2;
    const gauges = usage && [
      ["CPU", usage.cpu, node.cpu / 1000, (v) => cores(v)],
      ["Memory", usage.memory, node.memory, bytes],
    ];
    gauges?.forEach(([name, used, whole, format], index) => {
      const left = x + 12 + index * (half + 10);
      context.fillStyle = c.soft;
      const says = [`${name} ${format(used)} of ${format(whole)}`, `${name} ${percent(used, whole)}`];
      text(context, fitting(context, says, half, GAUGE_FONT), left, y + 17, half, GAUGE_FONT);
      gauge(context, left, y + 25, half - 4, used / whole, c);
    });
    context.fillStyle = c.ink;
    context.textAlign = "right";
    text(context, `${count} Pod${count === 1 ? "" : "s"}`, x + w - 12, y + 27, 74, `600 12.5px ${SANS}`);
    context.textAlign = "left";
  }

  #yard(context, { yard, pods, houses }) {
    const isAnybody = [...pods.values()].some((place) => place.y === yard.y + yard.h / 2);
    if (!isAnybody) return;
    context.fillStyle = this.colours.soft;
    text(context, "wait for a node:", yard.x + 8, yard.y + yard.h / 2 + 4, 140, `12.5px ${SANS}`);
    if (!houses.length) return;
    context.strokeStyle = this.colours.street;
    context.setLineDash([4, 4]);
    context.beginPath();
    context.roundRect(yard.x, yard.y, yard.w, yard.h, 8);
    context.stroke();
    context.setLineDash([]);
  }

  // ---- the sky ----------------------------------------------------------------------------------

  #plaque(context, { record, x, y, w, h, isSmall }, chosen, hovered) {
    const c = this.colours;
    box(context, x, y, w, h, c, chosen === record.uid, hovered === record.uid);
    if (isSmall) { this.#line(context, record, x, y, w, h, `600 12px ${SANS}`); return; }
    context.fillStyle = c.ink;
    text(context, record.name, x + 11, y + 19, w - 66, `600 13.5px ${SANS}`);
    context.textAlign = "right";
    context.fillStyle = record.ready >= record.replicas ? c.good : c.warn;
    text(context, `${record.ready}/${record.replicas}`, x + w - 11, y + 19, 60, `600 13px ${SANS}`);
    context.textAlign = "left";
    context.fillStyle = c.soft;
    text(context, record.paused ? "paused" : record.ns, x + 11, y + 35, w - 22, `11.5px ${SANS}`);
    share(context, x + 1, y + h - 4, w - 2, record.replicas ? record.ready / record.replicas : 1, c);
  }

  /** Name and count in one line, for when there are many. */
  #line(context, record, x, y, w, h, font) {
    const c = this.colours;
    const counts = `${record.ready}/${record.replicas}`;
    context.fillStyle = c.ink;
    context.font = font;
    text(context, record.name, x + 9, y + h / 2 + 3, w - 24 - context.measureText(counts).width, font);
    context.textAlign = "right";
    context.fillStyle = record.ready >= record.replicas ? c.good : c.warn;
    text(context, counts, x + w - 9, y + h / 2 + 3, 80, font);
    context.textAlign = "left";
    share(context, x + 1, y + h - 3, w - 2, record.replicas ? record.ready / record.replicas : 1, c);
  }

  #set(context, { record, x, y, w, h, owner }, chosen, hovered) {
    const c = this.colours;
    box(context, x, y, w, h, c, chosen === record.uid, hovered === record.uid);
    context.fillStyle = c.soft;
    const label = record.revision ? `revision ${record.revision}` : owner ? record.name.split("-").at(-1) : record.name;
    text(context, label, x + 10, y + h / 2 + 4, w - 64, `12px ${SANS}`);
    context.textAlign = "right";
    context.fillStyle = c.ink;
    text(context, `${record.ready}/${record.replicas}`, x + w - 10, y + h / 2 + 4, 54, `12px ${SANS}`);
    context.textAlign = "left";
    share(context, x + 1, y + h - 3, w - 2, record.replicas ? record.ready / record.replicas : 0, c);
  }

  /** From each Deployment down to its ReplicaSets. */
  #ownership(context, { plaques, sets }) {
    const above = new Map(plaques.map((plaque) => [plaque.record.uid, plaque]));
    context.strokeStyle = context.fillStyle = this.colours.arrow;
    context.lineWidth = 1.3;
    for (const set of sets) {
      const plaque = above.get(set.owner);
      if (!plaque || set.isHidden) continue;
      const [left, y] = [plaque.x + 9, set.y + set.h / 2];
      context.beginPath();
      context.moveTo(left, plaque.y + plaque.h);
      context.lineTo(left, y);
      context.lineTo(set.x - 5, y);
      context.stroke();
      head(context, set.x - 1, y, 0);
    }
  }

  /** From each ReplicaSet to its Pods; to the house as a whole when there are many; only those of what is
      chosen or pointed at when there are very many. */
  #arrows(context, { sets, houses, isSmall }, scene, chosen) {
    const from = new Map(sets.map((set) => [set.record.uid, set]));
    const of = new Map(sets.map((set) => [set.record.uid, set.owner]));
    const isEach = scene.sprites.size <= EACH_ARROW;
    const bundles = new Map();
    for (const sprite of scene.sprites.values()) {
      const set = from.get(sprite.pod?.owner);
      if (!set || sprite.isGone) continue;
      const isChosen = chosen && (chosen === sprite.uid || chosen === set.record.uid || chosen === of.get(set.record.uid));
      if (isEach || isChosen) this.#arrow(context, set, { x: sprite.x, y: sprite.y - sprite.size / 2 }, isChosen ? 1.6 : 1, isChosen, chosen);
      else if (!isSmall) bundles.set(`${set.record.uid} ${sprite.pod.node}`, { set, node: sprite.pod.node, count: (bundles.get(`${set.record.uid} ${sprite.pod.node}`)?.count ?? 0) + 1 });
    }
    const places = new Map(houses.map((house) => [house.name, house]));
    for (const { set, node, count } of bundles.values()) {
      const house = places.get(node);
      if (house) this.#arrow(context, set, { x: house.x + house.w / 2, y: house.y + 4 }, Math.min(6, 1 + Math.log2(count)), false, chosen);
    }
  }

  #arrow(context, set, to, width, isChosen, chosen) {
    const start = { x: set.x + set.w / 2, y: set.y + set.h };
    const bend = Math.max(18, (to.y - start.y) * 0.45);
    context.strokeStyle = isChosen ? this.colours.accent : this.colours.arrow;
    context.globalAlpha = isChosen ? 0.95 : chosen ? 0.12 : 0.34;
    context.lineWidth = width;
    context.beginPath();
    context.moveTo(start.x, start.y);
    context.bezierCurveTo(start.x, start.y + bend, to.x, to.y - bend, to.x, to.y - 3);
    context.stroke();
    context.fillStyle = context.strokeStyle;
    head(context, to.x, to.y, Math.PI / 2);
    context.globalAlpha = 1;
  }

  // ---- what catches the eye ---------------------------------------------------------------------

  #rings(context, scene) {
    context.strokeStyle = this.colours["lit-edge"];
    for (const sprite of scene.sprites.values()) {
      if (!sprite.ring) continue;
      const part = Scene.ringOf(sprite);
      context.globalAlpha = 1 - part;
      context.lineWidth = 2.5 * (1 - part) + 0.5;
      context.beginPath();
      context.arc(sprite.x, sprite.y, sprite.size * (0.6 + part * 0.9), 0, 7);
      context.stroke();
    }
    context.globalAlpha = 1;
  }

  #framed(context, { x, y, w, h }) {
    context.strokeStyle = this.colours.accent;
    context.lineWidth = 2.5;
    context.beginPath();
    context.roundRect(x - 3, y - 3, w + 6, h + 6, 9);
    context.stroke();
  }

  #marked(context, sprite, colour) {
    if (!sprite) return;
    context.strokeStyle = colour;
    context.lineWidth = 2.5;
    const half = sprite.size / 2 + 3;
    context.beginPath();
    context.roundRect(sprite.x - half, sprite.y - half, half * 2, half * 2, 5);
    context.stroke();
  }
}

function box(context, x, y, w, h, c, isChosen, isHovered) {
  context.fillStyle = c.card;
  context.strokeStyle = isChosen ? c.accent : isHovered ? c.ink : c["wall-edge"];
  context.lineWidth = isChosen ? 2.5 : 1.2;
  context.beginPath();
  context.roundRect(x, y, w, h, 7);
  context.fill();
  context.stroke();
}

function share(context, x, y, w, part, c) {
  context.fillStyle = part >= 1 ? c.good : c.accent;
  context.beginPath();
  context.roundRect(x + 5, y, Math.max(0, (w - 10) * Math.min(1, part)), 2.5, 1.2);
  context.fill();
}

function gauge(context, x, y, w, part, c) {
  context.fillStyle = c.line;
  context.beginPath();
  context.roundRect(x, y, w, 7, 3.5);
  context.fill();
  context.fillStyle = part > 0.9 ? c.bad : c.accent;
  context.beginPath();
  context.roundRect(x, y, Math.max(part > 0 ? 3 : 0, w * Math.min(1, part)), 7, 3.5);
  context.fill();
}

function head(context, x, y, angle) {
  context.save();
  context.translate(x, y);
  context.rotate(angle);
  context.beginPath();
  context.moveTo(0, 0);
  context.lineTo(-7, -3.6);
  context.lineTo(-7, 3.6);
  context.fill();
  context.restore();
}

/** The first of several wordings that has room. */
function fitting(context, wordings, width, font) {
  context.font = font;
  return wordings.find((words) => context.measureText(words).width <= width) ?? wordings.at(-1);
}

const shortened = new Map(); // "font width text" → what fits; cleared when it grows

/** Text that ends in … where there is no room for all of it. */
function text(context, content, x, y, width, font) {
  context.font = font;
  const key = `${font} ${Math.round(width)} ${content}`;
  let shown = shortened.get(key);
  if (shown === undefined) {
    shown = String(content ?? "");
    if (context.measureText(shown).width > width) {
      while (shown && context.measureText(`${shown}…`).width > width) shown = shown.slice(0, -1);
      shown += "…";
    }
    if (shortened.size > 3000) shortened.clear();
    shortened.set(key, shown);
  }
  context.fillText(shown, x, y);
}

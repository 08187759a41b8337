// A table of any length: only the rows that are seen exist, and one that says the same stays as it is, with
// the focus in it. Arrows go from row to row, Enter opens.

import { h, oncePerFrame, put } from "../widgets/dom.js";

// Pixels of a row, as in objects.css: on a narrow screen a name may take two lines.
const NARROW = matchMedia("(max-width: 640px)");
const rowHeight = () => (NARROW.matches ? 58 : 37);
const MORE = 8; // rows above and below what is seen

export class VirtualTable {
  /** columns: [{ title, cssClass, cell(row) → node or text }]; key(row); open(row). */
  constructor({ label, key, open }) {
    this.key = key;
    this.open = open;
    this.head = h("thead");
    this.body = h("tbody");
    this.table = h("table", { class: "virtual", "aria-label": label }, this.head, this.body);
    this.element = h("div", { class: "table-scroll", tabindex: "0", role: "region", "aria-label": `${label}, rows` }, this.table);
    this.rows = [];
    this.columns = [];
    this.active = null;
    this.flash = new Set();
    this.look = "";
    this.drawn = new Map(); // key → { element, row, look, isActive }
    this.draw = oncePerFrame(() => this.#draw());
    this.element.addEventListener("scroll", this.draw, { passive: true });
    this.element.addEventListener("keydown", (event) => this.#keys(event));
    this.body.addEventListener("click", (event) => {
      const row = event.target.closest("tr[data-key]");
      if (row && !event.target.closest("a, button")) this.open(this.rows[Number(row.dataset.at)]);
    });
    this.resizes = new ResizeObserver(this.draw);
    this.resizes.observe(this.element);
  }

  /** `look`: another one when rows that are the same are to be drawn otherwise. */
  show(columns, rows, look) {
    if (look !== this.look) this.#heads(columns);
    Object.assign(this, { columns, rows, look });
    this.draw();
  }

  close() { this.resizes.disconnect(); }

  #draw() {
    const { scrollTop, clientHeight } = this.element;
    const height = rowHeight();
    const first = Math.max(0, Math.floor(scrollTop / height) - MORE);
    const last = Math.min(this.rows.length, Math.ceil((scrollTop + clientHeight) / height) + MORE);
    this.table.setAttribute("aria-rowcount", this.rows.length + 1);
    const seen = this.rows.slice(first, last).map((row, index) => this.#row(row, first + index));
    this.drawn = new Map(seen.map((one) => [one.key, one]));
    keepInOrder(this.body, [spacer(first * height), ...seen.map((one) => one.element), spacer((this.rows.length - last) * height)].filter(Boolean));
    this.flash.clear();
  }

  #heads(columns) {
    const focused = [...this.head.querySelectorAll("button")].indexOf(document.activeElement);
    put(this.head, h("tr", {}, columns.map((column) => h("th", { scope: "col", class: column.cssClass, "aria-sort": column.sorted ?? null },
      column.sort ? h("button", { type: "button", class: "sort", on: { click: column.sort } }, column.title, h("span", { "aria-hidden": "true" }, { ascending: " ↑", descending: " ↓" }[column.sorted] ?? "")) : column.title))));
    this.head.querySelectorAll("button")[focused]?.focus();
  }

  #row(row, at) {
    const key = this.key(row);
    const isActive = key === this.active;
    const before = this.drawn.get(key);
    const isSame = before && before.row === row && before.look === this.look && before.isActive === isActive && !this.flash.has(key);
    const element = isSame ? before.element : this.#element(row, key);
    if (Number(element.dataset.at) !== at) {
      element.dataset.at = at;
      element.setAttribute("aria-rowindex", at + 2);
    }
    return { key, row, look: this.look, isActive, element };
  }

  #element(row, key) {
    const classes = [this.flash.has(key) && "changed", key === this.active && "active"].filter(Boolean).join(" ");
    return h("tr", { "data-key": key, class: classes || null },
      this.columns.map((column) => h("td", { class: column.cssClass }, column.cell(row))));
  }

  #keys(event) {
    if (event.target.closest("a, button") && event.key === "Enter") return;
    const at = this.rows.findIndex((row) => this.key(row) === this.active);
    const page = Math.max(1, Math.floor(this.element.clientHeight / rowHeight()) - 2);
    const next = { ArrowDown: at + 1, ArrowUp: at - 1, PageDown: at + page, PageUp: at - page, Home: 0, End: this.rows.length - 1 }[event.key];
    if (next !== undefined && this.rows.length) {
      event.preventDefault();
      this.#activate(Math.max(0, Math.min(this.rows.length - 1, next)));
    } else if (event.key === "Enter" && at >= 0) this.open(this.rows[at]);
  }

  #activate(at) {
    this.active = this.key(this.rows[at]);
    const height = rowHeight();
    const top = at * height;
    if (top < this.element.scrollTop) this.element.scrollTop = top;
    const bottom = top + height * 2 - this.element.clientHeight;
    if (bottom > this.element.scrollTop) this.element.scrollTop = bottom;
    this.draw();
  }
}

const spacer = (height) => (height > 0 ? h("tr", { "aria-hidden": "true", class: "spacer" }, h("td", { css: { height: `${height}px` } })) : null);

/** Make these an element's children; who was there before and stays is not touched, so the focus stays too. */
function keepInOrder(parent, wanted) {
  const staying = new Set(wanted);
  for (const child of [...parent.children]) if (!staying.has(child)) child.remove();
  wanted.forEach((child, at) => { if (parent.children[at] !== child) parent.insertBefore(child, parent.children[at] ?? null); });
}

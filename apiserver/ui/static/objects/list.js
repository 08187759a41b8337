// The view /ui/objects/KIND: every object of a kind with the columns that kubectl shows, live.

import { atMostEvery, h, put } from "../widgets/dom.js";
import { send } from "../api/client.js";
import { session } from "../api/session.js";
import { empty, loading, problem, toast, toneOf } from "../widgets/parts.js";
import { age } from "../widgets/units.js";
import { kinds, pathOf } from "../api/discovery.js";
import { follow, TABLE } from "../api/watch.js";
import { titleOf } from "../shell/navigation.js";
import { go, objectUrl, remember, title } from "../shell/router.js";
import { onScope, scope } from "../shell/scope.js";
import { MAKERS } from "../objects/makers.js";
import { TEACHING } from "../objects/teaching.js";
import { VirtualTable } from "../objects/virtual_table.js";

const AGES_MS = 5000;
const DRAW_MS = 100; // changes come faster in a rollout than one reads
const NARROW = matchMedia("(max-width: 640px)");
const STATUS_COLUMNS = new Set(["Status", "Ready", "Phase"]);

export function open(main, { key }, query) {
  const list = new ObjectList(main, key, query);
  list.start();
  return { close: () => list.close() };
}

/** The three columns that say most: the name, how it is, how old it is. */
function narrowed(columns) {
  const named = (...names) => columns.find((column) => names.includes(column.name));
  const name = named("Name", "Object");
  const tells = named("Status") ?? named("Reason") ?? named("Phase") ?? columns.find((column) => column !== name);
  const ages = named("Age", "Last Seen");
  return [...new Set([name, tells, ages].filter(Boolean))];
}

class ObjectList {
  constructor(main, key, query) {
    Object.assign(this, { main, key, wide: query.get("wide") === "1", words: query.get("q") ?? "", sort: query.get("sort") ?? "" });
    this.rows = new Map(); // uid → { cells, object }
    this.columns = [];
    this.isLive = false;
    this.endings = [];
    this.draw = atMostEvery(DRAW_MS, () => this.#draw());
    this.ages = 0; // how often they were told anew
  }

  async start() {
    put(this.main, loading(this.key));
    const found = await kinds().catch((error) => { put(this.main, problem("The kinds could not be read", error.message)); return null; });
    if (!found || this.isClosed) return;
    this.kind = found.get(this.key);
    if (!this.kind) { this.#unknown(); return; }
    title(titleOf(this.kind));
    this.#frame();
    this.#follow();
    this.endings.push(onScope(() => { if (this.kind.isNamespaced) this.#follow(); }));
    const ages = setInterval(() => { this.ages++; this.draw(); }, AGES_MS);
    const narrow = () => this.draw();
    NARROW.addEventListener("change", narrow);
    this.endings.push(() => clearInterval(ages), () => NARROW.removeEventListener("change", narrow), () => this.table.close(), () => this.watching?.abort());
  }

  close() {
    this.isClosed = true;
    for (const end of this.endings) end();
  }

  #unknown() {
    title("Not found");
    put(this.main, problem(`This cluster serves no kind "${this.key}"`, "The link may be from another cluster or version.", h("a", { href: "/ui/" }, "Back to the cluster")));
  }

  #frame() {
    this.table = new VirtualTable({ label: titleOf(this.kind), key: (row) => row.object.metadata.uid, open: (row) => go(this.#url(row)) });
    this.count = h("span", { class: "kind", role: "status" });
    this.notice = h("div");
    const filter = h("input", { class: "text-field", type: "search", placeholder: "Filter", title: "By name or what stands in any column", "aria-label": "Filter by name or any column", value: this.words });
    filter.addEventListener("input", () => { this.words = filter.value; remember({ q: this.words }); this.draw(); });
    const wide = h("button", { class: "button", type: "button", "aria-pressed": this.wide }, "All columns");
    wide.addEventListener("click", () => { this.wide = !this.wide; wide.setAttribute("aria-pressed", this.wide); remember({ wide: this.wide && "1" }); this.draw(); });
    put(this.main,
      h("div", { class: "heading" }, h("h1", {}, titleOf(this.kind)), this.count, h("div", { class: "actions" }, filter, wide, this.#maker())),
      this.notice, this.table.element);
  }

  /** A button that makes one, where the page can and may. */
  #maker() {
    const maker = MAKERS[this.key];
    if (!maker) return null;
    const [text, askFor, needsLab] = maker;
    const button = h("button", { class: "button", "data-tone": "primary", type: "button", hidden: true }, text);
    session().then(({ mayWrite, isLab }) => { button.hidden = !mayWrite || (needsLab && !isLab); });
    button.addEventListener("click", async () => {
      const body = await askFor();
      if (!body) return;
      try {
        const made = await send("POST", pathOf(this.kind), { apiVersion: this.kind.apiVersion, kind: this.kind.kind, ...body });
        toast(`${this.kind.kind} ${made.metadata.name} is made`);
      } catch (error) { toast(error.message, "bad"); }
    });
    return button;
  }

  #follow() {
    this.watching?.abort();
    this.watching = new AbortController();
    this.rows.clear();
    this.isLive = false;
    const includeObject = this.key === "events" ? "Object" : "Metadata";
    follow(pathOf(this.kind, scope()), { includeObject }, TABLE, this.watching.signal, {
      reset: (table) => { this.rows.clear(); this.columns = table.columnDefinitions ?? this.columns; this.#take(table); },
      more: (table) => this.#take(table),
      live: () => { this.isLive = true; put(this.notice); this.draw(); },
      event: (type, table) => this.#event(type, table),
      lost: (error) => { this.isLive = false; put(this.notice, problem("Not live just now", error.message)); },
    });
    this.draw();
  }

  #take(table) {
    for (const row of table.rows ?? []) this.rows.set(row.object.metadata.uid, row);
    this.draw();
  }

  #event(type, table) {
    for (const row of table.rows ?? []) {
      const { uid } = row.object.metadata;
      if (type === "DELETED") this.rows.delete(uid);
      else { this.rows.set(uid, row); this.table.flash.add(uid); }
    }
    this.draw();
  }

  #draw() {
    if (this.isClosed || !this.table) return;
    const rows = this.#chosen();
    const all = this.rows.size;
    this.count.textContent = !all && !this.isLive ? "loading …" : rows.length === all ? `${all}` : `${rows.length} of ${all}`;
    const isEmpty = this.isLive && !all;
    this.table.element.hidden = isEmpty;
    if (isEmpty) put(this.notice, this.#teach());
    else if (this.isLive) put(this.notice);
    const columns = this.#shownColumns();
    this.table.show(columns, rows, [this.ages, this.sort, ...columns.map((column) => column.title)].join());
  }

  #teach() {
    const [says, command] = TEACHING[this.key] ?? [null, null];
    const where = scope() && this.kind.isNamespaced ? ` in namespace ${scope()}` : "";
    return empty(`No ${titleOf(this.kind)}${where} yet`, says, command);
  }

  #chosen() {
    const words = this.words.toLowerCase().split(/\s+/).filter(Boolean);
    const matches = (row) => {
      const text = `${row.object.metadata.namespace ?? ""} ${row.cells.join(" ")}`.toLowerCase();
      return words.every((word) => text.includes(word));
    };
    const rows = [...this.rows.values()].filter((row) => !words.length || matches(row));
    return rows.sort(this.#order());
  }

  #order() {
    const [name, direction] = this.sort.split(":");
    const at = this.columns.findIndex((column) => column.name === name);
    const sign = direction === "down" ? -1 : 1;
    const byPlace = (a, b) => (a.object.metadata.namespace ?? "").localeCompare(b.object.metadata.namespace ?? "") || a.object.metadata.name.localeCompare(b.object.metadata.name);
    const newest = (a, b) => Number(b.object.metadata.resourceVersion) - Number(a.object.metadata.resourceVersion);
    if (at < 0) return this.key === "events" ? newest : byPlace;
    if (name === "Age") return (a, b) => sign * (Date.parse(b.object.metadata.creationTimestamp) - Date.parse(a.object.metadata.creationTimestamp)) || byPlace(a, b);
    return (a, b) => sign * String(a.cells[at]).localeCompare(String(b.cells[at]), undefined, { numeric: true }) || byPlace(a, b);
  }

  #shownColumns() {
    let shown = this.columns.map((column, at) => ({ ...column, at }));
    if (!this.wide) shown = shown.filter((column) => !column.priority);
    if (NARROW.matches && !this.wide) shown = narrowed(shown);
    const columns = shown.map((column) => this.#column(column));
    if (this.kind.isNamespaced && !scope() && !NARROW.matches) columns.splice(0, 0, { title: "Namespace", cell: (row) => row.object.metadata.namespace });
    return columns;
  }

  #column({ name, type, at }) {
    const [sortedBy, direction] = this.sort.split(":");
    const sorted = sortedBy === name ? (direction === "down" ? "descending" : "ascending") : null;
    const sort = () => {
      this.sort = sortedBy === name && direction !== "down" ? `${name}:down` : `${name}:up`;
      remember({ sort: this.sort });
      this.draw();
    };
    return { title: name, sort, sorted, cssClass: this.#cssClass(name, type), cell: (row) => this.#cell(row, name, at) };
  }

  #cssClass(name, type) {
    if (name === "Name" || name === "IP" || name === "Object") return "mono name";
    return type === "integer" ? "number" : name === "Message" ? "message" : null;
  }

  #cell(row, name, at) {
    const text = String(row.cells[at] ?? "");
    if (name === "Name" && at === this.columns.findIndex((column) => column.name === "Name")) {
      const ns = NARROW.matches && this.kind.isNamespaced && !scope() ? h("span", { class: "soft small" }, row.object.metadata.namespace) : null;
      return [h("a", { href: this.#url(row) }, text), ns];
    }
    if (name === "Age") return age(row.object.metadata.creationTimestamp);
    if (name === "Last Seen" && row.object.lastTimestamp !== undefined) return age(row.object.series?.lastObservedTime ?? row.object.lastTimestamp ?? row.object.eventTime);
    if (this.key === "events" && name === "Object") return h("a", { href: this.#url(row) }, text);
    if (STATUS_COLUMNS.has(name) && /^[A-Z]/.test(text)) return h("span", { class: "badge", "data-tone": toneOf(text.split(",")[0]) }, text);
    if (name === "Type" && text === "Warning") return h("span", { class: "badge", "data-tone": "bad" }, text);
    return text;
  }

  #url(row) {
    const { namespace, name } = row.object.metadata;
    return objectUrl(this.key, namespace, name);
  }
}

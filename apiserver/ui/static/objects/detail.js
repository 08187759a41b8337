// The view /ui/object/KIND/NAMESPACE/NAME: one object, under several aspects.

import { h, put } from "../widgets/dom.js";
import { badge, loading, problem } from "../widgets/parts.js";
import { tabs } from "../widgets/tabs.js";
import { kinds } from "../api/discovery.js";
import { titleOf } from "../shell/navigation.js";
import { listUrl, objectUrl, remember, title } from "../shell/router.js";
import { session } from "../api/session.js";
import { load } from "../shell/load.js";
import { actionsOf } from "../objects/actions.js";
import { Subject } from "../objects/subject.js";
import { aspectsOf } from "../objects/aspects.js";
import { word } from "../objects/word.js";

export function open(main, where, query) {
  const view = new Detail(main, where, query.get("tab"));
  view.start();
  return { close: () => view.close() };
}

class Detail {
  constructor(main, { key, ns, name }, tab) {
    Object.assign(this, { main, key, ns, name, tab, endings: [] });
  }

  async start() {
    title(this.name);
    put(this.main, loading(this.name));
    try {
      this.kind = (await kinds()).get(this.key);
      if (!this.kind) { this.#stale(`This cluster serves no kind "${this.key}"`, "The link may be from another cluster or version."); return; }
      this.subject = new Subject(this.kind, this.ns, this.name);
      this.endings.push(() => this.subject.close());
      await this.subject.read();
      if (!this.isClosed) await this.#draw();
    } catch (error) {
      if (this.isClosed || error.name === "AbortError") return;
      if (error.code === 404) this.#missing();
      else put(this.main, problem(`Cannot show ${this.name}`, error.message, h("a", { href: location.href }, "Try again")));
    }
  }

  close() {
    this.isClosed = true;
    for (const end of this.endings) end();
  }

  #missing() {
    const where = this.ns ? ` in namespace ${this.ns}` : "";
    this.#stale(`There is no ${this.kind.kind} "${this.name}"${where}`, "It has been deleted, or it never was. Pods go when their Deployment replaces them: the new one has another name.",
      h("a", { href: listUrl(this.key) }, `All ${titleOf(this.kind)}`), " · ");
    this.#past();
  }

  /** What is kept of its life, if it had one. */
  async #past() {
    if (!(await session()).insights.includes("history")) return;
    const { readHistory, drawHistory } = await load("insight/history.js");
    const found = await readHistory(this.key, this.ns, this.name).catch(() => null);
    if (this.isClosed || !found?.items.length) return;
    this.main.append(h("h2", { class: "past-title" }, "Its life, as far as it is kept"), h("div", {}, drawHistory(found)));
  }

  #stale(what, why, ...links) {
    title("Not found");
    put(this.main, problem(what, why, ...links, h("a", { href: "/ui/" }, "Back to the cluster")));
  }

  async #draw() {
    const state = h("span");
    const notice = h("div");
    const aspects = await aspectsOf(this.subject);
    const strip = tabs(`Aspects of ${this.name}`, aspects, this.tab, (id) => remember({ tab: id === aspects[0].id ? "" : id }));
    put(this.main,
      h("p", { class: "crumbs" }, h("a", { href: listUrl(this.key) }, titleOf(this.kind)), this.ns ? ` / ${this.ns}` : ""),
      h("div", { class: "heading" }, h("h1", {}, this.name), state, h("div", { class: "actions" }, actionsOf(this.subject))),
      notice, strip.element);
    const drawState = () => {
      const [text, tone] = this.subject.isGone ? ["deleted", "bad"] : word(this.subject.object);
      put(state, text ? badge(text, tone) : null);
      put(notice, this.subject.isGone ? this.#gone() : null);
    };
    this.endings.push(this.subject.onChange(drawState), () => strip.close());
    drawState();
    strip.start();
  }

  #gone() {
    return problem(`${this.kind.kind} ${this.name} has just been deleted`, "What is shown is how it was last.",
      this.subject.replacement ? [h("a", { href: objectUrl(this.key, this.ns, this.name), on: { click: (event) => { event.preventDefault(); location.reload(); } } }, "Show the new one of that name"), " · "] : null,
      h("a", { href: listUrl(this.key) }, `All ${titleOf(this.kind)}`));
  }
}

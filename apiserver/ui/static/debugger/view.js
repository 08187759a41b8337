// The view /ui/debugger: breakpoints, what is stopped at them, and the next step. All of it is done to
// Breakpoint objects (debug.podium.dev/v1), as kubectl could.

import { h, put, oncePerFrame } from "../widgets/dom.js";
import { ask, badge, card, empty, problem, toast } from "../widgets/parts.js";
import { duration } from "../widgets/units.js";
import { kinds, pathOf } from "../api/discovery.js";
import { send } from "../api/client.js";
import { session } from "../api/session.js";
import { follow } from "../api/watch.js";
import { title } from "../shell/router.js";
import { askForBreakpoint } from "../debugger/new_breakpoint.js";
import { stopCard } from "../debugger/stop.js";

const KEY = "breakpoints.debug.podium.dev";

export function open(main) {
  title("Debugger");
  const view = new Debugger(main);
  view.start();
  return { close: () => view.close() };
}

class Debugger {
  constructor(main) {
    Object.assign(this, { main, points: new Map(), stop: new AbortController(), mayWrite: false, isLive: false });
    this.draw = oncePerFrame(() => this.#draw());
  }

  async start() {
    this.mayWrite = (await session()).mayWrite;
    this.kind = (await kinds().catch(() => new Map())).get(KEY);
    if (this.stop.signal.aborted) return;
    if (!this.kind) { put(this.main, problem("This cluster has no debugger", `It serves no kind "${KEY}".`, h("a", { href: "/ui/" }, "Back to the cluster"))); return; }
    this.notice = h("div");
    this.body = h("div", { class: "debugger" });
    put(this.main,
      h("div", { class: "heading" }, h("h1", {}, "Debugger"), h("span", { class: "kind" }, "stop a loop before it writes"),
        h("div", { class: "actions" }, this.mayWrite ? h("button", { class: "button", "data-tone": "primary", type: "button", on: { click: () => this.#set() } }, "New breakpoint") : h("span", { class: "soft" }, "read only"))),
      this.notice, this.body);
    const put1 = (object) => this.points.set(object.metadata.uid, object);
    follow(pathOf(this.kind), {}, "application/json", this.stop.signal, {
      reset: (list) => { this.points.clear(); list.items.forEach(put1); this.draw(); },
      more: (list) => { list.items.forEach(put1); this.draw(); },
      live: () => { this.isLive = true; put(this.notice); this.draw(); },
      event: (type, object) => { if (type === "DELETED") this.points.delete(object.metadata.uid); else put1(object); this.draw(); },
      lost: (error) => put(this.notice, problem("Not live just now", error.message)),
    });
    this.beat = setInterval(this.draw, 1000);
  }

  close() {
    clearInterval(this.beat);
    this.stop.abort();
  }

  #draw() {
    if (!this.isLive || document.querySelector(".debugger details[open] :focus")) return;
    const points = [...this.points.values()].sort((a, b) => a.metadata.name.localeCompare(b.metadata.name));
    if (!points.length) {
      put(this.body, empty("No breakpoints", "A breakpoint stops a controller, the scheduler or a kubelet before it writes. You see what it has seen, what it wants, and the write; then step, go on, or let it go wrong.", "podium debug break deployment web"));
      return;
    }
    const open = new Set([...this.body.querySelectorAll("details[open]")].map((one) => one.dataset.id));
    const stops = points.flatMap((point) => (point.status?.stopped ?? []).map((stop) => ({ point, stop })));
    put(this.body,
      stops.length ? stops.map(({ point, stop }) => stopCard(point, stop, this.mayWrite ? (action) => this.#act(point, stop, action) : null)) : h("p", { class: "note" }, "Nothing is stopped just now. Change something that a breakpoint waits for."),
      card("Breakpoints", h("div", { class: "scroll-x", tabindex: "0", role: "region", "aria-label": "Breakpoints" }, h("table", { class: "plain" },
        h("thead", {}, h("tr", {}, ["Name", "Stops", "Where", "State", "Hits", ""].map((text) => h("th", { scope: "col" }, text)))),
        h("tbody", {}, points.map((point) => this.#row(point)))))));
    for (const one of this.body.querySelectorAll("details")) if (open.has(one.dataset.id)) one.open = true;
  }

  #row(point) {
    const { spec, status = {}, metadata } = point;
    const { kind, namespace, name } = spec.selector ?? {};
    const where = [kind, [namespace, name].filter(Boolean).join("/")].filter(Boolean).join(" ") || "every object";
    const state = status.stopped?.length ? badge(`${status.stopped.length} stopped`, "warn") : badge(status.phase || (spec.disabled ? "Disabled" : "Waiting"), "idle");
    return h("tr", {}, h("td", { class: "mono" }, metadata.name), h("td", {}, spec.controller), h("td", {}, where, spec.condition ? h("div", { class: "mono soft" }, `if ${spec.condition}`) : null), h("td", {}, state), h("td", {}, status.hits ?? 0),
      h("td", {}, this.mayWrite ? [
        h("button", { class: "button", type: "button", "aria-label": `${spec.disabled ? "Enable" : "Disable"} ${metadata.name}`, on: { click: () => this.#patch(point, { disabled: spec.disabled ? null : true }) } }, spec.disabled ? "Enable" : "Disable"), " ",
        h("button", { class: "button", "data-tone": "danger", type: "button", "aria-label": `Remove ${metadata.name}`, on: { click: () => this.#remove(point) } }, "Remove"),
      ] : null));
  }

  async #act(point, stop, { type, inject }) {
    if (inject === "Crash" && !(await ask({ title: `Crash ${point.spec.controller}?`, says: "Its process is killed where it stands and started again by the supervisor. All loops in it begin anew.", confirm: "Crash", tone: "danger" }))) return;
    await this.#patch(point, { action: { type, inject: inject ?? null, key: stop.key, id: null } });
  }

  async #patch(point, spec) {
    try { await send("PATCH", pathOf(this.kind, "", point.metadata.name), { spec }, "merge"); } catch (error) { toast(error.message, "bad"); }
  }

  async #remove(point) {
    const count = point.status?.stopped?.length;
    if (count && !(await ask({ title: `Remove ${point.metadata.name}?`, says: `What is stopped at it (${count}) goes on.`, confirm: "Remove", tone: "danger" }))) return;
    try { await send("DELETE", pathOf(this.kind, "", point.metadata.name)); } catch (error) { toast(error.message, "bad"); }
  }

  async #set() {
    const body = await askForBreakpoint();
    if (!body) return;
    try {
      await send("POST", pathOf(this.kind), { apiVersion: this.kind.apiVersion, kind: this.kind.kind, ...body });
      toast(`${body.spec.controller} will stop before it writes`);
    } catch (error) { toast(error.message, "bad"); }
  }
}

export const leftOf = (until) => duration(Math.max(0, (Date.parse(until) - Date.now()) / 1000));

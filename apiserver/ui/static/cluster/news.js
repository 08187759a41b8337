// What has just happened: the newest Events, live.

import { h, put } from "../widgets/dom.js";
import { clock } from "../widgets/units.js";
import { kinds } from "../api/discovery.js";
import { objectUrl } from "../shell/router.js";

const SHOWN = 40;

export class News {
  constructor() {
    this.list = h("ol", { class: "news", tabindex: "0", "aria-label": "Newest events" });
    this.known = new Map(); // uid → { rv, row }
    this.keys = new Map(); // "v1/Pod" → "pods"
    kinds().then((found) => {
      for (const kind of found.values()) this.keys.set(`${kind.apiVersion}/${kind.kind}`, kind.key);
      this.known.clear(); // their objects become links
      if (this.shown) this.draw(...this.shown);
    }, () => {});
  }

  draw(events, namespace) {
    this.shown = [events, namespace];
    const newest = [...events.values()]
      .filter((event) => !namespace || event.ns === namespace)
      .sort((a, b) => b.rv - a.rv)
      .slice(0, SHOWN);
    const before = this.known;
    this.known = new Map(newest.map((event) => {
      const old = before.get(event.uid);
      return [event.uid, old?.rv === event.rv ? old : { rv: event.rv, row: this.#row(event, before.size > 0) }];
    }));
    const rows = [...this.known.values()].map((entry) => entry.row);
    if (rows.length) put(this.list, rows);
    else put(this.list, h("li", { class: "soft" }, "Nothing has happened yet."));
  }

  #row(event, isNew) {
    const { about } = event;
    const key = this.keys.get(`${about.apiVersion}/${about.kind}`);
    const name = `${about.kind.toLowerCase()}/${about.name}`;
    return h("li", { "data-type": event.type, class: isNew ? "changed" : null },
      h("time", { datetime: event.last }, clock(event.last).slice(0, 8)),
      h("span", { class: "reason" }, event.count > 1 ? `${event.reason} ×${event.count}` : event.reason),
      key ? h("a", { class: "object", href: objectUrl(key, about.ns, about.name, "timeline") }, name) : h("span", { class: "object" }, name),
      h("span", { class: "message" }, event.message));
  }
}

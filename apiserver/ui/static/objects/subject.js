// The object that a page is about, kept true by a watch on it alone.

import { getJson } from "../api/client.js";
import { pathOf } from "../api/discovery.js";
import { follow } from "../api/watch.js";

export class Subject {
  constructor(kind, namespace, name) {
    Object.assign(this, { kind, namespace, name, object: null, isGone: false });
    this.listeners = new Set();
    this.stop = new AbortController();
  }

  get path() { return pathOf(this.kind, this.namespace, this.name); }

  /** Read it; ApiError 404 when it is not there. */
  async read() {
    this.object = await getJson(this.path, { signal: this.stop.signal });
    if (this.kind.verbs.includes("watch")) this.#follow();
  }

  #follow() {
    follow(pathOf(this.kind, this.namespace), { fieldSelector: `metadata.name=${this.name}` }, "application/json", this.stop.signal, {
      reset: (list) => (list.items.length ? this.#is(list.items[0]) : this.#hasGone()),
      more: () => {},
      live: () => {},
      event: (type, object) => (type === "DELETED" ? this.#hasGone(object) : this.#is(object)),
      lost: () => {},
    });
  }

  #is(object) {
    if (object.metadata.uid !== this.object.metadata.uid && !this.isGone) this.#hasGone();
    if (this.isGone) { this.replacement = object; this.#tell(); return; }
    // Objects of a list do not say what they are.
    this.object = { apiVersion: this.kind.apiVersion, kind: this.kind.kind, ...object };
    this.#tell();
  }

  #hasGone() {
    this.isGone = true;
    this.#tell();
  }

  #tell() { for (const run of this.listeners) run(); }

  /** Call `run` after each change; gives the way to stop it. */
  onChange(run) {
    this.listeners.add(run);
    return () => this.listeners.delete(run);
  }

  close() { this.stop.abort(); }
}

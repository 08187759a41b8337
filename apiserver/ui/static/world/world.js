// The page's copy of the cluster, cut down to what the picture needs (apiserver/ui/picture.py), and
// the questions that views ask of it.

const KINDS = ["nodes", "deployments.apps", "replicasets.apps", "pods", "events"];

export class World extends EventTarget {
  constructor() {
    super();
    this.isSynced = false;
    this.kinds = new Map(KINDS.map((kind) => [kind, new Map()]));
  }

  get nodes() { return this.kinds.get("nodes"); }
  get deployments() { return this.kinds.get("deployments.apps"); }
  get replicasets() { return this.kinds.get("replicasets.apps"); }
  get pods() { return this.kinds.get("pods"); }
  get events() { return this.kinds.get("events"); }

  /** Begin anew with all that there is: { kind: [record, …] }. */
  replace(snapshot) {
    for (const [kind, objects] of this.kinds) {
      objects.clear();
      for (const record of snapshot[kind] ?? []) objects.set(record.uid, record);
    }
    this.isSynced = true;
    this.dispatchEvent(new CustomEvent("change", { detail: { isNew: true, changes: [] } }));
  }

  /** [[kind, uid, record or null], …] */
  change(changes) {
    for (const [kind, uid, record] of changes) {
      const objects = this.kinds.get(kind);
      if (!objects) continue;
      if (record) objects.set(uid, record);
      else objects.delete(uid);
    }
    this.dispatchEvent(new CustomEvent("change", { detail: { isNew: false, changes } }));
  }

  /** Call `run` now, if anything is known, and after each change; gives the way to stop it. */
  watch(run) {
    const tell = (event) => run(event.detail);
    this.addEventListener("change", tell);
    if (this.isSynced) run({ isNew: true, changes: [] });
    return () => this.removeEventListener("change", tell);
  }

  namespaces() {
    const names = new Set();
    for (const kind of ["pods", "deployments.apps", "replicasets.apps", "events"]) {
      for (const record of this.kinds.get(kind).values()) if (record.ns) names.add(record.ns);
    }
    return [...names].sort();
  }

  find(uid) {
    for (const [kind, objects] of this.kinds) {
      const record = objects.get(uid);
      if (record) return { kind, record };
    }
    return null;
  }
}

export const world = new World();

// Which window of its house a Pod has. It keeps it for life, so that nothing moves but what changes.

const ROOM_TO_SPARE = 8; // empty windows before the others close up

export class Slots {
  constructor() {
    this.houses = new Map(); // node → [uid or null, …]
  }

  /** node → [uid or null, …], with exactly these Pods in them ({ uid, node }). */
  assign(pods) {
    const wanted = new Map();
    for (const pod of pods) {
      if (!wanted.has(pod.node)) wanted.set(pod.node, new Set());
      wanted.get(pod.node).add(pod.uid);
    }
    const houses = new Map();
    for (const [node, uids] of wanted) houses.set(node, settle(this.houses.get(node) ?? [], uids));
    this.houses = houses;
    return houses;
  }
}

function settle(before, uids) {
  const rest = new Set(uids);
  let windows = before.map((uid) => (rest.delete(uid) ? uid : null));
  for (const uid of rest) {
    const free = windows.indexOf(null);
    if (free < 0) windows.push(uid);
    else windows[free] = uid;
  }
  while (windows.length && windows.at(-1) === null) windows.pop();
  if (windows.length > uids.size * 2 + ROOM_TO_SPARE) windows = windows.filter(Boolean);
  return windows;
}

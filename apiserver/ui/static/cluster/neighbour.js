// Where an arrow key leads: to the nearest thing in its direction, straight ones first. Pure.

const AWAY = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
const ASIDE = 2.5; // how much worse a step to the side is than one ahead

/** spots: [{ uid, x, y, w, h }]. The uid to go to; the first one when nothing is chosen yet. */
export function neighbour(spots, chosen, key) {
  const from = spots.find((spot) => spot.uid === chosen);
  if (!from) return spots[0]?.uid ?? null;
  const [dx, dy] = AWAY[key];
  const middle = (spot) => ({ x: spot.x + spot.w / 2, y: spot.y + spot.h / 2 });
  const start = middle(from);
  let best = null;
  let least = Infinity;
  for (const spot of spots) {
    if (spot.uid === chosen) continue;
    const end = middle(spot);
    const ahead = (end.x - start.x) * dx + (end.y - start.y) * dy;
    if (ahead < 2) continue;
    const aside = Math.abs((end.x - start.x) * dy) + Math.abs((end.y - start.y) * dx);
    const cost = ahead + aside * ASIDE;
    if (cost < least) { least = cost; best = spot.uid; }
  }
  return best;
}

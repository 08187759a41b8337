// Where everything of the picture stands: in the sky the Deployments, below each its ReplicaSets; then
// the Pods that wait for a node; on the street a house for each node, a window for each Pod. Pure.

const GAP = 16;
const PLAQUE = { width: 196, height: 48, set: 30, between: 6, drop: 14 };
const SMALL = { width: 148, height: 28, set: 24, between: 4, drop: 6 }; // when there are many
const ROWS_OF_LARGE = 2;
const YARD = 40;
const HOUSE = { least: 250, most: 620, roof: 50, foot: 44, edge: 14, gap: 28 };
const WINDOWS = [34, 30, 26, 22, 18, 15, 12, 10]; // sizes, with the space around
const MOST_ROWS = 9;
const LEAST_ROWS = 2;
const MOST_PLAQUES = 80;
const SIDE = 18;

/**
 * what: { nodes, deployments, replicasets, pods } (arrays, already narrowed), windows: node → uids.
 * Gives { width, height, plaques, sets, isSmall, yard, houses, pods: Map(uid → { x, y, size }), hidden }.
 */
export function layout(what, windows, width) {
  const { plaques, sets, isSmall, bottom, hidden } = placeWorkloads(what, width);
  const places = new Map();
  const yard = { x: SIDE, y: bottom + 12, w: width - SIDE * 2, h: YARD };
  placeWaiting(what.pods, yard, places);
  const { houses, bottom: height } = placeHouses(what.nodes, windows, yard.y + yard.h + 18, width, places);
  return { width, height, plaques, sets, isSmall, yard, houses, pods: places, hidden };
}

// ---- the sky ------------------------------------------------------------------------------------

function placeWorkloads({ deployments, replicasets }, width) {
  const owned = new Map();
  for (const set of replicasets) {
    const owner = set.owner ?? set.uid;
    if (!owned.has(owner)) owned.set(owner, []);
    owned.get(owner).push(set);
  }
  const isLive = (set) => set.replicas > 0 || set.current > 0;
  const groups = deployments.map((deployment) => ({ deployment, sets: (owned.get(deployment.uid) ?? []).filter(isLive) }));
  const known = new Set(deployments.map((deployment) => deployment.uid));
  for (const set of replicasets) if (!known.has(set.owner) && isLive(set)) groups.push({ deployment: null, sets: [set] });
  const shown = groups.slice(0, MOST_PLAQUES);
  const perRow = (sizes) => Math.max(1, Math.floor((width - SIDE * 2 + GAP) / (sizes.width + GAP)));
  const isSmall = shown.length > perRow(PLAQUE) * ROWS_OF_LARGE;
  const sizes = isSmall ? SMALL : PLAQUE;
  const inRow = perRow(sizes);
  const w = inRow === 1 ? width - SIDE * 2 : isSmall ? (width - SIDE * 2 - GAP * (inRow - 1)) / inRow : Math.min(sizes.width, (width - SIDE * 2 - GAP * (inRow - 1)) / inRow);
  const plaques = [];
  const sets = [];
  let y = 16;
  for (let at = 0; at < shown.length; at += inRow) {
    const row = shown.slice(at, at + inRow);
    let x = centred(width, row.length, w);
    let tallest = 0;
    for (const group of row) {
      tallest = Math.max(tallest, placeGroup(group, { x, y, w, sizes, isSmall }, plaques, sets));
      x += w + GAP;
    }
    y += tallest + (isSmall ? 8 : GAP);
  }
  return { plaques, sets, isSmall, bottom: shown.length ? y - 4 : y, hidden: groups.length - shown.length };
}

const centred = (width, count, w, gap = GAP) => (width - count * w - (count - 1) * gap) / 2;

function placeGroup({ deployment, sets }, { x, y, w, sizes, isSmall }, plaques, placed) {
  let below = y;
  if (deployment) {
    plaques.push({ record: deployment, x, y, w, h: sizes.height, isSmall });
    if (isSmall && sets.length < 2) {
      // Not drawn: its arrows come out of the Deployment.
      for (const set of sets) placed.push({ record: set, x, y, w, h: sizes.height, owner: deployment.uid, isHidden: true });
      return sizes.height;
    }
    below += sizes.height + sizes.drop;
  }
  const indent = deployment ? 20 : 0;
  for (const set of [...sets].sort((a, b) => Number(a.revision || 0) - Number(b.revision || 0))) {
    placed.push({ record: set, x: x + indent, y: below, w: w - indent, h: sizes.set, owner: deployment?.uid ?? null });
    below += sizes.set + sizes.between;
  }
  return below - y;
}

// ---- the yard -----------------------------------------------------------------------------------

function placeWaiting(pods, yard, places) {
  const waiting = pods.filter((pod) => !pod.node);
  const size = Math.max(8, Math.min(26, (yard.w - 150) / Math.max(waiting.length, 1)));
  waiting.forEach((pod, index) => places.set(pod.uid, { x: yard.x + 150 + size * (index + 0.5), y: yard.y + yard.h / 2, size: size - 4 }));
}

// ---- the street ---------------------------------------------------------------------------------

function placeHouses(nodes, windows, top, width, places) {
  const names = [...new Set([...nodes.map((node) => node.name), ...[...windows.keys()].filter(Boolean)])].sort();
  const byName = new Map(nodes.map((node) => [node.name, node]));
  const inRow = Math.max(1, Math.min(names.length, Math.floor((width - SIDE * 2 + HOUSE.gap) / (HOUSE.least + HOUSE.gap))));
  const w = Math.min(inRow === 1 ? 980 : HOUSE.most, (width - SIDE * 2 - HOUSE.gap * (inRow - 1)) / inRow);
  const houses = [];
  let y = top;
  for (let at = 0; at < names.length; at += inRow) {
    const row = names.slice(at, at + inRow);
    const most = Math.max(...row.map((name) => windows.get(name)?.length ?? 0));
    const { cell, columns, rows } = windowGrid(most, w - HOUSE.edge * 2);
    const h = HOUSE.roof + rows * cell + HOUSE.edge * 2 + HOUSE.foot;
    let x = centred(width, row.length, w, HOUSE.gap);
    for (const name of row) {
      houses.push({ name, node: byName.get(name) ?? null, x, y, w, h, cell, columns, rows, windows: windows.get(name) ?? [] });
      placeWindows(houses.at(-1), places);
      x += w + HOUSE.gap;
    }
    y += h + 30;
  }
  return { houses, bottom: houses.length ? y - 4 : top + 40 };
}

/** The largest windows that go into few rows. */
export function windowGrid(count, width) {
  for (const cell of WINDOWS) {
    const columns = Math.floor(width / cell);
    const rows = Math.ceil(count / columns);
    if (rows <= MOST_ROWS || cell === WINDOWS.at(-1)) return { cell, columns, rows: Math.max(rows, LEAST_ROWS) };
  }
  throw new Error("unreachable");
}

function placeWindows(house, places) {
  const left = house.x + (house.w - house.columns * house.cell) / 2;
  const top = house.y + HOUSE.roof + HOUSE.edge;
  house.windows.forEach((uid, index) => {
    if (!uid) return;
    const column = index % house.columns;
    const row = Math.floor(index / house.columns);
    places.set(uid, { x: left + (column + 0.5) * house.cell, y: top + (row + 0.5) * house.cell, size: house.cell - Math.max(3, house.cell * 0.22) });
  });
}

export const SIZES = { HOUSE, PLAQUE };

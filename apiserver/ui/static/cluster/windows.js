// A Pod as a window: dark while it starts, lit when it is Ready, red with a mark when it is in trouble.
// Each look is drawn once and copied from then on. The states differ in shape as well as in colour.

export class WindowPainter {
  constructor(colours, density) {
    this.colours = colours;
    this.density = density;
    this.looks = new Map();
  }

  /** Draw one, its middle at (x, y). `isOld`: of a ReplicaSet that is being replaced. */
  draw(context, { x, y, size, alpha, state }, isOld) {
    const whole = Math.max(4, Math.round(size));
    const key = `${state} ${whole} ${isOld}`;
    let look = this.looks.get(key);
    if (!look) this.looks.set(key, (look = this.#look(state, whole, isOld)));
    context.globalAlpha = alpha;
    context.drawImage(look, Math.round(x - whole / 2) - 1, Math.round(y - whole / 2) - 1, whole + 2, whole + 2);
  }

  #look(state, size, isOld) {
    const canvas = document.createElement("canvas");
    canvas.width = canvas.height = Math.ceil((size + 2) * this.density);
    const context = canvas.getContext("2d");
    context.scale(this.density, this.density);
    context.translate(1, 1);
    paintWindow(context, state, size, this.colours);
    if (isOld) paintCorner(context, size, this.colours);
    return canvas;
  }
}

/** Also used by the legend. */
export function paintWindow(context, state, size, c) {
  const fill = { waiting: null, starting: c.unlit, running: c.unlit, ready: c.lit, failing: c.failing, ending: c.unlit, done: c.done }[state];
  const edge = { ready: c["lit-edge"], failing: c.failing, done: c["done-edge"] }[state] ?? c["unlit-edge"];
  const radius = Math.min(4, size / 5);
  context.lineWidth = size > 12 ? 1.5 : 1;
  context.strokeStyle = edge;
  if (state === "waiting" || state === "ending") context.setLineDash([Math.max(2, size / 6), Math.max(1.5, size / 8)]);
  const inset = context.lineWidth / 2;
  context.beginPath();
  context.roundRect(inset, inset, size - inset * 2, size - inset * 2, radius);
  if (fill) { context.fillStyle = fill; context.globalAlpha = state === "ending" ? 0.45 : 1; context.fill(); context.globalAlpha = 1; }
  context.stroke();
  context.setLineDash([]);
  if (size < 9) return;
  const middle = size / 2;
  if (state === "running") { context.fillStyle = c.lit; context.fillRect(inset + 1, middle, size - inset * 2 - 2, middle - inset - 1); }
  if (state === "ready" && size >= 12) cross(context, size, c["lit-edge"]);
  if (state === "failing") mark(context, size, c["failing-ink"]);
  if (state === "starting") dots(context, size, edge);
  if (state === "done") tick(context, size, edge);
}

function cross(context, size, colour) {
  context.strokeStyle = colour;
  context.globalAlpha = 0.55;
  context.lineWidth = 1;
  context.beginPath();
  context.moveTo(size / 2, 2); context.lineTo(size / 2, size - 2);
  context.moveTo(2, size * 0.46); context.lineTo(size - 2, size * 0.46);
  context.stroke();
  context.globalAlpha = 1;
}

function mark(context, size, colour) {
  context.strokeStyle = context.fillStyle = colour;
  context.lineWidth = Math.max(1.5, size / 9);
  context.lineCap = "round";
  context.beginPath();
  context.moveTo(size / 2, size * 0.24); context.lineTo(size / 2, size * 0.54);
  context.stroke();
  context.beginPath();
  context.arc(size / 2, size * 0.75, context.lineWidth * 0.62, 0, 7);
  context.fill();
}

function dots(context, size, colour) {
  context.fillStyle = colour;
  for (const at of [0.28, 0.5, 0.72]) {
    context.beginPath();
    context.arc(size * at, size / 2, Math.max(1, size / 15), 0, 7);
    context.fill();
  }
}

function tick(context, size, colour) {
  context.strokeStyle = colour;
  context.lineWidth = Math.max(1.3, size / 11);
  context.beginPath();
  context.moveTo(size * 0.27, size * 0.52); context.lineTo(size * 0.44, size * 0.69); context.lineTo(size * 0.74, size * 0.33);
  context.stroke();
}

function paintCorner(context, size, c) {
  context.fillStyle = c.arrow;
  context.beginPath();
  context.moveTo(size, size); context.lineTo(size - size * 0.45, size); context.lineTo(size, size - size * 0.45);
  context.fill();
}

// Colours of terminal text (ECMA-48 "SGR"), for logs and for the terminal. Pure but for `spans`.

import { h } from "../widgets/dom.js";

export const PLAIN = Object.freeze({ fg: null, bg: null, bold: false, faint: false, italic: false, underline: false, inverse: false });

/** The style after an SGR sequence's numbers. Colours: 0…15, or "#rrggbb". */
export function sgr(style, numbers) {
  let next = { ...style };
  for (let at = 0; at < numbers.length; at++) {
    const n = numbers[at];
    if (n === 0) next = { ...PLAIN };
    else if (n === 1) next.bold = true;
    else if (n === 2) next.faint = true;
    else if (n === 3) next.italic = true;
    else if (n === 4) next.underline = true;
    else if (n === 7) next.inverse = true;
    else if (n === 22) next.bold = next.faint = false;
    else if (n === 23) next.italic = false;
    else if (n === 24) next.underline = false;
    else if (n === 27) next.inverse = false;
    else if (n >= 30 && n <= 37) next.fg = n - 30;
    else if (n === 39) next.fg = null;
    else if (n >= 40 && n <= 47) next.bg = n - 40;
    else if (n === 49) next.bg = null;
    else if (n >= 90 && n <= 97) next.fg = n - 82;
    else if (n >= 100 && n <= 107) next.bg = n - 92;
    else if (n === 38 || n === 48) {
      const [colour, used] = extended(numbers.slice(at + 1));
      if (colour !== null) next[n === 38 ? "fg" : "bg"] = colour;
      at += used;
    }
  }
  return next;
}

function extended([kind, a, b, c]) {
  const hex = (...parts) => `#${parts.map((part) => Math.max(0, Math.min(255, part || 0)).toString(16).padStart(2, "0")).join("")}`;
  if (kind === 2) return [hex(a, b, c), 4];
  if (kind !== 5 || a === undefined || a > 255) return [null, 1];
  if (a < 16) return [a, 2];
  if (a >= 232) { const grey = 8 + (a - 232) * 10; return [hex(grey, grey, grey), 2]; }
  const level = (n) => (n ? 55 + n * 40 : 0);
  return [hex(level(Math.floor((a - 16) / 36)), level(Math.floor((a - 16) / 6) % 6), level((a - 16) % 6)), 2];
}

/** A piece of text in a style as an element; plain text stays text. */
export function styled(text, style) {
  if (style === PLAIN || Object.values(style).every((value) => !value && value !== 0)) return text;
  const [fg, bg] = style.inverse ? [style.bg ?? "ground", style.fg ?? "ink"] : [style.fg, style.bg];
  const classes = [
    typeof fg === "number" ? `fg-${fg}` : fg === "ground" ? "fg-ground" : "", typeof bg === "number" ? `bg-${bg}` : bg === "ink" ? "bg-ink" : "",
    style.bold && "t-bold", style.faint && "t-faint", style.italic && "t-italic", style.underline && "t-underline",
  ].filter(Boolean).join(" ");
  const css = {};
  if (typeof fg === "string" && fg.startsWith("#")) css.color = fg;
  if (typeof bg === "string" && bg.startsWith("#")) css["background-color"] = bg;
  return h("span", { class: classes || null, css }, text);
}

const SEQUENCE = /\x1b\[([0-9;:]*)m|\x1b\[[0-9;?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b[@-Z\\-_]|[\x00-\x08\x0b-\x1f\x7f]/g;

/** A line of a log as elements; gives the style that the next line begins with. Sequences that move the
    cursor and the like are left out. */
export function spans(line, style) {
  const parts = [];
  let at = 0;
  for (const match of line.matchAll(SEQUENCE)) {
    if (match.index > at) parts.push(styled(line.slice(at, match.index), style));
    if (match[1] !== undefined) style = sgr(style, match[1].split(/[;:]/).map(Number));
    at = match.index + match[0].length;
  }
  if (at < line.length) parts.push(styled(line.slice(at), style));
  return { parts, style };
}

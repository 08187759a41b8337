// A unified diff as elements: lines that came and went told apart by sign and by colour.

import { h } from "../widgets/dom.js";

const LINES = 400;

export function diffOf(text) {
  const lines = text.split("\n").filter((line) => !line.startsWith("---") && !line.startsWith("+++"));
  const shown = lines.slice(0, LINES).map((line) => h("span", { class: line.startsWith("+") ? "d-more" : line.startsWith("-") ? "d-less" : line.startsWith("@@") ? "d-at" : null }, `${line}\n`));
  return h("pre", { class: "diff lines", tabindex: "0", role: "region", "aria-label": "Difference" }, shown, lines.length > LINES ? `… ${lines.length - LINES} more lines` : null);
}

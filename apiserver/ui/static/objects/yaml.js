// An object as YAML, coloured, with what is long and seldom read folded away. Pure but for the elements.

import { h } from "../widgets/dom.js";

const FOLDED = new Set(["managedFields"]);
const PLAIN = /^[A-Za-z_/][\w./:@%+-]*( [\w./:@%+-]+)*$/;
const NOT_TEXT = /^(true|false|null|yes|no|on|off|y|n|~|[-+]?[\d.][\d.eE+:_-]*|\.inf|\.nan)$/i;

/** Elements that show it, for a <pre>. */
export function yamlOf(object) {
  return mapping(object, 0, true);
}

/** The same as text, to be copied. */
export const yamlText = (object) => h("pre", {}, yamlOf(object)).textContent;

function mapping(object, depth, isStart) {
  const keys = Object.keys(object);
  if (!keys.length) return [isStart ? "{}\n" : " {}\n"];
  return keys.flatMap((key, index) => [
    isStart && index === 0 ? "" : "  ".repeat(depth),
    h("span", { class: "y-key" }, scalarText(key)), ":",
    FOLDED.has(key) ? fold(object[key], depth) : value(object[key], depth, false),
  ]);
}

function fold(inside, depth) {
  return h("details", { class: "y-fold" }, h("summary", {}, ` … (${Array.isArray(inside) ? inside.length : 1})`), value(inside, depth, false));
}

function sequence(list, depth) {
  if (!list.length) return [" []\n"];
  const indent = "  ".repeat(depth);
  return ["\n", ...list.flatMap((item) => [`${indent}- `, isBranch(item) && !Array.isArray(item) && Object.keys(item).length ? mapping(item, depth + 1, true) : value(item, depth + 1, true)])];
}

const isBranch = (thing) => thing !== null && typeof thing === "object";

function value(thing, depth, isInList) {
  if (Array.isArray(thing)) return sequence(thing, depth + (isInList ? 1 : 0));
  if (isBranch(thing)) return Object.keys(thing).length ? ["\n", mapping(thing, depth + 1, false)] : [" {}\n"];
  const space = isInList ? "" : " ";
  if (typeof thing === "string") return [space, text(thing, depth), "\n"];
  return [space, h("span", { class: "y-number" }, String(thing)), "\n"];
}

function text(content, depth) {
  if (content.includes("\n") && !/[\x00-\x08\x0b-\x1f\x7f]/.test(content) && !/^\s/.test(content)) {
    const indent = "  ".repeat(depth + 1);
    const mark = content.endsWith("\n") ? (content.endsWith("\n\n") ? "|+" : "|") : "|-";
    const body = content.replace(/\n$/, "").split("\n").map((line) => (line ? indent + line : "")).join("\n");
    return h("span", { class: "y-text" }, `${mark}\n${body}`);
  }
  return h("span", { class: "y-text" }, scalarText(content));
}

function scalarText(content) {
  if (PLAIN.test(content) && !NOT_TEXT.test(content) && !content.endsWith(":") && !content.includes(": ")) return content;
  return JSON.stringify(content);
}

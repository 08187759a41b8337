// What a key sends to a terminal. Pure.

const NAMED = { Enter: "\r", Backspace: "\x7f", Tab: "\t", Escape: "\x1b", Home: "\x1b[H", End: "\x1b[F", Insert: "\x1b[2~", Delete: "\x1b[3~", PageUp: "\x1b[5~", PageDown: "\x1b[6~",
  F1: "\x1bOP", F2: "\x1bOQ", F3: "\x1bOR", F4: "\x1bOS", F5: "\x1b[15~", F6: "\x1b[17~", F7: "\x1b[18~", F8: "\x1b[19~", F9: "\x1b[20~", F10: "\x1b[21~", F11: "\x1b[23~", F12: "\x1b[24~" };
const ARROWS = { ArrowUp: "A", ArrowDown: "B", ArrowRight: "C", ArrowLeft: "D" };

/** The characters of a keydown; null: the browser shall have it (text comes as an input event). */
export function charactersOf(event, hasApplicationKeys) {
  if (event.isComposing || event.metaKey) return null;
  if (event.ctrlKey && event.shiftKey) return null; // copy, paste, leave
  if (ARROWS[event.key]) return event.ctrlKey ? `\x1b[1;5${ARROWS[event.key]}` : `\x1b${hasApplicationKeys ? "O" : "["}${ARROWS[event.key]}`;
  if (event.key === "Tab" && event.shiftKey) return "\x1b[Z";
  if (NAMED[event.key]) return (event.altKey ? "\x1b" : "") + NAMED[event.key];
  if (event.ctrlKey && event.key.length === 1) return controlOf(event.key);
  if (event.altKey && event.key.length === 1) return `\x1b${event.key}`;
  return null;
}

function controlOf(key) {
  if (key === " " || key === "@") return "\0";
  const code = key.toUpperCase().charCodeAt(0);
  return code >= 64 && code <= 95 ? String.fromCharCode(code - 64) : null;
}

// A terminal's screen: takes what a process writes and keeps rows of cells. It understands what sh, less,
// top and vi use of a VT100 and xterm. No elements in here; terminal.js shows it.

import { PLAIN, sgr } from "../pod/ansi.js";

const SCROLLBACK = 2000;
const LONGEST = 4096; // characters of a sequence; longer is not one
const WIDE = /[\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6\u{1f300}-\u{1f64f}\u{1f900}-\u{1f9ff}\u{20000}-\u{3fffd}]/u;
const JOINED = /[\u0300-\u036f\u200d\ufe0e\ufe0f]/;
const LINES = { j: "┘", k: "┐", l: "┌", m: "└", n: "┼", q: "─", t: "├", u: "┤", v: "┴", w: "┬", x: "│", a: "▒", "`": "◆", "~": "·" };

const blank = (style = PLAIN) => ({ text: " ", style: style.bg === null ? PLAIN : { ...PLAIN, bg: style.bg } });

export class Screen {
  /** reply(text): what the terminal itself answers. */
  constructor(columns, rows, reply) {
    Object.assign(this, { columns, rows, reply, history: [], other: null, title: "" });
    this.dirty = new Set();
    this.decoder = new TextDecoder();
    this.#reset();
  }

  #reset() {
    this.lines = Array.from({ length: this.rows }, () => this.#line());
    Object.assign(this, { x: 0, y: 0, style: PLAIN, top: 0, bottom: this.rows - 1, saved: { x: 0, y: 0, style: PLAIN }, wraps: true, isWrapDue: false });
    Object.assign(this, { hasCursor: true, hasApplicationKeys: false, bracketsPaste: false, drawsLines: false, state: "text", sequence: "" });
    this.#all();
  }

  #line(style) { return Array.from({ length: this.columns }, () => blank(style)); }
  #all() { for (let y = 0; y < this.rows; y++) this.dirty.add(y); }

  /** bytes as they come from the process */
  write(bytes) {
    for (const character of this.decoder.decode(bytes, { stream: true })) this.#take(character);
  }

  resize(columns, rows) {
    const fit = (line) => (line.length < columns ? [...line, ...Array.from({ length: columns - line.length }, () => blank())] : line.slice(0, columns));
    this.lines = this.lines.map(fit);
    while (this.lines.length > rows) { if (this.y > 0) { this.history.push(this.lines.shift()); this.y--; } else this.lines.pop(); }
    Object.assign(this, { columns, rows });
    while (this.lines.length < rows) this.lines.push(this.#line());
    Object.assign(this, { top: 0, bottom: rows - 1, x: Math.min(this.x, columns - 1), y: Math.min(this.y, rows - 1), isWrapDue: false });
    this.#all();
  }

  // ---- characters and sequences -----------------------------------------------------------------

  #take(character) {
    if (this.state === "text") { this.#text(character); return; }
    this.sequence += character;
    if (this.sequence.length > LONGEST) { this.state = "text"; return; }
    if (this.state === "escape") this.#escape(character);
    else if (this.state === "csi" && character >= "@" && character <= "~") { this.state = "text"; this.#control(this.sequence.slice(0, -1), character); }
    else if (this.state === "string" && (character === "\x07" || this.sequence.endsWith("\x1b\\"))) this.#string();
    else if (this.state === "charset") { this.drawsLines = character === "0"; this.state = "text"; }
  }

  #text(character) {
    this.dirty.add(this.y);
    switch (character) {
      case "\x1b": this.state = "escape"; this.sequence = ""; return;
      case "\n": case "\x0b": case "\x0c": this.#down(); return;
      case "\r": this.x = 0; this.isWrapDue = false; return;
      case "\b": this.x = Math.max(0, this.x - 1); this.isWrapDue = false; return;
      case "\t": this.x = Math.min(this.columns - 1, (this.x & ~7) + 8); return;
      default: if (character >= " " && character !== "\x7f") this.#put(character);
    }
  }

  #put(character) {
    if (JOINED.test(character)) { const before = this.lines[this.y][Math.max(0, this.x - 1)]; before.text += character; return; }
    const width = WIDE.test(character) ? 2 : 1;
    if (this.isWrapDue || this.x + width > this.columns) { if (this.wraps) { this.x = 0; this.#down(); } else this.x = this.columns - width; }
    this.isWrapDue = false;
    const line = this.lines[this.y];
    line[this.x] = { text: this.drawsLines ? LINES[character] ?? character : character, style: this.style };
    if (width === 2) line[this.x + 1] = { text: "", style: this.style };
    this.dirty.add(this.y);
    if (this.x + width >= this.columns) { this.isWrapDue = true; this.x = this.columns - 1; } else this.x += width;
  }

  #escape(character) {
    this.state = "text";
    switch (character) {
      case "[": this.state = "csi"; this.sequence = ""; break;
      case "]": case "P": case "_": case "^": this.state = "string"; this.sequence = ""; break;
      case "(": this.state = "charset"; break;
      case ")": case "*": case "+": case "#": case "%": this.state = "charset"; break;
      case "7": this.saved = { x: this.x, y: this.y, style: this.style }; break;
      case "8": this.#restore(); break;
      case "D": this.#down(); break;
      case "E": this.x = 0; this.#down(); break;
      case "M": this.#up(); break;
      case "c": this.#reset(); break;
      default: // =, > and others change nothing that is seen
    }
  }

  #string() {
    const match = /^[02];([^\x07\x1b]*)/.exec(this.sequence);
    if (match) this.title = match[1].slice(0, 120);
    this.state = "text";
  }

  #control(parameters, final) {
    const isPrivate = /^[?>=]/.test(parameters);
    const numbers = parameters.replace(/^[?>=]/, "").split(/[;:]/).map((text) => Number.parseInt(text, 10) || 0);
    const n = Math.max(1, numbers[0]);
    if (isPrivate) { if (final === "h" || final === "l") for (const mode of numbers) this.#mode(mode, final === "h"); return; }
    this.dirty.add(this.y);
    this.isWrapDue = false;
    switch (final) {
      case "A": this.#move(this.x, Math.max(this.y >= this.top ? this.top : 0, this.y - n)); break;
      case "B": case "e": this.#move(this.x, Math.min(this.y <= this.bottom ? this.bottom : this.rows - 1, this.y + n)); break;
      case "C": case "a": this.#move(this.x + n, this.y); break;
      case "D": this.#move(this.x - n, this.y); break;
      case "E": this.#move(0, this.y + n); break;
      case "F": this.#move(0, this.y - n); break;
      case "G": case "`": this.#move(n - 1, this.y); break;
      case "d": this.#move(this.x, n - 1); break;
      case "H": case "f": this.#move(Math.max(1, numbers[1] ?? 1) - 1, n - 1); break;
      case "J": this.#eraseScreen(numbers[0]); break;
      case "K": this.#eraseLine(numbers[0]); break;
      case "L": this.#shift(this.y, this.bottom, -n); break;
      case "M": this.#shift(this.y, this.bottom, n); break;
      case "S": this.#shift(this.top, this.bottom, n); break;
      case "T": this.#shift(this.top, this.bottom, -n); break;
      case "P": this.#inLine((line) => { line.splice(this.x, n); while (line.length < this.columns) line.push(blank(this.style)); }); break;
      case "@": this.#inLine((line) => { line.splice(this.x, 0, ...Array.from({ length: Math.min(n, this.columns) }, () => blank(this.style))); line.length = this.columns; }); break;
      case "X": this.#inLine((line) => { for (let x = this.x; x < Math.min(this.columns, this.x + n); x++) line[x] = blank(this.style); }); break;
      case "m": this.style = sgr(this.style, numbers); break;
      case "r": this.top = n - 1; this.bottom = Math.min(this.rows, numbers[1] || this.rows) - 1; if (this.top >= this.bottom) { this.top = 0; this.bottom = this.rows - 1; } this.#move(0, 0); break;
      case "s": this.saved = { x: this.x, y: this.y, style: this.style }; break;
      case "u": this.#restore(); break;
      case "n": if (numbers[0] === 6) this.reply(`\x1b[${this.y + 1};${this.x + 1}R`); else if (numbers[0] === 5) this.reply("\x1b[0n"); break;
      case "c": this.reply("\x1b[?6c"); break;
      default: // what it is for is not seen here
    }
  }

  #mode(mode, isOn) {
    if (mode === 1) this.hasApplicationKeys = isOn;
    if (mode === 7) this.wraps = isOn;
    if (mode === 25) { this.hasCursor = isOn; this.dirty.add(this.y); }
    if (mode === 2004) this.bracketsPaste = isOn;
    if (mode === 47 || mode === 1047 || mode === 1049) this.#alternate(isOn);
  }

  #alternate(isOn) {
    if (isOn === Boolean(this.other)) return;
    if (isOn) {
      this.other = { lines: this.lines, x: this.x, y: this.y, style: this.style };
      this.lines = Array.from({ length: this.rows }, () => this.#line());
      this.x = this.y = 0;
    } else {
      const { lines, x, y, style } = this.other;
      this.other = null;
      Object.assign(this, { lines, x, y, style });
      this.resize(this.columns, this.rows);
    }
    this.#all();
  }

  // ---- moving and erasing -----------------------------------------------------------------------

  #move(x, y) {
    this.dirty.add(this.y);
    this.x = Math.max(0, Math.min(this.columns - 1, x));
    this.y = Math.max(0, Math.min(this.rows - 1, y));
    this.dirty.add(this.y);
  }

  #restore() { this.style = this.saved.style; this.#move(this.saved.x, this.saved.y); }

  #down() {
    this.isWrapDue = false;
    if (this.y === this.bottom) this.#shift(this.top, this.bottom, 1);
    else if (this.y < this.rows - 1) this.y++;
    this.dirty.add(this.y);
  }

  #up() {
    if (this.y === this.top) this.#shift(this.top, this.bottom, -1);
    else this.#move(this.x, this.y - 1);
  }

  /** Lines from `top` to `bottom` go up by n (down when it is negative). */
  #shift(top, bottom, n) {
    for (let count = Math.min(Math.abs(n), bottom - top + 1); count > 0; count--) {
      if (n > 0) {
        const [gone] = this.lines.splice(top, 1);
        this.lines.splice(bottom, 0, this.#line(this.style));
        if (top === 0 && !this.other) { this.history.push(gone); if (this.history.length > SCROLLBACK) this.history.shift(); }
      } else {
        this.lines.splice(bottom, 1);
        this.lines.splice(top, 0, this.#line(this.style));
      }
    }
    for (let y = top; y <= bottom; y++) this.dirty.add(y);
  }

  #eraseScreen(which) {
    this.#eraseLine(which);
    const [from, to] = which === 0 ? [this.y + 1, this.rows] : which === 1 ? [0, this.y] : [0, this.rows];
    for (let y = from; y < to; y++) { this.lines[y] = this.#line(this.style); this.dirty.add(y); }
    if (which === 3) this.history = [];
  }

  #eraseLine(which) {
    const [from, to] = which === 0 ? [this.x, this.columns] : which === 1 ? [0, this.x + 1] : [0, this.columns];
    this.#inLine((line) => { for (let x = from; x < to; x++) line[x] = blank(this.style); });
  }

  #inLine(change) { change(this.lines[this.y]); this.dirty.add(this.y); }
}

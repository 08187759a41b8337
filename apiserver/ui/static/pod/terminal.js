// The tab "Terminal": a shell inside a container. What is typed goes to it as soon as the field has the
// focus; Ctrl+Shift+Escape gives the keys back to the page.

import { h, put, oncePerFrame } from "../widgets/dom.js";
import { note } from "../widgets/parts.js";
import { session } from "../api/session.js";
import { containerChoice } from "../pod/containers.js";
import { ExecSocket } from "../pod/exec_socket.js";
import { charactersOf } from "../pod/keys.js";
import { styled } from "../pod/ansi.js";
import { Screen } from "../pod/screen.js";

const SHELL = ["sh", "-c", "TERM=xterm-256color; export TERM; command -v bash >/dev/null 2>&1 && exec bash; exec sh"];
const HELPERS = [["Esc", "\x1b"], ["Tab", "\t"], ["Ctrl C", "\x03"], ["Ctrl D", "\x04"], ["↑", "\x1b[A"], ["↓", "\x1b[B"]];

export function openTerminal(panel, subject) {
  const view = new Terminal(panel, subject);
  session().then(({ mayWrite }) => {
    if (view.isClosed) return;
    if (mayWrite) view.start();
    else put(panel, note("This session may only read. A terminal needs one that may write: ask for a new link with `podium ui` and open it in this browser."));
  });
  return () => view.close();
}

class Terminal {
  constructor(panel, subject) {
    Object.assign(this, { panel, subject });
    this.draw = oncePerFrame(() => this.#draw());
  }

  start() {
    this.container = containerChoice(this.subject.object, () => this.#connect());
    this.state = h("span", { class: "soft", role: "status" });
    this.again = h("button", { class: "button", type: "button", hidden: true, on: { click: () => this.#connect() } }, "Open again");
    this.before = h("div", { class: "term-history" });
    this.live = h("div");
    this.field = h("textarea", {
      class: "term-field", "aria-label": "Terminal. Keys go to the container; Ctrl+Shift+Escape leaves.", autocapitalize: "off", autocomplete: "off", autocorrect: "off", spellcheck: "false", "data-takes-keys": true,
    });
    this.probe = h("span", { class: "term-probe", "aria-hidden": "true" }, "M".repeat(50));
    this.screenPlace = h("div", { class: "term", on: { click: () => { if (!String(getSelection())) this.field.focus(); } } }, this.before, this.live, this.field, this.probe);
    put(this.panel,
      h("div", { class: "toolbar" }, this.container.element, this.state, this.again, h("span", { class: "term-helpers" }, HELPERS.map(([name, keys]) => h("button", { class: "button", type: "button", on: { click: () => { this.socket?.send(keys); this.field.focus(); } } }, name)))),
      this.screenPlace);
    this.#listen();
    this.resizes = new ResizeObserver(() => this.#fit());
    this.resizes.observe(this.screenPlace);
    this.#connect();
  }

  close() {
    this.isClosed = true;
    this.resizes?.disconnect();
    this.socket?.close();
  }

  #connect() {
    this.socket?.close();
    const [columns, rows] = this.#size();
    const screen = this.screen = new Screen(columns, rows, (text) => socket.send(text));
    put(this.before);
    put(this.live, Array.from({ length: rows }, () => h("div", { class: "term-row" })));
    this.drawnHistory = 0;
    this.state.textContent = "opening …";
    this.again.hidden = true;
    const socket = this.socket = new ExecSocket(this.subject.path, this.container.value, SHELL, {
      open: () => { this.state.textContent = "open"; socket.resize(screen.columns, screen.rows); this.field.focus({ preventScroll: true }); },
      output: (bytes) => { if (this.socket === socket) { screen.write(bytes); this.draw(); } },
      end: (says) => { if (this.socket === socket && !this.isClosed) { this.state.textContent = says; this.again.hidden = false; } },
    });
    this.draw();
  }

  // ---- keys -------------------------------------------------------------------------------------

  #listen() {
    this.field.addEventListener("keydown", (event) => {
      if (event.key === "Escape" && event.ctrlKey && event.shiftKey) { this.field.blur(); document.querySelector("[role=tab][aria-selected=true]")?.focus(); return; }
      const characters = charactersOf(event, this.screen.hasApplicationKeys);
      event.stopPropagation();
      if (characters === null) return;
      event.preventDefault();
      this.socket.send(characters);
    });
    this.field.addEventListener("input", (event) => {
      if (event.isComposing) return;
      this.socket.send(this.field.value.replaceAll("\n", "\r"));
      this.field.value = "";
    });
    this.field.addEventListener("paste", (event) => {
      event.preventDefault();
      const text = event.clipboardData.getData("text").replaceAll(/\r?\n/g, "\r").replaceAll("\x1b", "");
      this.socket.send(this.screen.bracketsPaste ? `\x1b[200~${text}\x1b[201~` : text);
    });
    for (const name of ["focus", "blur"]) this.field.addEventListener(name, () => { this.screenPlace.classList.toggle("focused", name === "focus"); });
  }

  // ---- drawing ----------------------------------------------------------------------------------

  #size() {
    const width = this.probe.getBoundingClientRect().width / 50;
    const style = getComputedStyle(this.screenPlace);
    const inside = this.screenPlace.clientWidth - Number.parseFloat(style.paddingLeft) * 2;
    const rows = Math.floor((this.screenPlace.clientHeight - Number.parseFloat(style.paddingTop) * 2) / this.probe.getBoundingClientRect().height);
    return [Math.max(20, Math.floor(inside / width) || 80), Math.max(6, rows || 24)];
  }

  #fit() {
    if (!this.screen || !this.screenPlace.clientWidth) return;
    const [columns, rows] = this.#size();
    if (columns === this.screen.columns && rows === this.screen.rows) return;
    this.screen.resize(columns, rows);
    put(this.live, Array.from({ length: rows }, () => h("div", { class: "term-row" })));
    this.socket?.resize(columns, rows);
    this.draw();
  }

  #draw() {
    const { screen } = this;
    const isAtEnd = this.screenPlace.scrollTop + this.screenPlace.clientHeight > this.screenPlace.scrollHeight - 40;
    if (screen.history.length < this.drawnHistory) { put(this.before); this.drawnHistory = 0; }
    for (const line of screen.history.slice(this.drawnHistory)) this.before.append(h("div", { class: "term-row" }, this.#cells(line, -1)));
    this.drawnHistory = screen.history.length;
    for (const y of screen.dirty) {
      const row = this.live.children[y];
      if (row) put(row, this.#cells(screen.lines[y], y === screen.y && screen.hasCursor ? screen.x : -1));
    }
    screen.dirty.clear();
    screen.dirty.add(screen.y);
    if (isAtEnd) this.screenPlace.scrollTop = this.screenPlace.scrollHeight;
  }

  /** A row as few elements: neighbours of one style together, the cursor apart. */
  #cells(line, cursor) {
    const parts = [];
    let text = "";
    let style = line[0]?.style;
    const finish = () => { if (text) parts.push(styled(text, style)); text = ""; };
    line.forEach((cell, x) => {
      if (x === cursor) { finish(); parts.push(h("span", { class: "term-cursor" }, cell.text || " ")); style = line[x + 1]?.style ?? style; return; }
      if (cell.style !== style) { finish(); style = cell.style; }
      text += cell.text;
    });
    finish();
    return parts;
  }
}

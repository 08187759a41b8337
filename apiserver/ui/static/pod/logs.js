// The tab "Logs": what a container has written, and what it writes. Lines are text, colours are kept.

import { h, put, oncePerFrame } from "../widgets/dom.js";
import { note, problem } from "../widgets/parts.js";
import { clock } from "../widgets/units.js";
import { lines, request } from "../api/client.js";
import { pause } from "../api/watch.js";
import { PLAIN, spans } from "../pod/ansi.js";
import { containerChoice } from "../pod/containers.js";

const FIRST = 1000; // lines of what was written before
const KEPT = 5000;
const AT_ONCE = 800; // lines put in a frame
const LONGEST = 20_000; // characters shown of one line
const AGAIN_MS = 1000;
const SILENT_MS = 600; // without a line, and it says that there is none

export function openLogs(panel, subject) {
  const view = new Logs(panel, subject);
  view.start();
  return () => view.close();
}

class Logs {
  constructor(panel, subject) {
    Object.assign(this, { panel, subject, waiting: [], style: PLAIN, last: "", isAtEnd: true, words: "" });
    this.flush = oncePerFrame(() => this.#flush());
  }

  start() {
    this.container = containerChoice(this.subject.object, () => this.#restart());
    this.previous = h("input", { type: "checkbox", on: { change: () => this.#restart() } });
    this.times = h("input", { type: "checkbox", on: { change: () => this.list.classList.toggle("with-times", this.times.checked) } });
    this.wrap = h("input", { type: "checkbox", checked: true, on: { change: () => this.list.classList.toggle("unwrapped", !this.wrap.checked) } });
    const search = h("input", { class: "text-field", type: "search", placeholder: "Lines with …", "aria-label": "Show only lines with" });
    search.addEventListener("input", () => { this.words = search.value.toLowerCase(); for (const line of this.list.children) this.#match(line); });
    this.state = h("span", { class: "soft", role: "status" });
    this.notice = h("div");
    this.list = h("div", { class: "log", tabindex: "0", role: "log", "aria-label": `Log of ${this.subject.name}`, "aria-live": "off" });
    this.list.addEventListener("scroll", () => { this.isAtEnd = this.list.scrollTop + this.list.clientHeight > this.list.scrollHeight - 24; }, { passive: true });
    put(this.panel,
      h("div", { class: "toolbar" }, this.container.element, search, h("label", {}, this.times, "Times"), h("label", {}, this.wrap, "Wrap"), h("label", {}, this.previous, "Of the run before"), this.state),
      this.notice, this.list);
    this.#restart();
  }

  close() { this.reading?.abort(); }

  #restart() {
    this.reading?.abort();
    this.reading = new AbortController();
    Object.assign(this, { waiting: [], style: PLAIN, last: "", isAtEnd: true });
    put(this.list);
    put(this.notice);
    this.#follow(this.reading.signal);
  }

  async #follow(signal) {
    while (!signal.aborted) {
      try {
        await this.#read(signal);
        if (signal.aborted) return;
        this.state.textContent = "ended";
        if (this.previous.checked || this.subject.isGone) { this.#teach(); return; }
      } catch (error) {
        if (signal.aborted || error.name === "AbortError") return;
        this.state.textContent = "not following";
        put(this.notice, this.subject.isGone ? note("The Pod is gone; this is what was read of its log.") : problem("The log cannot be read", error.message));
        if (error.code === 404 || (this.previous.checked && error.code === 400)) return;
      }
      this.#teach();
      await pause(AGAIN_MS, signal);
    }
  }

  async #read(signal) {
    const query = new URLSearchParams({ container: this.container.value, timestamps: "true" });
    if (this.previous.checked) query.set("previous", "true");
    else query.set("follow", "true");
    if (this.last) query.set("sinceTime", this.last.replace(/\.\d+/, ""));
    else query.set("tailLines", FIRST);
    const answer = await request(`${this.subject.path}/log?${query}`, { signal });
    put(this.notice);
    this.state.textContent = this.previous.checked ? "" : "following";
    const before = this.last;
    setTimeout(() => { if (!signal.aborted) this.#teach(); }, SILENT_MS);
    for await (const line of lines(answer, signal)) {
      const space = line.indexOf(" ");
      const [time, text] = space > 0 ? [line.slice(0, space), line.slice(space + 1)] : ["", line];
      if (before && time <= before) continue; // read before the connection broke
      this.last = time;
      this.waiting.push([time, text]);
      this.flush();
    }
  }

  #flush() {
    const stays = this.isAtEnd;
    const fragment = document.createDocumentFragment();
    if (this.waiting.length > KEPT) this.waiting.splice(0, this.waiting.length - KEPT);
    for (const [time, text] of this.waiting.splice(0, AT_ONCE)) fragment.append(this.#line(time, text));
    if (fragment.firstChild && this.notice.firstChild) put(this.notice);
    this.list.append(fragment);
    while (this.list.childElementCount > KEPT) this.list.firstChild.remove();
    if (stays) this.list.scrollTop = this.list.scrollHeight;
    if (this.waiting.length) this.flush();
  }

  #line(time, text) {
    const shown = text.length > LONGEST ? `${text.slice(0, LONGEST)}… (${text.length} characters)` : text;
    const { parts, style } = spans(shown, this.style);
    this.style = style;
    const line = h("div", { class: "log-line" }, h("time", { datetime: time }, clock(time)), h("span", {}, parts.length ? parts : " "));
    this.#match(line);
    return line;
  }

  #match(line) { line.hidden = Boolean(this.words) && !line.lastChild.textContent.toLowerCase().includes(this.words); }

  #teach() {
    if (!this.list.childElementCount && !this.waiting.length && !this.notice.firstChild) put(this.notice, note("Nothing has been written yet. What a container writes to its standard output and error shows up here at once."));
  }
}

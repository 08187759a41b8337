// Parts that many views need: badges, empty states, problems, messages, questions.

import { h, announce, put } from "./dom.js";

export const badge = (text, tone) => h("span", { class: "badge", "data-tone": tone ?? toneOf(text) }, text);

const GOOD = new Set(["Running", "Ready", "Bound", "Active", "Available", "True"]);
const IDLE = new Set(["Completed", "Ended", "Succeeded", "Released", "False", "Normal"]);
const WARN = new Set(["Pending", "ContainerCreating", "PodInitializing", "Terminating", "NotReady", "SchedulingGated", "SchedulingDisabled", "Unknown"]);

/** The tone of a status word; a word that nobody knows is a trouble's. */
export function toneOf(word) {
  if (GOOD.has(word)) return "good";
  if (IDLE.has(word) || !word) return "idle";
  if (WARN.has(word) || /^Init:\d/.test(word)) return "warn";
  return "bad";
}

/** Nothing is here yet: say what would bring something. */
export const empty = (title, says, command) =>
  h("div", { class: "empty" }, h("strong", {}, title), says && h("p", {}, says), command && h("pre", { tabindex: "0" }, h("code", {}, command)));

/** What went wrong, and what one can do about it. */
export const problem = (title, says, ...actions) =>
  h("div", { class: "problem", role: "alert" }, h("strong", {}, title), says && h("p", {}, says), actions.length ? h("p", {}, actions) : null);

export const note = (...says) => h("p", { class: "note" }, says);

export const loading = (what) => h("div", { class: "loading", role: "status" }, `Loading ${what} …`);

export const chips = (pairs) =>
  h("div", { class: "chips" }, Object.entries(pairs ?? {}).map(([key, value]) => h("span", { class: "chip" }, value === "" ? key : `${key}=${value}`)));

export const facts = (pairs) =>
  h("dl", { class: "facts" }, pairs.filter(([, value]) => value !== null && value !== undefined && value !== "").map(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]));

export const card = (title, ...body) => h("section", { class: "card" }, h("h2", {}, title), h("div", { class: "body" }, body));

const TOAST_MS = 6000;

export function toast(text, tone = "good") {
  const message = h("div", { class: "toast", "data-tone": tone, role: tone === "bad" ? "alert" : "status" }, text);
  document.getElementById("toasts").append(message);
  setTimeout(() => message.remove(), tone === "bad" ? TOAST_MS * 2 : TOAST_MS);
}

/** A button that puts what `text()` gives into the clipboard. */
export function copyButton(text) {
  const copied = () => navigator.clipboard.writeText(text()).then(() => toast("Copied"), () => toast("The browser did not allow it", "bad"));
  return h("button", { class: "button", type: "button", on: { click: copied } }, "Copy");
}

/** A modal dialog; resolves with what was entered (a FormData), or null when it was left. */
export function ask({ title, says, fields = [], confirm = "OK", tone = "primary" }) {
  return new Promise((resolve) => {
    const before = document.activeElement;
    const problemPlace = h("div");
    const form = h("form", { method: "dialog" },
      h("h2", { id: "ask-title" }, title),
      [says].flat().filter(Boolean).map((text) => (text instanceof Node ? text : h("p", {}, text))),
      fields, problemPlace,
      h("div", { class: "buttons" },
        h("button", { class: "button", type: "button", on: { click: () => dialog.close() } }, "Cancel"),
        h("button", { class: tone === "danger" ? "button solid" : "button", "data-tone": tone, type: "submit", value: "yes" }, confirm)));
    const dialog = h("dialog", { "aria-labelledby": "ask-title" }, form);
    let answer = null;
    form.addEventListener("submit", () => { answer = new FormData(form); });
    dialog.addEventListener("close", () => { dialog.remove(); before?.focus?.(); resolve(answer); });
    document.body.append(dialog);
    dialog.showModal();
    if (tone === "danger" && !fields.length) form.querySelector("button").focus(); // Enter alone destroys nothing
  });
}

/** Draw what a promise gives; a view that has been left meanwhile draws nothing. */
export async function fillWith(place, what, promise, draw) {
  put(place, loading(what));
  try {
    const found = await promise;
    if (place.isConnected) put(place, draw(found));
    return found;
  } catch (error) {
    if (place.isConnected && error.name !== "AbortError") put(place, problem(`Cannot show ${what}`, error.message));
    announce(`Cannot show ${what}`);
    return null;
  }
}

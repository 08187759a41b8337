// Whether what is shown is live, and what to do when the session has ended.

import { h } from "../widgets/dom.js";

const SAYS = { live: "live", lost: "reconnecting", paused: "paused" };

export function connection(state) {
  const place = document.getElementById("connection");
  if (place.dataset.state === state) return;
  place.dataset.state = state;
  document.body.dataset.connection = state;
  place.textContent = SAYS[state];
}

export function startSessionWatch() {
  document.addEventListener("podium:logged-out", () => {
    if (document.getElementById("logged-out")) return;
    const dialog = h("dialog", { id: "logged-out", "aria-labelledby": "logged-out-title" }, h("form", { method: "dialog" },
      h("h2", { id: "logged-out-title" }, "This session has ended"),
      h("p", {}, "On the machine that runs the cluster, as its owner, ask for a new link:"),
      h("pre", {}, h("code", {}, "podium ui")),
      h("div", { class: "buttons" }, h("button", { class: "button" }, "Keep what is shown"))));
    dialog.addEventListener("close", () => dialog.remove());
    document.body.append(dialog);
    dialog.showModal();
  });
}

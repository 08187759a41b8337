// Light, dark, or as the system has it.

import { put, announce } from "../widgets/dom.js";
import { icon } from "../widgets/icons.js";

const ORDER = ["auto", "light", "dark"];
const ICONS = { auto: "auto", light: "sun", dark: "moon" };
const SAYS = { auto: "as the system", light: "light", dark: "dark" };

let chosen = document.documentElement.dataset.theme ?? "auto";

export function startTheme() {
  const button = document.getElementById("theme");
  const draw = () => {
    put(button, icon(ICONS[chosen]));
    button.setAttribute("aria-label", `Colours: ${SAYS[chosen]}`);
    button.title = `Colours: ${SAYS[chosen]}`;
  };
  button.addEventListener("click", () => {
    chosen = ORDER[(ORDER.indexOf(chosen) + 1) % ORDER.length];
    if (chosen === "auto") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = chosen;
    try { localStorage.setItem("podium.theme", chosen); } catch { /* it holds for this visit */ }
    draw();
    announce(button.title);
    document.dispatchEvent(new CustomEvent("podium:theme"));
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => document.dispatchEvent(new CustomEvent("podium:theme")));
  draw();
}

/** The values of colour tokens now, for what is drawn on a canvas: colours(["ink"]).ink → "rgb(…)". */
export function colours(names) {
  const probe = document.createElement("span");
  probe.hidden = true;
  document.body.append(probe);
  const found = {};
  for (const name of names) {
    probe.style.color = `var(--${name})`;
    found[name] = getComputedStyle(probe).color;
  }
  probe.remove();
  return found;
}

// Tabs as ARIA has them: one stop for the Tab key, arrows move between them, Home and End too.

import { h, put } from "./dom.js";

/**
 * tabs: [{ id, title, open(panel) → close() or nothing }]. `chosen` is shown first; `onChoose(id)` is
 * told of every other one.
 */
export function tabs(label, list, chosen, onChoose) {
  const panel = h("div", { role: "tabpanel", id: "panel", tabindex: "-1" });
  const buttons = list.map(({ id, title }) =>
    h("button", { role: "tab", type: "button", id: `tab-${id}`, "data-id": id, "aria-controls": "panel", on: { click: () => choose(id) } }, title));
  const strip = h("div", { class: "tabs", role: "tablist", "aria-label": label }, buttons);
  let current = null;
  let close = null;

  strip.addEventListener("keydown", (event) => {
    const at = buttons.findIndex((button) => button.dataset.id === current);
    const step = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: buttons.length - 1 }[event.key];
    if (step === undefined) return;
    event.preventDefault();
    const next = buttons[(step + buttons.length) % buttons.length];
    choose(next.dataset.id);
    next.focus();
  });

  function choose(id, isFirst = false) {
    if (id === current) return;
    const tab = list.find((one) => one.id === id) ?? list[0];
    current = tab.id;
    for (const button of buttons) {
      const isChosen = button.dataset.id === current;
      button.setAttribute("aria-selected", isChosen);
      button.tabIndex = isChosen ? 0 : -1;
      if (isChosen) { panel.setAttribute("aria-labelledby", button.id); button.scrollIntoView?.({ block: "nearest", inline: "nearest" }); }
    }
    close?.();
    put(panel);
    close = tab.open(panel) ?? null;
    if (!isFirst) onChoose(current);
  }

  return {
    element: h("div", {}, strip, panel),
    start: () => choose(chosen ?? list[0].id, true),
    close: () => close?.(),
  };
}

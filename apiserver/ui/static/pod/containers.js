// The containers of a Pod, to choose one from.

import { h } from "../widgets/dom.js";

export function containerNames({ spec }) {
  return [...(spec.containers ?? []), ...(spec.initContainers ?? []), ...(spec.ephemeralContainers ?? [])].map((one) => one.name);
}

/** A labelled choice; hidden when there is only one. */
export function containerChoice(object, onChange) {
  const names = containerNames(object);
  const select = h("select", { on: { change: () => onChange(select.value) } }, names.map((name) => h("option", { value: name }, name)));
  return { element: h("label", { hidden: names.length < 2 }, "Container", select), get value() { return select.value; } };
}

// Kinds that the page itself can make: a button above their list.

import { h } from "../widgets/dom.js";
import { ask } from "../widgets/parts.js";
import { world } from "../world/world.js";

// Fault types, and what each is asked for.
const FAULTS = {
  Kill: ["kill -9 a component, once", ["target"]],
  CutOff: ["cut a node off from the API server", ["target", "seconds"]],
  DropWatch: ["break the components' watches, of a resource or of all", ["target", "seconds"]],
  DelayWatch: ["tell them of changes later", ["target", "seconds", "delayMilliseconds"]],
  SlowStore: ["make every commit slower", ["seconds", "delayMilliseconds"]],
  SlowDisk: ["slow a node's disk for its containers", ["target", "seconds", "bytesPerSecond", "operationsPerSecond"]],
  FillMemory: ["hold much of the machine's memory", ["seconds", "memory"]],
};
const NUMBERS = new Set(["seconds", "delayMilliseconds", "operationsPerSecond"]);

/** key → [button, ask() → the object to POST, or null, whether only a cluster of --lab takes it] */
export const MAKERS = {
  "faults.debug.podium.dev": ["Break something", askForFault, true],
};

async function askForFault() {
  const field = (name, label, attributes) => h("label", { "data-field": name }, label, h("input", { class: "text-field", name, autocomplete: "off", spellcheck: "false", ...attributes }));
  const choice = h("select", { name: "type" }, Object.entries(FAULTS).map(([type, [says]]) => h("option", { value: type }, `${type}: ${says}`)));
  const show = () => { for (const label of choice.form.querySelectorAll("[data-field]")) label.hidden = !FAULTS[choice.value][1].includes(label.dataset.field); };
  choice.addEventListener("change", show);
  queueMicrotask(show);
  const answer = await ask({
    title: "Break something",
    says: ["Predict what will follow; then look whether it does. It ends by itself, or when you delete the fault."],
    fields: [
      h("label", {}, "What", choice),
      field("target", "Target", { placeholder: "a component, a node or a resource", list: "fault-targets" }),
      h("datalist", { id: "fault-targets" }, ["apiserver", "controllers", "kubelet", "launcher", ...[...world.nodes.values()].map((node) => node.name), "pods", "nodes"].map((value) => h("option", { value }))),
      field("seconds", "For so many seconds", { type: "number", min: "1", max: "600", value: "30" }),
      field("delayMilliseconds", "Delay in milliseconds", { type: "number", min: "1", max: "10000", value: "500" }),
      field("bytesPerSecond", "Bytes a second", { value: "1Mi" }),
      field("operationsPerSecond", "Operations a second", { type: "number", min: "1", placeholder: "no limit" }),
      field("memory", "Memory", { value: "512Mi" }),
    ],
    confirm: "Break it", tone: "danger",
  });
  if (!answer) return null;
  const text = (name) => String(answer.get(name) ?? "").trim();
  const type = text("type");
  const given = FAULTS[type][1].filter((name) => text(name)).map((name) => [name, NUMBERS.has(name) ? Number(text(name)) : text(name)]);
  const spec = { type, ...Object.fromEntries(given) };
  return { metadata: { generateName: `${type.replaceAll(/([a-z])([A-Z])/g, "$1-$2").toLowerCase()}-` }, spec };
}

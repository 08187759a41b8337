// The dialog that sets a breakpoint.

import { h } from "../widgets/dom.js";
import { ask } from "../widgets/parts.js";
import { scope } from "../shell/scope.js";
import { world } from "../world/world.js";

// The loops that there are; the server refuses others by name. Kubelets come from the nodes.
const LOOPS = ["deployment", "replicaset", "scheduler", "garbage-collector", "namespace", "node-lifecycle", "pod-garbage-collector", "service-account", "taint-eviction", "persistentvolume-binder", "local-path-provisioner", "volume-protection", "ephemeral-volume"];

/** { metadata, spec }, or null when it was left. */
export async function askForBreakpoint() {
  const nodes = [...world.nodes.values()].map((node) => `kubelet/${node.name}`).sort();
  const field = (name, label, attributes = {}) => h("label", {}, label, h("input", { class: "text-field", name, autocomplete: "off", spellcheck: "false", ...attributes }));
  const answer = await ask({
    title: "New breakpoint",
    says: "The loop stops before its next write to what you name, and goes on by itself after five minutes.",
    fields: [
      h("label", {}, "Loop", h("select", { name: "controller" }, [...LOOPS, ...nodes].map((name) => h("option", { value: name }, name)))),
      field("namespace", "Namespace (all, if empty)", { value: scope() }),
      field("name", "Object's name (any, if empty)"),
      field("condition", "Only if", { placeholder: 'write.verb == "delete"' }),
    ],
    confirm: "Set",
  });
  if (!answer) return null;
  const controller = answer.get("controller");
  const text = (name) => String(answer.get(name) ?? "").trim();
  const selector = Object.fromEntries(["namespace", "name"].map((name) => [name, text(name)]).filter(([, value]) => value));
  const name = `${[controller, text("name")].filter(Boolean).join("-").toLowerCase().replaceAll(/[^a-z0-9.-]+/g, "-")}-${Math.random().toString(36).slice(2, 6)}`;
  return { metadata: { name }, spec: { controller, ...(Object.keys(selector).length && { selector }), ...(text("condition") && { condition: text("condition") }) } };
}

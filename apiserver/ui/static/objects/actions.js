// What one can do to an object from here: buttons, each asking before it destroys anything. They are there
// only where the session may write.

import { h, put } from "../widgets/dom.js";
import { ask, toast } from "../widgets/parts.js";
import { send } from "../api/client.js";
import { session } from "../api/session.js";

/** An element that fills itself when it is known whether this session may write. */
export function actionsOf(subject) {
  const place = h("span", { class: "buttons-row" });
  session().then(({ mayWrite }) => {
    if (!mayWrite) { put(place, h("span", { class: "soft", title: "Log in anew with `podium ui` to change things" }, "read only")); return; }
    put(place, (OF_KIND[subject.kind.key] ?? []).map((make) => make(subject)), subject.kind.verbs.includes("delete") && remove(subject));
    const forget = subject.onChange(() => { if (subject.isGone) { put(place); forget(); } });
  });
  return place;
}

const button = (text, run, tone) => h("button", { class: "button", "data-tone": tone, type: "button", on: { click: run } }, text);

async function tried(what, request) {
  try {
    await request();
    toast(what);
  } catch (error) {
    toast(error.message, "bad");
  }
}

const OF_KIND = {
  "deployments.apps": [scale, restart],
  "replicasets.apps": [scale],
  nodes: [cordon],
};

function scale(subject) {
  return button("Scale", async () => {
    const field = h("input", { class: "text-field", type: "number", name: "replicas", min: "0", max: "100000", required: true, value: String(subject.object.spec.replicas ?? 1) });
    const answer = await ask({ title: `Scale ${subject.name}`, fields: h("label", {}, "Replicas", field), confirm: "Scale" });
    if (!answer) return;
    const replicas = Number(answer.get("replicas"));
    if (replicas === 0 && !(await ask({ title: `Scale ${subject.name} to nothing?`, says: "All of its Pods will end.", confirm: "Scale to 0", tone: "danger" }))) return;
    tried(`${subject.name} is to have ${replicas}`, () => send("PATCH", `${subject.path}/scale`, { spec: { replicas } }, "merge"));
  });
}

function restart(subject) {
  return button("Restart", async () => {
    if (!(await ask({ title: `Restart ${subject.name}?`, says: "Every Pod is replaced, in the steps of its strategy.", confirm: "Restart" }))) return;
    const annotations = { "kubectl.kubernetes.io/restartedAt": new Date().toISOString() };
    tried(`${subject.name} is restarting`, () => send("PATCH", subject.path, { spec: { template: { metadata: { annotations } } } }, "strategic-merge"));
  });
}

function cordon(subject) {
  const toggle = button("", () => {
    const unschedulable = !subject.object.spec?.unschedulable;
    tried(unschedulable ? `${subject.name} takes no new Pods` : `${subject.name} takes Pods again`, () => send("PATCH", subject.path, { spec: { unschedulable: unschedulable || null } }, "merge"));
  });
  const draw = () => { toggle.textContent = subject.object.spec?.unschedulable ? "Uncordon" : "Cordon"; };
  subject.onChange(draw);
  draw();
  return toggle;
}

const GOES_WITH = {
  "deployments.apps": "Its ReplicaSets and Pods go with it.",
  "replicasets.apps": "Its Pods go with it. A Deployment that owns it will make it anew.",
  namespaces: "Everything in it goes with it.",
  "faults.debug.podium.dev": "If it has not ended, it ends now.",
  nodes: "Its Pods are forgotten; a kubelet that still runs makes the Node anew.",
  pods: "Its containers end. A ReplicaSet that owns it will make another.",
};
const TYPED = new Set(["namespaces", "nodes"]);

function remove(subject) {
  return button("Delete", async () => {
    const field = h("input", { class: "text-field", name: "name", required: true, pattern: subject.name.replaceAll(".", "\\."), autocomplete: "off" });
    const answer = await ask({
      title: `Delete ${subject.kind.kind} ${subject.name}?`,
      says: [GOES_WITH[subject.kind.key] ?? "It cannot be undone here."],
      fields: TYPED.has(subject.kind.key) ? h("label", {}, `Type ${subject.name} to be sure`, field) : [],
      confirm: "Delete", tone: "danger",
    });
    if (answer) tried(`${subject.name} is being deleted`, () => send("DELETE", subject.path, { apiVersion: "v1", kind: "DeleteOptions", propagationPolicy: "Background", preconditions: { uid: subject.object.metadata.uid } }));
  }, "danger");
}

// The tab "Rollout" of a Deployment: its own picture, old and new ReplicaSet side by side, and how many of
// each were ready over the last minutes.

import { h, oncePerFrame, put } from "../widgets/dom.js";
import { card } from "../widgets/parts.js";
import { go, objectUrl } from "../shell/router.js";
import { world } from "../world/world.js";
import { legend } from "../cluster/legend.js";
import { Picture } from "../cluster/picture.js";
import { followUsage } from "../cluster/usage.js";
import { ShareChart } from "../workload/share_chart.js";

export function openRollout(panel, subject) {
  const { uid } = subject.object.metadata;
  const picture = new Picture({ choose: () => {}, open: ({ kind, record }) => go(objectUrl(kind, record.ns, record.name)) }, `The rollout of ${subject.name}: ReplicaSets and their Pods`);
  const key = legend();
  const bars = h("div", { class: "revisions" });
  const chart = new ShareChart();
  const says = h("p", { class: "rollout-says", role: "status" });
  put(panel,
    says,
    h("div", { class: "rollout" },
      h("section", { class: "scene", "aria-label": "Picture" }, picture.element, key.element),
      h("div", { class: "rollout-side" }, card("Revisions", bars), card("Ready over time", chart.element))));

  const draw = oncePerFrame(() => {
    const deployment = world.deployments.get(uid);
    const sets = [...world.replicasets.values()].filter((set) => set.owner === uid);
    const mine = new Set(sets.map((set) => set.uid));
    const pods = [...world.pods.values()].filter((pod) => mine.has(pod.owner));
    const hosts = new Set(pods.map((pod) => pod.node));
    const nodes = [...world.nodes.values()].filter((node) => hosts.has(node.name) || world.nodes.size <= 4);
    picture.show({ nodes, deployments: deployment ? [deployment] : [], replicasets: sets, pods });
    drawBars(bars, sets);
    says.textContent = sentence(deployment);
  });
  const sample = () => chart.add(Date.now(), revisions([...world.replicasets.values()].filter((set) => set.owner === uid)));
  const endings = [world.watch(draw), world.watch(sample), key.close, () => picture.close()];
  const beat = setInterval(sample, 1000);
  const stop = new AbortController();
  followUsage((usage) => picture.measured(usage), stop.signal);
  return () => { clearInterval(beat); stop.abort(); endings.forEach((end) => end()); };
}

const revisions = (sets) => sets.filter((set) => set.replicas || set.current || set.ready).sort((a, b) => Number(a.revision) - Number(b.revision)).map((set) => ({ id: set.uid, name: `revision ${set.revision}`, value: set.ready }));

function sentence(deployment) {
  if (!deployment) return "The Deployment is gone.";
  const { replicas, updated, available, paused } = deployment;
  if (paused) return "The rollout is paused.";
  if (updated < replicas) return `${updated} of ${replicas} Pods are of the new revision …`;
  if (available < replicas) return `All are of the new revision; ${available} of ${replicas} are available …`;
  return `Rolled out: ${replicas} of ${replicas} Pods are of the newest revision and available.`;
}

const SHOWN = 6;

function drawBars(place, sets) {
  const sorted = [...sets].sort((a, b) => Number(b.revision) - Number(a.revision));
  const most = Math.max(1, ...sets.map((set) => Math.max(set.replicas, set.current)));
  put(place, sorted.slice(0, SHOWN).map((set) => h("div", { class: "revision" },
    h("div", {}, h("a", { href: objectUrl("replicasets.apps", set.ns, set.name) }, `revision ${set.revision}`), h("span", { class: "soft" }, `${set.ready} ready, ${set.current} there, ${set.replicas} wanted`)),
    h("div", { class: "revision-bar", "aria-hidden": "true" },
      h("i", { class: "there", css: { width: `${(set.current / most) * 100}%` } }), h("i", { class: "ready", css: { width: `${(set.ready / most) * 100}%` } }), h("i", { class: "wanted", css: { left: `${(set.replicas / most) * 100}%` } })),
    h("div", { class: "mono soft" }, set.images.join(", ")))),
  sorted.length > SHOWN ? h("p", { class: "soft" }, `and ${sorted.length - SHOWN} older ones`) : null);
}

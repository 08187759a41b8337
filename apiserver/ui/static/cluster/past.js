// A past picture (/podium/v1/cluster) in the words of the live one (world.js). Pure but for what the nodes
// are now: their size is not in it.

import { world } from "../world/world.js";

export function asWorld({ nodes, pods, owners }) {
  const isDeployment = (owner) => owner.kind === "Deployment";
  return {
    nodes: nodes.map((node) => ({ ...(world.nodes.get(node.uid) ?? { cpu: 0, memory: 0, pods: 0, ip: "" }), uid: node.uid, name: node.name, ns: "", ready: node.ready, unschedulable: node.unschedulable, pressure: [] })),
    deployments: owners.filter(isDeployment).map(asOwner),
    replicasets: owners.filter((owner) => !isDeployment(owner)).map(asOwner),
    pods: pods.map((pod) => ({
      uid: pod.uid, ns: pod.namespace, name: pod.name, rv: pod.revision, born: pod.created, owner: pod.owner, node: pod.node || null, phase: pod.phase, reason: pod.status,
      ready: pod.isReady, dying: pod.deleting ? pod.created : null, restarts: pod.restarts, containersReady: pod.ready.split("/")[0], containers: pod.ready.split("/")[1], cpu: 0, memory: 0,
    })),
  };
}

const asOwner = (owner) => ({
  uid: owner.uid, ns: owner.namespace, name: owner.name, rv: owner.revision, born: owner.created, owner: owner.owner, replicas: owner.desired, current: owner.ready, ready: owner.ready,
  updated: owner.ready, available: owner.ready, paused: false, revision: world.replicasets.get(owner.uid)?.revision ?? "", images: world.replicasets.get(owner.uid)?.images ?? world.deployments.get(owner.uid)?.images ?? [],
});

/** The uids of what is new or otherwise in `after`, and of what is no longer there. */
export function changedBetween(before, after) {
  const revisions = (picture) => new Map([...picture.nodes, ...picture.pods, ...picture.owners].map((one) => [one.uid, one.revision]));
  const [was, is] = [revisions(before), revisions(after)];
  const changed = new Set();
  for (const [uid, revision] of is) if (was.get(uid) !== revision) changed.add(uid);
  for (const uid of was.keys()) if (!is.has(uid)) changed.add(uid);
  return changed;
}

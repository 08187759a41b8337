// A thing of the picture in a sentence: for the tip, the card, and for who listens. Pure.

import { STATES, stateOf } from "../world/states.js";

const KINDS = { pods: "Pod", "replicasets.apps": "ReplicaSet", "deployments.apps": "Deployment", nodes: "Node" };

export const kindWord = (kind) => KINDS[kind] ?? kind;

export function describe({ kind, record }) {
  const name = `${kindWord(kind)} ${record.name}`;
  if (kind === "pods") return `${name} ${record.reason && !["Running", "Pending"].includes(record.reason) ? record.reason : STATES[stateOf(record)]}${record.node ? `, on ${record.node}` : ""}${record.restarts ? `, ${record.restarts} restarts` : ""}`;
  if (kind === "nodes") return `${name} ${record.ready ? "Ready" : "NotReady"}${record.unschedulable ? ", closed to new Pods" : ""}`;
  return `${name} ${record.ready} of ${record.replicas} ready${record.revision ? `, revision ${record.revision}` : ""}`;
}

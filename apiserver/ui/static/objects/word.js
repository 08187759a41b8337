// The one word beside an object's name. Pure.

/** [word, tone]; tone undefined: the word's own. */
export function word({ kind, metadata, spec = {}, status = {} }) {
  if (metadata.deletionTimestamp) return ["Terminating"];
  if (kind === "Pod") return [podWord(status)];
  if (kind === "Node") return (status.conditions ?? []).some((one) => one.type === "Ready" && one.status === "True") ? ["Ready"] : ["NotReady", "bad"];
  if (kind === "Deployment" || kind === "ReplicaSet" || kind === "StatefulSet") {
    const [ready, wanted] = [status.readyReplicas ?? 0, spec.replicas ?? 1];
    return [`${ready}/${wanted} ready`, ready >= wanted ? "good" : "warn"];
  }
  if (status.phase) return [status.phase];
  return [""];
}

function podWord(status) {
  for (const container of [...(status.initContainerStatuses ?? []), ...(status.containerStatuses ?? [])]) {
    const waiting = container.state?.waiting?.reason;
    if (waiting && waiting !== "ContainerCreating" && waiting !== "PodInitializing") return waiting;
    const ended = container.state?.terminated;
    if (ended && ended.exitCode !== 0) return ended.reason ?? "Error";
  }
  if (status.reason) return status.reason;
  if (status.phase === "Succeeded") return "Completed";
  return status.phase ?? "Pending";
}

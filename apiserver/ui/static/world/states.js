// In which of a few states a Pod is, for pictures. Pure.

const CALM = /^(Pending|ContainerCreating|PodInitializing|Running|Completed|Terminating|NotReady|SchedulingGated|Init:\d+\/\d+|)$/;

export const STATES = {
  waiting: "waits for a node",
  starting: "is starting",
  running: "runs, not ready",
  ready: "ready",
  failing: "in trouble",
  ending: "is ending",
  done: "has completed",
};

export function stateOf(pod) {
  if (pod.dying) return "ending";
  if (pod.phase === "Succeeded") return "done";
  if (pod.phase === "Failed" || !CALM.test(pod.reason ?? "")) return "failing";
  if (pod.ready) return "ready";
  if (pod.phase === "Running") return "running";
  return pod.node ? "starting" : "waiting";
}

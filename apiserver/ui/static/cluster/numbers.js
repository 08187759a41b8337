// The cluster in five numbers.

import { h, put } from "../widgets/dom.js";
import { stateOf } from "../world/states.js";

export function drawNumbers(place, { nodes, deployments, pods }) {
  const states = pods.map(stateOf);
  const count = (state) => states.filter((one) => one === state).length;
  const [ready, failing] = [count("ready"), count("failing")];
  const open = pods.length - count("done");
  const entries = [
    ["Nodes ready", `${nodes.filter((node) => node.ready).length}/${nodes.length}`, nodes.every((node) => node.ready) ? "" : "bad"],
    ["Deployments", `${deployments.filter((one) => one.available >= one.replicas).length}/${deployments.length}`, ""],
    ["Pods ready", `${ready}/${open}`, ""],
    ["In trouble", failing, failing ? "bad" : ""],
    ["Restarts", pods.reduce((sum, pod) => sum + pod.restarts, 0), ""],
  ];
  put(place, entries.map(([name, value, tone]) => h("div", { "data-tone": tone || null }, h("dt", {}, name), h("dd", {}, value))));
}

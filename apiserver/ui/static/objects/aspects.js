// Which tabs an object has, by its kind. Their code is fetched when they are first opened.

import { h, put } from "../widgets/dom.js";
import { loading, problem } from "../widgets/parts.js";
import { session } from "../api/session.js";
import { load } from "../shell/load.js";

const ASPECTS = [
  { id: "overview", title: "Overview", code: "objects/overview.js", run: "openOverview" },
  { id: "timeline", title: "Timeline", code: "objects/timeline.js", run: "openTimeline", not: ["events"] },
  { id: "rollout", title: "Rollout", code: "workload/rollout.js", run: "openRollout", only: ["deployments.apps"] },
  { id: "logs", title: "Logs", code: "pod/logs.js", run: "openLogs", only: ["pods"] },
  { id: "terminal", title: "Terminal", code: "pod/terminal.js", run: "openTerminal", only: ["pods"] },
  { id: "graphs", title: "Graphs", code: "pod/graphs.js", run: "openGraphs", only: ["pods", "nodes"], needs: "usage" },
  { id: "trace", title: "Trace", code: "insight/trace.js", run: "openTrace", only: ["pods", "deployments.apps", "replicasets.apps"], needs: "trace" },
  { id: "startup", title: "Start-up", code: "insight/startup.js", run: "openStartup", only: ["pods"], needs: "budget" },
  { id: "why", title: "Why here", code: "insight/why.js", run: "openWhy", only: ["pods"], needs: "why" },
  { id: "kernel", title: "Kernel", code: "insight/kernel.js", run: "openKernel", only: ["pods"], verb: "inspect" },
  { id: "history", title: "History", code: "insight/history.js", run: "openHistory", not: ["events"], needs: "history" },
  { id: "yaml", title: "YAML", code: "objects/yaml_view.js", run: "openYaml" },
];

/** [{ id, title, open }] for tabs(). */
export async function aspectsOf(subject) {
  const { key, subresources } = subject.kind;
  const { insights } = await session();
  const isServed = ({ needs, verb }) => (!needs || insights.includes(needs)) && (!verb || subresources.includes(verb));
  return ASPECTS.filter((aspect) => (!aspect.only || aspect.only.includes(key)) && !aspect.not?.includes(key) && isServed(aspect))
    .map((aspect) => ({ id: aspect.id, title: aspect.title, open: (panel) => lazily(panel, aspect, subject) }));
}

function lazily(panel, { code, run, title }, subject) {
  let close = null;
  let isLeft = false;
  const place = h("div");
  panel.append(place);
  const slow = setTimeout(() => put(place, loading(title)), 150);
  load(code).then((module) => { clearTimeout(slow); if (!isLeft) { put(place); close = module[run](place, subject) ?? null; } })
    .catch((error) => { clearTimeout(slow); if (!isLeft) put(place, problem(`${title} could not be shown`, error.message)); });
  return () => { isLeft = true; close?.(); };
}

// The tab "Graphs" of a Pod or a node: CPU, memory, network and disk against their limits, live.

import { h, put } from "../widgets/dom.js";
import { note, problem } from "../widgets/parts.js";
import { Chart } from "../widgets/chart.js";
import { bytes, bytesPerSecond, cores, quantity } from "../widgets/units.js";
import { getJson } from "../api/client.js";
import { pause } from "../api/watch.js";

const EVERY_MS = 2000;

export function openGraphs(panel, subject) {
  const charts = {
    cpu: new Chart({ title: "CPU", lines: ["cores"], format: cores }),
    memory: new Chart({ title: "Memory", lines: ["in use"], format: bytes }),
    network: new Chart({ title: "Network", lines: ["received", "sent"], format: bytesPerSecond }),
    disk: new Chart({ title: "Disk", lines: ["written"], format: bytes }),
  };
  const notice = h("div", { class: "spaced" });
  const processes = h("p", { class: "soft spaced-above small" });
  put(panel, notice, h("div", { class: "charts" }, Object.values(charts).map((chart) => chart.element)), processes);
  const stop = new AbortController();
  run(charts, { notice, processes }, subject, stop.signal);
  return () => stop.abort();
}

async function run(charts, places, subject, signal) {
  const path = `/podium/v1/usage/${subject.kind.key}/${subject.namespace || "-"}/${encodeURIComponent(subject.name)}`;
  let before = null;
  while (!signal.aborted) {
    if (!document.hidden) {
      try {
        const { figures, message } = await getJson(path, { signal });
        put(places.notice, figures ? null : note(`Nothing is measured: ${message}.`));
        if (figures && figures.at !== before?.at) {
          draw(charts, figures, before, limitsOf(subject.object, figures));
          places.processes.textContent = figures.processes ? `${figures.processes} processes · measured every two seconds while you look` : "";
          before = figures;
        }
      } catch (error) {
        if (signal.aborted) return;
        put(places.notice, problem("Nothing is measured just now", error.message));
        if (error.code === 404) return;
      }
    }
    await pause(EVERY_MS, signal);
  }
}

function draw(charts, now, before, limits) {
  const at = Date.parse(now.at);
  const seconds = before ? (at - Date.parse(before.at)) / 1000 : 0;
  const rate = (name, scale = 1) => (seconds > 0 && now[name] >= before[name] ? (now[name] - before[name]) / seconds / scale : null);
  if (seconds > 0) charts.cpu.add(at, [rate("cpuUsedNanoseconds", 1e9)], limits.cpu, limits.cpu && `limit ${cores(limits.cpu)} cores`);
  charts.memory.add(at, [now.memoryBytes], limits.memory, limits.memory && `limit ${bytes(limits.memory)}`);
  if (seconds > 0 && now.receivedBytes !== null) charts.network.add(at, [rate("receivedBytes"), rate("sentBytes")], limits.network, limits.network && `limit ${bytesPerSecond(limits.network)}`);
  if (now.diskUsedBytes !== null) charts.disk.add(at, [now.diskUsedBytes], limits.disk, limits.disk && `of ${bytes(limits.disk)}`);
}

/** In the figures' own units; null: there is none. */
function limitsOf({ kind, spec, status, metadata }, figures) {
  if (kind === "Node") {
    return { cpu: quantity(status.capacity?.cpu), memory: quantity(status.capacity?.memory), network: null, disk: figures.diskCapacityBytes };
  }
  const sum = (name) => {
    const each = (spec.containers ?? []).map((container) => container.resources?.limits?.[name]);
    return each.length && each.every(Boolean) ? each.reduce((total, text) => total + quantity(text), 0) : null;
  };
  const bandwidth = quantity(metadata.annotations?.["kubernetes.io/ingress-bandwidth"]) / 8;
  return { cpu: sum("cpu"), memory: sum("memory"), network: bandwidth || null, disk: sum("ephemeral-storage") };
}

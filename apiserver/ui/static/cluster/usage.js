// What the nodes use, as they measure it: asked for now and then while the picture is seen.

import { getJson } from "../api/client.js";

const EVERY_MS = 5000;

/** Call `tell(Map(node → { cpu, memory }))` until `signal` ends it. */
export async function followUsage(tell, signal) {
  while (!signal.aborted) {
    if (!document.hidden) {
      try {
        const { items } = await getJson("/apis/metrics.k8s.io/v1beta1/nodes", { signal });
        tell(new Map(items.map((item) => [item.metadata.name, { cpu: number(item.usage.cpu, "n", 1e-9), memory: number(item.usage.memory, "Ki", 1024) }])));
      } catch { /* nothing is measured just now: the gauges stay as they are */ }
    }
    await new Promise((resolve) => { setTimeout(resolve, EVERY_MS); signal.addEventListener("abort", resolve); });
  }
}

const number = (text, suffix, factor) => Number.parseInt(text.replace(suffix, ""), 10) * factor;

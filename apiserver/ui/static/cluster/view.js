// The view /ui/: the whole cluster as a picture that moves, what is chosen in it, and what happens.

import { h, oncePerFrame, put } from "../widgets/dom.js";
import { empty, loading } from "../widgets/parts.js";
import { session } from "../api/session.js";
import { go, objectUrl, title } from "../shell/router.js";
import { onScope, scope } from "../shell/scope.js";
import { world } from "../world/world.js";
import { drawCard } from "../cluster/card.js";
import { legend } from "../cluster/legend.js";
import { News } from "../cluster/news.js";
import { drawNumbers } from "../cluster/numbers.js";
import { Picture } from "../cluster/picture.js";
import { TimeSlider } from "../cluster/time_slider.js";
import { followUsage } from "../cluster/usage.js";

export function open(main, _where, query) {
  title("");
  let what = null;
  const numbers = h("dl", { class: "numbers", "aria-label": "Summary" });
  const chosen = h("aside", { class: "card chosen", "aria-label": "Chosen", hidden: true });
  const picture = new Picture({
    choose: (thing) => drawCard(chosen, thing, () => { picture.choose(null); picture.canvas.focus(); }),
    open: ({ kind, record }) => go(objectUrl(kind, record.ns, record.name)),
  });
  const key = legend();
  const news = new News();
  const hint = h("div", { hidden: true });
  const slider = new TimeSlider({ show: (past, changed) => { what = narrowed(past); scene.dataset.past = "yes"; hint.hidden = true; picture.measured(new Map()); picture.show(what, changed); drawNumbers(numbers, what); }, live: () => { delete scene.dataset.past; draw(); } });
  const scene = h("section", { class: "scene", "aria-label": "Picture" }, picture.element, hint, slider.element, key.element);
  put(main,
    h("h1", { class: "unseen" }, "Cluster"), numbers,
    h("div", { class: "cluster" },
      scene,
      h("div", { class: "side" }, chosen, h("section", { class: "happens", "aria-labelledby": "news-title" }, h("h2", { id: "news-title" }, "What happens"), news.list))));

  const draw = oncePerFrame(() => {
    news.draw(world.events, scope());
    if (!slider.isLive) return;
    what = narrowed(live());
    picture.show(what);
    drawNumbers(numbers, what);
    teach(hint, what);
  });
  const stop = new AbortController();
  put(hint, loading("the cluster"));
  hint.hidden = world.isSynced;
  const endings = [world.watch(draw), onScope(draw), key.close, () => slider.close(), () => picture.close(), () => stop.abort()];
  session().then(({ insights }) => { if (insights.includes("timeline")) slider.start(query.get("at")); });
  followUsage((usage) => { if (slider.isLive) picture.measured(usage); }, stop.signal);
  return { close: () => endings.forEach((end) => end()) };
}

const live = () => ({ nodes: [...world.nodes.values()], deployments: [...world.deployments.values()], replicasets: [...world.replicasets.values()], pods: [...world.pods.values()] });

/** What of it is in the chosen namespace, in a stable order. */
function narrowed({ nodes, deployments, replicasets, pods }) {
  const inScope = (records) => records.filter((record) => !scope() || record.ns === scope());
  const byName = (a, b) => a.ns.localeCompare(b.ns) || a.name.localeCompare(b.name);
  return { nodes, deployments: inScope(deployments).sort(byName), replicasets: inScope(replicasets).sort(byName), pods: inScope(pods) };
}

/** An empty cluster says how to fill it. */
function teach(place, { nodes, pods, deployments }) {
  const isEmpty = !pods.length && !deployments.length;
  place.hidden = !isEmpty;
  if (!isEmpty) { put(place); return; }
  const first = "podium apply -f manifests/01-pod.yaml";
  put(place, nodes.length
    ? scope() && world.pods.size
      ? empty(`No Pods in namespace ${scope()}`, "Others have some: choose one above, or all. Or apply the first manifest here.", `${first} -n ${scope()}`)
      : empty("No Pods yet: the houses are empty", "Apply the first manifest and watch a window light up.", first)
    : empty("No node has joined yet", "A node shows up here as soon as its kubelet has said hello.", "podium status"));
}

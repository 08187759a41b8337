// The view /ui/lessons: the path of lessons, how each is begun in a shell, and which are passed (they are
// kept as ConfigMaps of the namespace "lessons").

import { h, put } from "../widgets/dom.js";
import { badge, fillWith } from "../widgets/parts.js";
import { getJson } from "../api/client.js";
import { title } from "../shell/router.js";

export function open(main) {
  title("Lessons");
  const place = h("div");
  put(main, h("div", { class: "heading" }, h("h1", {}, "Lessons"), h("span", { class: "kind" }, "from a process to a cluster, each checks itself")),
    h("p", { class: "note spaced-below" }, "They are done in a shell on the cluster's machine, as root, with this page beside it. A lesson shows what to do, asks what you think will happen (", h("code", {}, "podium lesson predict 3 b"), "), and checks what happened."),
    place);
  fillWith(place, "the lessons", Promise.all([getJson("/podium/v1/lessons"), passed()]), ([{ items }, done]) => draw(items, done));
  return {};
}

const passed = () => getJson("/api/v1/namespaces/lessons/configmaps").then(({ items }) => new Set(items.filter((one) => one.data?.passedAt).map((one) => one.metadata.name)), () => new Set());

const draw = (items, done) => h("ol", { class: "lessons" }, items.map(({ number, title: name, about }) => h("li", { class: "card" },
  h("div", { class: "history-head" }, h("h2", {}, `${number}. ${name}`), done.has(`lesson-${number}`) ? badge("passed", "good") : null),
  h("p", {}, about),
  h("p", { class: "soft" }, h("code", {}, `podium lesson ${number}`), " shows it, ", h("code", {}, `podium lesson check ${number}`), " checks it"))));

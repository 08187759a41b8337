// A Pod's network as the kernel has it: interfaces inside, the veth pair that leads out, the node's end of
// it on its bridge; what waits in their queues, routes, and the rules of hostPorts with their counters.

import { h } from "../widgets/dom.js";
import { badge, card, note } from "../widgets/parts.js";
import { bytes } from "../widgets/units.js";

export function drawNetwork(network) {
  if (!network) return null;
  const { interfaces = [], hostInterfaces = [], routes = [], queues = [], rules = [] } = network;
  if (!interfaces.length && !hostInterfaces.length) return null;
  const queuesOf = ({ name }) => queues.filter((queue) => queue.interface === name);
  const inside = interfaces.filter((one) => one.kind === "veth");
  const pairs = inside.map((end) => [end, hostInterfaces.find((other) => other.index === end.peerIndex)]);
  const drawn = new Set(pairs.flat());
  const others = [...interfaces.map((one) => [one, "in the Pod"]), ...hostInterfaces.map((one) => [one, one.kind === "ifb" ? "on the node, before what the Pod sends" : "on the node"])].filter(([one]) => !drawn.has(one));
  return card("Network",
    pairs.length ? null : note("It has no interface of its own that leads out of it."),
    pairs.map(([end, other]) => pair(end, other, queuesOf)),
    others.length ? h("ul", { class: "net-others" }, others.map(([one, where]) => h("li", {}, face(one, where, queuesOf(one))))) : null,
    table("Routes", ["To", "Through", "By"], routes.map(({ destination, gateway, interface: by }) => [destination, gateway || "no gateway: it is on this link", by])),
    table("Host ports (nftables)", ["Port", "Goes to", "Counted"], rules.map((rule) => [rule.hostPort, rule.to, `${rule.packets} connections, ${bytes(rule.bytes)}`])));
}

function pair(end, other, queuesOf) {
  return h("div", { class: "net-path", role: "group", "aria-label": `The way out of ${end.name}` },
    face(end, "in the Pod", queuesOf(end)),
    h("p", { class: "net-link" }, "veth pair"),
    other ? face(other, "on the node", queuesOf(other)) : h("p", { class: "soft" }, "its other end is not on this node"),
    other?.bridge ? [h("p", { class: "net-link" }, "port of"), h("div", { class: "net-face" }, h("strong", { class: "mono" }, other.bridge), h("span", { class: "soft" }, "the node's bridge"))] : null);
}

function face({ name, kind, isUp, mac, mtu, addresses, counters }, where, queues) {
  return h("div", { class: "net-face" },
    h("div", {}, h("strong", { class: "mono" }, name), " ", h("span", { class: "soft" }, [kind, where].filter(Boolean).join(" · ")), isUp ? null : [" ", badge("down", "bad")]),
    addresses.map((address) => h("div", { class: "mono" }, address)),
    h("div", { class: "soft small" }, kind ? `${mac}, at most ${mtu} bytes a packet` : `at most ${mtu} bytes a packet`),
    h("div", { class: "small" }, traffic(counters)),
    queues.map((queue) => h("div", { class: "small net-queue" }, queueWords(queue))));
}

function traffic({ rxBytes, txBytes, rxPackets, txPackets, rxDropped, txDropped, rxErrors, txErrors }) {
  const lost = rxDropped + txDropped + rxErrors + txErrors;
  return `received ${bytes(rxBytes)} in ${rxPackets}, sent ${bytes(txBytes)} in ${txPackets} packets${lost ? `; ${lost} lost` : ""}`;
}

function queueWords({ kind, rateBitsPerSecond, waitingPackets, waitingBytes, drops, overLimits, packets }) {
  const rate = rateBitsPerSecond ? ` at ${bits(rateBitsPerSecond)}` : "";
  return `queue ${kind}${rate}: ${packets} packets, ${waitingPackets} wait (${bytes(waitingBytes)}), ${drops} dropped, ${overLimits} held back`;
}

function bits(rate) {
  for (const [unit, size] of [["Gbit/s", 1e9], ["Mbit/s", 1e6], ["kbit/s", 1e3]]) if (rate >= size) return `${Number((rate / size).toFixed(1))} ${unit}`;
  return `${rate} bit/s`;
}

/** A small table with a title; nothing when it has no rows. */
export function table(title, heads, list, id = title) {
  if (!list.length) return null;
  return h("div", { class: "kernel-part" }, h("h3", {}, title), h("div", { class: "scroll-x", tabindex: "0", role: "region", "aria-label": id }, h("table", { class: "plain stacks" },
    h("thead", {}, h("tr", {}, heads.map((head) => h("th", { scope: "col" }, head)))),
    h("tbody", {}, list.map((cells) => h("tr", {}, cells.map((cell, at) => h("td", { class: "mono", "data-head": heads[at] }, cell))))))));
}

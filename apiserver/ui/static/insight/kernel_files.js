// What a container's process sees as its files: the layers of its overlay, the uppermost first, and every
// mount in it. And as whom it sees them: ids, capabilities, seccomp.

import { h } from "../widgets/dom.js";
import { badge, facts } from "../widgets/parts.js";
import { table } from "../insight/kernel_network.js";

const SHORT = 19; // "sha256:" and twelve digits, as one writes digests

export function drawLayers(layers) {
  if (!layers) return null;
  const layer = (name, says, directory, tone) => h("li", { "data-tone": tone }, h("strong", {}, name), h("span", {}, says), h("span", { class: "mono soft small" }, directory));
  const lower = layers.lower.map(({ digest, directory }, at) => layer(digest ? digest.slice(0, SHORT) : `layer ${at + 1}`, at ? "of the image" : "of the image, the lowest", directory, "lower"));
  return h("div", { class: "kernel-part" }, h("h3", {}, `Its root: an overlay of ${lower.length + (layers.upper ? 1 : 0)} layers`),
    h("ol", { class: "layers", "aria-label": "Layers, the uppermost first" },
      layers.upper ? layer("upper", layers.isReadOnly ? "read only, as its root is" : `all that the container writes${layers.isVolatile ? ", never synced to disk" : ""}`, layers.upper, "upper") : null,
      lower.reverse()));
}

export function drawMounts(mounts, name) {
  const from = ({ type, source, root }) => (["proc", "sysfs", "devpts", "mqueue", "cgroup", "cgroup2", "overlay"].includes(type) || (type === "tmpfs" && root === "/") ? source : `${source} ${root}`);
  return table(`Mounts (${(mounts ?? []).length})`, ["At", "Type", "From", "Options"], (mounts ?? []).map((one) => [
    one.target, one.type, h("span", { title: one.superOptions }, from(one)),
    h("span", {}, one.options.includes("ro") ? [badge("ro", "idle"), " "] : null, one.options.filter((option) => option !== "ro").join(" "), one.propagation === "private" ? "" : ` ${one.propagation}`),
  ]), `Mounts ${name}`);
}

export function drawIdentity(identity) {
  if (!identity) return null;
  const { uid, gid, groups, uidMap = [], capabilities = {}, seccomp, seccompFilters, noNewPrivs, oomScoreAdj, oomScore, appArmor } = identity;
  const id = ({ real, effective }) => (real === effective ? String(real) : `${real}, acts as ${effective}`);
  const names = (list) => list.map((one) => one.replace("CAP_", "").toLowerCase()).join(", ");
  const mapped = uidMap.filter(({ inside, outside }) => inside !== outside).map(({ inside, outside, length }) => `${inside} is ${outside} on the host (${length} of them)`);
  return h("div", { class: "kernel-part" }, h("h3", {}, "As whom"), facts([
    ["User, group", `${id(uid)}, ${id(gid)}`], ["Other groups", groups.join(", ")], ["In its user namespace", mapped.join("; ")],
    ["May", names(capabilities.effective ?? []) || "nothing that needs a capability"],
    ["Could get", same(capabilities.bounding, capabilities.effective) ? null : names(capabilities.bounding ?? []) || "nothing more"],
    ["Keeps over exec", names(capabilities.ambient ?? [])],
    ["Seccomp", seccomp === "filter" ? `filter (${seccompFilters} program${seccompFilters === 1 ? "" : "s"})` : seccomp], ["No new privileges", noNewPrivs ? "yes" : "no"],
    ["When memory runs out", `oom_score_adj ${oomScoreAdj}, oom_score ${oomScore}`], ["AppArmor", appArmor],
  ]));
}

const same = (a = [], b = []) => a.length === b.length && a.every((one) => b.includes(one));

// "/" finds: any object of the picture and any kind, by a few letters of its name.

import { h, put } from "../widgets/dom.js";
import { kinds } from "../api/discovery.js";
import { go, listUrl, objectUrl } from "../shell/router.js";
import { titleOf } from "../shell/navigation.js";
import { world } from "../world/world.js";

const MAX_SHOWN = 40;

export async function openFinder() {
  if (document.querySelector("dialog[open]")) return;
  const list = h("ul", { role: "listbox", id: "finder-list", "aria-label": "What was found" });
  const field = h("input", {
    class: "text-field", type: "text", role: "combobox", "aria-expanded": "true", "aria-controls": "finder-list",
    "aria-autocomplete": "list", "aria-label": "Find a kind or an object", placeholder: "A kind, a Pod, a node …", autocomplete: "off", spellcheck: "false",
  });
  const dialog = h("dialog", { class: "finder", "aria-label": "Find" }, h("div", { class: "inside" }, field, list));
  const known = await entries();
  let found = [];
  let at = 0;

  const draw = () => {
    put(list, found.map((entry, index) => h("li", { role: "option", id: `found-${index}`, "aria-selected": index === at, on: { click: () => leave(entry) } },
      h("span", {}, entry.name), h("span", { class: "soft" }, entry.about))));
    if (!found.length) put(list, h("li", { class: "soft" }, "Nothing of that name."));
    field.setAttribute("aria-activedescendant", found.length ? `found-${at}` : "");
    document.getElementById(`found-${at}`)?.scrollIntoView({ block: "nearest" });
  };
  const search = () => {
    const words = field.value.toLowerCase().split(/\s+/).filter(Boolean);
    found = known.filter((entry) => words.every((word) => entry.text.includes(word))).slice(0, MAX_SHOWN);
    at = 0;
    draw();
  };
  const leave = (entry) => { dialog.close(); if (entry) go(entry.url); };
  field.addEventListener("input", search);
  field.addEventListener("keydown", (event) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step && found.length) { event.preventDefault(); at = (at + step + found.length) % found.length; draw(); }
    if (event.key === "Enter") { event.preventDefault(); leave(found[at]); }
  });
  dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
  search();
}

async function entries() {
  const list = [{ name: "Cluster", about: "the picture", url: "/ui/" }];
  const served = await kinds().catch(() => new Map());
  for (const kind of served.values()) list.push({ name: titleOf(kind), about: ["list", ...kind.shortNames].join(" · "), url: listUrl(kind.key) });
  for (const [key, objects] of world.kinds) {
    if (key === "events") continue;
    const kind = served.get(key)?.kind ?? key;
    for (const record of objects.values()) {
      list.push({ name: record.name, about: record.ns ? `${kind} in ${record.ns}` : kind, url: objectUrl(key, record.ns, record.name) });
    }
  }
  return list.map((entry) => ({ ...entry, text: `${entry.name} ${entry.about}`.toLowerCase() }));
}

// The tab "YAML": the whole object as it is now, and a button that copies it.

import { h, put, oncePerFrame } from "../widgets/dom.js";
import { copyButton } from "../widgets/parts.js";
import { yamlOf, yamlText } from "../objects/yaml.js";

export function openYaml(panel, subject) {
  const code = h("pre", { class: "yaml", tabindex: "0", role: "region", "aria-label": "YAML" });
  const copy = copyButton(() => yamlText(subject.object));
  const isHidden = subject.kind.key === "secrets";
  const draw = oncePerFrame(() => {
    const isOpen = code.querySelector("details")?.open;
    put(code, yamlOf(isHidden ? withoutValues(subject.object) : subject.object));
    if (isOpen) code.querySelector("details").open = true;
  });
  put(panel, h("div", { class: "toolbar" }, copy, isHidden && h("span", { class: "soft" }, "Values are hidden here; the overview shows them one at a time.")), code);
  const forget = subject.onChange(draw);
  draw();
  return forget;
}

const withoutValues = (secret) => ({ ...secret, data: Object.fromEntries(Object.keys(secret.data ?? {}).map((key) => [key, "…"])) });

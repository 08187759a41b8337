// "As commands" below the kernel's view: what the runtime did, as a shell script that makes the same
// container by hand (pods/commands); asked for when it is opened.

import { h } from "../widgets/dom.js";
import { copyButton, fillWith } from "../widgets/parts.js";
import { request } from "../api/client.js";
import { containerChoice } from "../pod/containers.js";

export function asCommands(subject) {
  if (!subject.kind.subresources.includes("commands")) return null;
  const place = h("div");
  let script = "";
  const container = containerChoice(subject.object, () => read());
  const copy = copyButton(() => script);
  const read = async () => {
    copy.hidden = true;
    const asked = request(`${subject.path}/commands?container=${encodeURIComponent(container.value)}`).then((answer) => answer.text());
    script = await fillWith(place, "the commands", asked, (text) => h("pre", { class: "diff", tabindex: "0", role: "region", "aria-label": "Commands" }, text));
    copy.hidden = !script;
  };
  const details = h("details", { class: "card commands" },
    h("summary", {}, "As commands: the same container by hand"),
    h("div", { class: "toolbar" }, container.element, copy, h("span", { class: "soft" }, "Run it as root on the Pod's node.")), place);
  details.addEventListener("toggle", () => { if (details.open && !place.firstChild) read(); });
  return details;
}

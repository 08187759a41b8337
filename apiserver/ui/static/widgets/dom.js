// Elements, made without markup: every text goes in as text, so that what a user wrote into a name or
// a message is never read as HTML. (The server's CSP lets nothing else through.)

const SVG = "http://www.w3.org/2000/svg";

/** h("a", { class: "x", href: "/ui/", on: { click } }, "text", child, null, [more]) */
export function h(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

export function svg(tag, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || (value === false && !name.startsWith("aria-"))) continue;
    if (name === "on") for (const [event, run] of Object.entries(value)) element.addEventListener(event, run);
    else if (name === "css") for (const [property, is] of Object.entries(value)) element.style.setProperty(property, is);
    else if (name === "value" || name === "checked") element[name] = value;
    else element.setAttribute(name, value === true && !name.startsWith("aria-") ? "" : value);
  }
  append(element, children);
  return element;
}

function append(element, children) {
  for (const child of children) {
    if (child === null || child === undefined || child === false) continue;
    if (Array.isArray(child)) append(element, child);
    else element.append(child instanceof Node ? child : String(child));
  }
}

/** Put `children` in place of what an element holds. */
export function put(element, ...children) {
  element.replaceChildren();
  append(element, children);
  return element;
}

/** Call `run` at most once a frame, however often it is asked for. */
export function oncePerFrame(run) {
  let isAsked = false;
  return () => {
    if (isAsked) return;
    isAsked = true;
    requestAnimationFrame(() => { isAsked = false; run(); });
  };
}

/** Call `run` in a frame, with a rest of `ms` between two calls. */
export function atMostEvery(ms, run) {
  let isAsked = false;
  let last = -Infinity;
  const now = () => { isAsked = false; last = performance.now(); run(); };
  return () => {
    if (isAsked) return;
    isAsked = true;
    setTimeout(() => requestAnimationFrame(now), Math.max(0, last + ms - performance.now()));
  };
}

/** Say something to who listens instead of looking. */
export function announce(text) {
  const place = document.getElementById("announce");
  if (place) place.textContent = text;
}

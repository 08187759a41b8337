// What lets this page write: the session's write key. It comes once, behind the # of the login link's
// answer, is kept in this origin's storage, and goes with each request in a header that no page of
// another origin can set. Without it the page shows everything and changes nothing.

const PLACE = "podium.write-key";

export function takeKeyFromAddress() {
  const key = /^#key=([0-9a-f]{64})$/.exec(location.hash)?.[1];
  if (!key) return;
  try { localStorage.setItem(PLACE, key); } catch { /* no storage: this page will not write */ }
  history.replaceState(null, "", location.pathname + location.search);
}

export function writeKey() {
  try { return localStorage.getItem(PLACE) ?? ""; } catch { return ""; }
}

const NOBODY = { user: "", mayWrite: false, isLab: false, otlpEndpoint: "", insights: [] };
let asked = null;

/** { user, mayWrite, isLab, otlpEndpoint, insights }: how the cluster was started; what is served below /podium/v1. */
export function session() {
  asked ??= fetch("/ui/session", { headers: { "X-Podium-Key": writeKey() } })
    .then((answer) => (answer.ok ? answer.json() : NOBODY))
    .catch(() => { asked = null; return NOBODY; });
  return asked;
}

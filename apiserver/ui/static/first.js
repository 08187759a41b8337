// Runs before the first paint. Who chose dark never sees a white flash; and when a script or style could
// not be fetched, the page is asked for again: a browser drops what is under way whenever the machine's
// network changes, and each Pod that starts on this machine brings a new link.

try {
  const chosen = localStorage.getItem("podium.theme");
  if (chosen === "dark" || chosen === "light") document.documentElement.dataset.theme = chosen;
} catch { /* storage is forbidden here: the system's colours it is */ }

{
  const MOST = 5;
  const tries = Number(new URLSearchParams(location.search).get("again") ?? 0);
  let isAsked = false;
  addEventListener("error", (event) => {
    if (!event.target.matches?.("script, link[rel=stylesheet]") || isAsked || tries >= MOST) return;
    isAsked = true;
    const url = new URL(location.href);
    url.searchParams.set("again", tries + 1);
    setTimeout(() => location.replace(url), 250 * (tries + 1));
  }, true);
}

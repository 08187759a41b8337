// The one stream behind the picture. It comes back by itself; a page that nobody sees lets go of it
// after a while, for a browser has six connections for all its tabs and the server others to serve.

import { world } from "../world/world.js";

const FIRST_RETRY_MS = 250;
const LAST_RETRY_MS = 5000;
const HIDDEN_MS = 20_000;

let stream = null;
let retryMs = FIRST_RETRY_MS;
let retry = 0;
let hiding = 0;

/** tell(state): "live", "lost" or "paused". */
export function startFeed(tell) {
  const connect = () => {
    clearTimeout(retry);
    stream?.close();
    stream = new EventSource("/ui/feed");
    stream.addEventListener("snapshot", (message) => {
      retryMs = FIRST_RETRY_MS;
      world.replace(JSON.parse(message.data));
      tell("live");
    });
    stream.addEventListener("message", (message) => world.change(JSON.parse(message.data)));
    stream.addEventListener("error", () => {
      tell("lost");
      if (stream.readyState !== EventSource.CLOSED) return; // it connects again by itself
      noticeEndOfSession();
      retry = setTimeout(connect, retryMs);
      retryMs = Math.min(retryMs * 2, LAST_RETRY_MS);
    });
  };
  document.addEventListener("visibilitychange", () => {
    clearTimeout(hiding);
    if (document.hidden) {
      hiding = setTimeout(() => { clearTimeout(retry); stream?.close(); stream = null; tell("paused"); }, HIDDEN_MS);
    } else if (!stream) connect();
  });
  connect();
}

/** A stream does not tell why it was refused: ask. */
async function noticeEndOfSession() {
  const answer = await fetch("/ui/session").catch(() => null);
  if (answer?.status === 401) document.dispatchEvent(new CustomEvent("podium:logged-out"));
}

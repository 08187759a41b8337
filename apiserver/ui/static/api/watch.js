// A list that stays true: LIST page by page, then WATCH from there; when the stream ends or has been
// left behind it begins again by itself.

import { getJson, lines, request, ApiError } from "../api/client.js";

const PAGE = 500;
const FIRST_RETRY_MS = 250;
const LAST_RETRY_MS = 5000;
export const TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io";

/**
 * tell: { reset(list), more(list), event(type, object), live(), lost(error) }. `reset` has the first
 * page of a new list; `more` its next ones. Ends with `signal`.
 */
export async function follow(path, query, accept, signal, tell) {
  let retryMs = FIRST_RETRY_MS;
  while (!signal.aborted) {
    try {
      let rv = await readAll(path, query, accept, signal, tell);
      tell.live();
      retryMs = FIRST_RETRY_MS;
      for (;;) rv = await readChanges(path, query, accept, signal, tell, rv);
    } catch (error) {
      if (signal.aborted || error.name === "AbortError") return;
      if (error instanceof ApiError && [403, 404].includes(error.code)) { tell.lost(error); return; }
      if (!(error instanceof Expired)) { tell.lost(error); await pause(retryMs, signal); }
      retryMs = Math.min(retryMs * 2, LAST_RETRY_MS);
    }
  }
}

class Expired extends Error {}

async function readAll(path, query, accept, signal, tell) {
  let next = "";
  let rv = "";
  do {
    const list = await getJson(`${path}?${new URLSearchParams({ ...query, limit: PAGE, ...(next && { continue: next }) })}`, { accept, signal });
    (next ? tell.more : tell.reset)(list);
    next = list.metadata.continue ?? "";
    rv = list.metadata.resourceVersion;
  } while (next);
  return rv;
}

async function readChanges(path, query, accept, signal, tell, since) {
  const asked = new URLSearchParams({ ...query, watch: "true", allowWatchBookmarks: "true", resourceVersion: since });
  const answer = await request(`${path}?${asked}`, { headers: { Accept: accept }, signal });
  let rv = since;
  for await (const line of lines(answer, signal)) {
    if (!line) continue;
    const { type, object } = JSON.parse(line);
    if (type === "ERROR") throw new Expired();
    rv = object.metadata?.resourceVersion ?? object.rows?.[0]?.object?.metadata?.resourceVersion ?? rv;
    if (type !== "BOOKMARK") tell.event(type, object);
  }
  if (signal.aborted) throw new DOMException("left", "AbortError");
  return rv;
}

export const pause = (ms, signal) => new Promise((resolve) => {
  const timer = setTimeout(resolve, ms);
  signal?.addEventListener("abort", () => { clearTimeout(timer); resolve(); });
});

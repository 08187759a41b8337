// Requests to the API, as any client makes them. A refusal becomes an ApiError with the words of its
// Status; a session that has ended is told to the whole page.

import { writeKey } from "../api/session.js";

export class ApiError extends Error {
  constructor(code, status) {
    super(status.message || `the server answered ${code}`);
    this.code = code;
    this.reason = status.reason ?? "";
    this.details = status.details ?? {};
  }
}

export async function request(path, options = {}) {
  let answer;
  try {
    answer = await fetched(path, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError(0, { message: "The API server does not answer. It may be starting; the page tries again by itself where it can." });
  }
  if (answer.status === 401) document.dispatchEvent(new CustomEvent("podium:logged-out"));
  if (answer.ok) return answer;
  throw new ApiError(answer.status, await statusOf(answer));
}

const MOST = 3;

/** What only reads is asked for again at once: a browser drops requests when the network changes. */
async function fetched(path, options) {
  for (let turn = 0; ; turn++) {
    try {
      return await fetch(path, options);
    } catch (error) {
      if (error.name === "AbortError" || turn === MOST || (options.method ?? "GET") !== "GET") throw error;
      await new Promise((resolve) => { setTimeout(resolve, 100 * 2 ** turn); });
    }
  }
}

async function statusOf(answer) {
  const text = await answer.text().catch(() => "");
  try { return JSON.parse(text); } catch { return { message: text.trim().slice(0, 500) }; }
}

export async function getJson(path, { accept = "application/json", signal } = {}) {
  return (await request(path, { headers: { Accept: accept }, signal })).json();
}

/** POST, PATCH, PUT or DELETE with the session's write key. `kind`: merge, strategic-merge or json of a PATCH. */
export async function send(method, path, body, kind) {
  const type = kind ? `application/${kind}-patch+json` : "application/json";
  const headers = { "Content-Type": type, "X-Podium-Key": writeKey() };
  const answer = await request(path, { method, headers, body: body === undefined ? undefined : JSON.stringify(body) });
  return answer.json();
}

/** The lines of an answer as they come. */
export async function* lines(answer, signal) {
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  signal?.addEventListener("abort", () => reader.cancel().catch(() => {}));
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) break;
    const parts = (rest + value).split("\n");
    rest = parts.pop();
    yield* parts;
  }
  if (rest) yield rest;
}

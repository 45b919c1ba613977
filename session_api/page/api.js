/**
 * June's HTTP API, as a browser uses it.
 *
 * Promises: the key is kept for this tab alone, and sent in a header only; a request that makes or ends something carries
 * an Idempotency-Key, and is repeated with the same one when June says that this is right. Raises `Problem`.
 */

const KEY = "june-api-key";
const WITHIN_MS = 20_000;
const REPEAT_AFTER_MS = [400, 1500];

/** An answer that is no success. `status` is 0 when there was none. */
export class Problem extends Error {
  constructor({ status, code = "", title = "", detail = "", retryable = false, details = [] }) {
    const fields = (details ?? []).map(({ field, problem }) => `${field}: ${problem}`).join("; ");
    super([detail || title || code || `HTTP ${status}`, fields].filter(Boolean).join(" – "));
    this.name = "Problem";
    this.status = status;
    this.code = code;
    this.retryable = retryable;
  }
}

/** A name that nobody else has, on plain HTTP too, where `crypto.randomUUID` is missing. */
export function newId() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

export class Api {
  /** Told how long each answer to a command took, in ms. */
  timed = () => {};

  constructor(storage = sessionStorage) {
    this.storage = storage;
  }

  get key() {
    return this.storage.getItem(KEY) ?? "";
  }

  set key(value) {
    if (value) this.storage.setItem(KEY, value);
    else this.storage.removeItem(KEY);
  }

  /** Headers of every request. */
  headers(more = {}) {
    return this.key ? { ...more, Authorization: `Bearer ${this.key}` } : more;
  }

  get(path, query = {}) {
    return this.#once("GET", path, query);
  }

  /** Safe to repeat: June knows the command by its key. */
  post(path, body) {
    return this.#repeated("POST", path, {}, body);
  }

  delete(path, query = {}) {
    return this.#repeated("DELETE", path, query);
  }

  createSession(data) {
    return this.post("api/sessions", data);
  }

  session(id, query = {}) {
    return this.get(`api/sessions/${encodeURIComponent(id)}`, query);
  }

  sessions(query) {
    return this.get("api/sessions", query);
  }

  endSession(id) {
    return this.delete(`api/sessions/${encodeURIComponent(id)}`);
  }

  participants(id) {
    return this.get(`api/sessions/${encodeURIComponent(id)}/participants`);
  }

  /** The identity goes into the query: a browser would fold "..", in a path, even when it is encoded. */
  removeParticipant(id, identity) {
    return this.delete(`api/sessions/${encodeURIComponent(id)}/participants`, { identity });
  }

  guestToken(id, data) {
    return this.post(`api/sessions/${encodeURIComponent(id)}/guest-token`, data);
  }

  async #repeated(method, path, query, body) {
    const headers = { "Idempotency-Key": newId() };
    for (const pause of REPEAT_AFTER_MS) {
      try {
        return await this.#once(method, path, query, body, headers);
      } catch (error) {
        if (!error.retryable) throw error;
        await new Promise((done) => setTimeout(done, pause));
      }
    }
    return this.#once(method, path, query, body, headers);
  }

  async #once(method, path, query, body, headers = {}) {
    const url = new URL(path, document.baseURI);
    for (const [name, value] of Object.entries(query)) {
      if (value !== undefined && value !== null && value !== "") url.searchParams.set(name, value);
    }
    const json = body === undefined ? {} : { "Content-Type": "application/json" };
    const begun = performance.now();
    const answer = await fetch(url, {
      method,
      headers: this.headers({ ...headers, ...json, Accept: "application/json" }),
      body: body === undefined ? undefined : JSON.stringify(body),
      cache: "no-store",
      credentials: "omit",
      signal: AbortSignal.timeout(WITHIN_MS),
    }).catch((error) => {
      throw new Problem({ status: 0, detail: unreachable(error), retryable: true });
    });
    if (!answer.ok) throw await problem(answer);
    if (path.startsWith("api/sessions")) this.timed(performance.now() - begun);
    return answer.status === 204 ? null : answer.json();
  }
}

function unreachable(error) {
  return error.name === "TimeoutError" ? "June did not answer in time" : "June cannot be reached";
}

/** The problem document of an answer; whatever else a proxy put there is not shown. */
export async function problem(answer) {
  const json = (answer.headers.get("Content-Type") ?? "").includes("json");
  const body = json ? await answer.json().catch(() => ({})) : {};
  return new Problem({ title: answer.statusText, ...body, status: answer.status });
}

/**
 * Server-sent events by `fetch`: an `EventSource` can send no key.
 *
 * Promises: one stream at a time; a lost one is opened again, after a pause that grows, from the last event that came,
 * so that nothing is lost and little comes twice. A stream that is silent for longer than the heartbeat is a lost one.
 * Stops for good when the key may not read events.
 */

import { problem } from "./api.js";

const SILENT_MS = 40_000;
const PAUSE_MS = [250, 500, 1000, 2000, 4000, 8000];
const HELD_MS = 5000;
const AT_A_TIME_MS = 12;
const LINE_CHARS = 2_000_000;

/** Lets the page draw and answer in between, when a lot comes at once. */
async function breath(begun) {
  if (performance.now() - begun < AT_A_TIME_MS) return begun;
  await new Promise((done) => setTimeout(done));
  return performance.now();
}

/** Bytes in pieces of any size → `{id, event, data}`; comments and empty events are left out. */
export class Parser {
  #decoder = new TextDecoder();
  #rest = "";
  #event = "";
  #data = [];
  #id = null;

  /** What became complete with this piece. */
  push(bytes) {
    const complete = [];
    const lines = (this.#rest + this.#decoder.decode(bytes, { stream: true })).split(/\r\n|\n|\r(?!$)/);
    this.#rest = lines.pop();
    if (this.#rest.length > LINE_CHARS) throw new Error("a line of the stream is too long");
    for (const line of lines) {
      const one = line === "" ? this.#end() : this.#field(line);
      if (one) complete.push(one);
    }
    return complete;
  }

  #field(line) {
    const colon = line.indexOf(":");
    const name = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
    if (name === "data") this.#data.push(value);
    else if (name === "event") this.#event = value;
    else if (name === "id") this.#id = value;
    return null;
  }

  #end() {
    const one = { id: this.#id, event: this.#event, data: this.#data.join("\n") };
    const empty = this.#data.length === 0;
    this.#event = "";
    this.#data = [];
    return empty ? null : one;
  }
}

/**
 * Follows `path` until `stop`. `onState` is told `opening`, `open`, `lost` and `refused`; `onEvent` gets each event,
 * and its errors end nothing.
 */
export class Feed {
  lastId = null;
  #stopped = false;
  #abort = null;

  constructor({ api, path, onEvent, onState, pauses = PAUSE_MS, silentMs = SILENT_MS }) {
    Object.assign(this, { api, path, onEvent, onState, pauses, silentMs });
  }

  /** Returns when it was stopped or refused. */
  async run() {
    let tries = 0;
    while (!this.#stopped) {
      this.onState("opening");
      const since = performance.now();
      const error = await this.#follow().then(() => null, (reason) => reason);
      if (this.#stopped) return;
      if (error?.status === 401 || error?.status === 403) return this.onState("refused", error);
      // An id that June does not know any more: from now on, rather than never.
      if (error?.status === 400) this.lastId = null;
      if (performance.now() - since > HELD_MS) tries = 0;
      this.onState("lost", error);
      await this.#pause(this.pauses[Math.min(tries++, this.pauses.length - 1)]);
    }
  }

  stop() {
    this.#stopped = true;
    this.#abort?.abort();
  }

  async #follow() {
    this.#abort = new AbortController();
    let silence = this.#watch();
    try {
      const resume = this.lastId === null ? {} : { "Last-Event-ID": this.lastId };
      const answer = await fetch(new URL(this.path, document.baseURI), {
        headers: this.api.headers({ ...resume, Accept: "text/event-stream" }),
        cache: "no-store",
        credentials: "omit",
        signal: this.#abort.signal,
      });
      if (!answer.ok) throw await problem(answer);
      this.onState("open");
      const parser = new Parser();
      const reader = answer.body.getReader();
      let begun = performance.now();
      for (;;) {
        const { done, value } = await reader.read();
        if (done) return;
        clearTimeout(silence);
        silence = this.#watch();
        for (const one of parser.push(value)) this.#give(one);
        begun = await breath(begun);
      }
    } finally {
      clearTimeout(silence);
      this.#abort.abort();
    }
  }

  #give(one) {
    if (one.id !== null) this.lastId = one.id;
    try {
      this.onEvent(JSON.parse(one.data));
    } catch (error) {
      console.error("an event was left out:", error.message);
    }
  }

  #watch() {
    return setTimeout(() => this.#abort.abort(), this.silentMs);
  }

  #pause(ms) {
    return new Promise((done) => setTimeout(done, ms * (0.75 + Math.random() / 2)));
  }
}

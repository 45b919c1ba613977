/**
 * What an operator looks at: health, latencies, who holds which partition, dead letters.
 *
 * Promises: asks June only while somebody looks; what a key may not see is said once, and the rest of the page goes on.
 */

import { chart } from "./charts.js";
import { attribute, byId, clock, duration, h, hue, rows, short, text } from "./ui.js";

const EVERY_MS = 5000;
const DEAD_SHOWN = 20;

const CHARTS = [
  ["listen", "Voice → listened to", "From a new voice until a service listens to it."],
  ["answer", "Said → answered", "From what was said to the end of the answer to it, spoken where it is spoken."],
  ["command", "Command → answer", "What this page asked of June, as it saw it."],
  ["event", "Event → this page", "By two clocks: June's and this machine's."],
];

export class System {
  /** Seconds, when June says so; else 0. */
  leaseS = 0;
  #health = rows(byId("health"), (one) => one.name, makeHealth);
  #partitions = rows(byId("partitions"), (one) => one.name, makePartition);
  #holders = rows(byId("holders"), (one) => one.name, makeHolder);
  #dead = rows(byId("dead"), (one) => one.key, makeDead);
  #charts;
  #timer = null;

  constructor(api, model) {
    this.api = api;
    this.#charts = CHARTS.map(([key, name, hint]) => chart({ latencies: model.latencies[key], name, hint }));
    byId("charts").append(...this.#charts.map((one) => one.node));
    document.addEventListener("visibilitychange", () => !document.hidden && this.look());
  }

  /** The charts follow the model; the rest follows `look`. */
  draw() {
    for (const one of this.#charts) one.update();
  }

  /** Asks now, and then every few seconds. */
  async look() {
    clearTimeout(this.#timer);
    if (document.hidden) return;
    const [system, partitions, dead] = await Promise.allSettled([
      this.api.get("api/system"),
      this.api.get("api/system/partitions"),
      this.api.get("api/system/dead-letters", { limit: DEAD_SHOWN }),
    ]);
    this.#unseen(system);
    this.#drawHealth(system);
    byId("partitions-section").hidden = partitions.status === "rejected";
    byId("dead-section").hidden = dead.status === "rejected";
    if (partitions.value) this.#drawPartitions(partitions.value.partitions ?? []);
    if (dead.value) this.#drawDead(dead.value);
    if (system.reason?.status !== 403) this.#timer = setTimeout(() => this.look(), EVERY_MS);
  }

  #unseen({ reason }) {
    const may = reason?.status !== 403;
    byId("health-section").hidden = !may;
    byId("system-none").hidden = may;
    text(byId("system-none"), may ? "" : "This key lacks the scope system:read: partitions, dead letters and health are not shown.");
  }

  #drawHealth({ value, reason }) {
    this.leaseS = value?.job_lease_s ?? this.leaseS;
    const lines = value ? healthOf(value) : [{ name: "HTTP API", state: "bad", words: String(reason?.message ?? "") }];
    this.#health(lines);
  }

  #drawPartitions(partitions) {
    const held = partitions.map((one, at) => ({ ...one, name: String(at), holder: one.holder ?? null }));
    this.#partitions(held);
    const holders = new Map();
    for (const one of held) if (one.holder) holders.set(one.holder, [...(holders.get(one.holder) ?? []), one.name]);
    this.#holders([...holders].map(([name, its]) => ({ name, its })));
  }

  #drawDead({ count, dead_letters: letters = [] }) {
    text(byId("dead-count"), count ?? letters.length);
    byId("dead-none").hidden = letters.length > 0 || count > 0;
    this.#dead(letters.slice(0, DEAD_SHOWN).map((one, at) => ({ ...one, key: `${one.message_id ?? ""}/${one.failed_at}/${at}` })));
  }
}

/** Lines of what June says of its parts. */
function healthOf({ parts = [], broker = null }) {
  const lines = [{ name: "HTTP API", state: "ok", words: "answers" }];
  if (broker) lines.push({ name: "RabbitMQ", state: broker.connected ? "ok" : "bad", words: broker.version ?? "" });
  for (const part of parts) lines.push({ name: part.name, state: part.state, words: part.detail ?? "" });
  return lines;
}

function makeHealth() {
  const what = h("span", { class: "what" });
  const words = h("span", { class: "words" });
  const node = h("li", {}, h("span", { class: "dot", "aria-hidden": "true" }), what, words);
  return {
    node,
    update({ name, state, words: said }) {
      attribute(node, "data-state", state);
      text(what, name);
      text(words, said || (state === "ok" ? "well" : state));
    },
  };
}

function makePartition() {
  const name = h("strong");
  const depth = h("span");
  const node = h("li", {}, name, depth);
  return {
    node,
    update({ name: number, holder, consumers, messages }) {
      const held = consumers > 0 || holder !== null;
      text(name, number);
      text(depth, messages > 0 ? messages : "");
      attribute(node, "data-state", held ? "held" : "none");
      attribute(node, "data-hue", holder === null ? null : hue(holder));
      node.style.setProperty("--hue", holder === null ? "" : String(hue(holder)));
      const words = `Partition ${number}: ${held ? `held by ${holder ?? "a worker"}` : "held by nobody"}, ${messages ?? 0} waiting`;
      attribute(node, "title", words);
      attribute(node, "aria-label", words);
    },
  };
}

function makeHolder() {
  const node = h("li");
  return { node, update: ({ name, its }) => text(node, `${short(name, 60)} holds ${its.join(", ")}`) };
}

function makeDead() {
  const reason = h("strong");
  const words = h("p");
  const rest = h("p", { class: "muted" });
  return {
    node: h("li", {}, reason, words, rest),
    update(one) {
      text(reason, String(one.reason ?? "unknown").replaceAll("_", " "));
      text(words, short(one.error ?? "", 200));
      const failed = typeof one.failed_at === "number" ? one.failed_at : Date.parse(one.failed_at);
      const age = Number.isFinite(failed) ? `${clock(failed)}, ${duration(Date.now() - failed)} ago` : "";
      text(rest, [one.origin_routing_key ?? one.type, one.attempts ? `attempt ${one.attempts}` : "", age].filter(Boolean).join(" · "));
    },
  };
}

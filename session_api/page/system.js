/**
 * What an operator looks at: health, latencies, who holds which partition, dead letters.
 *
 * Promises: asks June only while somebody looks; what a key may not see is said once, and the rest of the page goes on.
 */

import { chart } from "./charts.js";
import { attribute, byId, clock, duration, h, rows, short, text } from "./ui.js";

const EVERY_MS = 5000;
const DEAD_SHOWN = 20;

const CHARTS = [
  ["listen", "Voice → listened to", "From a new voice until a service listens to it."],
  ["answer", "Said → answered", "From what was said to the end of the answer to it, spoken where it is spoken."],
  ["command", "Command → answer", "What this page asked of June, as it saw it."],
  ["event", "Event → this page", "By two clocks: June's and this machine's."],
];

export class System {
  #health = rows(byId("health"), (one) => one.name, makeHealth);
  #partitions = rows(byId("partitions"), (one) => one.name, makePartition);
  #dead = rows(byId("dead"), (one) => one.key, makeDead);
  #charts;
  #timer = null;

  constructor(api, model) {
    this.api = api;
    this.model = model;
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
      this.api.get("api/system/dead-letters"),
    ]);
    if (system.value) this.model.leaseMs = system.value.job_lease_s * 1000;
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
    const lines = value ? healthOf(value) : [{ name: "HTTP API", state: "bad", words: String(reason?.message ?? "") }];
    this.#health(lines);
  }

  #drawPartitions(partitions) {
    this.#partitions(partitions.map((one, at) => ({ ...one, name: String(at) })));
    const held = partitions.filter((one) => one.consumers > 0).length;
    const spare = Math.min(...partitions.map((one) => one.consumers ?? 0)) - 1;
    text(byId("held"), `${held} of ${partitions.length} are held${spare > 0 ? `, and ${spare} more in line for each` : ""}.${sharesOf(partitions)}`);
  }

  #drawDead({ waiting, dead_letters: letters = [] }) {
    text(byId("dead-count"), waiting);
    byId("dead-none").hidden = waiting > 0;
    this.#dead(letters.slice(0, DEAD_SHOWN).map((one, at) => ({ ...one, key: `${one.message_id}/${one.failed_at}/${at}` })));
  }
}

/** How many partitions each worker holds, where that is known. */
function sharesOf(partitions) {
  const shares = Map.groupBy(partitions.filter((one) => one.holder), (one) => one.holder);
  return [...shares].map(([holder, held]) => ` ${holder}: ${held.length}.`).join("");
}

const SERVICES = [["stt", "Speech to text"], ["ai", "Answers"], ["tts", "Text to speech"]];

/** What June says of itself, a line for each part. */
function healthOf(system) {
  const { version, broker, workers, commands } = system;
  const lines = [
    { name: "HTTP API", state: "ok", words: `June ${version}` },
    { name: "RabbitMQ", state: broker.blocked ? "bad" : "ok", words: broker.blocked ?? broker.server },
    { name: "Workers", state: workers > 0 ? "ok" : "bad", words: workers > 0 ? `${workers} ready` : "none: nothing is answered" },
    { name: "Commands", state: commands.waiting > 0 ? "warn" : "ok", words: `${commands.waiting ?? 0} waiting` },
  ];
  for (const [key, name] of SERVICES) {
    const { consumers, waiting } = system[key];
    const words = `${consumers > 0 ? `${consumers} ready` : "none"}${waiting > 0 ? `, ${waiting} waiting` : ""}`;
    lines.push({ name, state: consumers > 0 && !(waiting > 0) ? "ok" : "warn", words });
  }
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
    update({ name: number, consumers, waiting, holder }) {
      text(name, number);
      text(depth, waiting > 0 ? waiting : "");
      attribute(node, "data-state", !(consumers > 0) ? "none" : waiting > 0 ? "behind" : "held");
      const words = `Partition ${number}: ${consumers > 0 ? `held${holder ? ` by ${holder}` : ""}` : "held by nobody"}, ${waiting ?? 0} waiting`;
      attribute(node, "title", words);
      attribute(node, "aria-label", words);
    },
  };
}

function makeDead() {
  const reason = h("strong");
  const words = h("p");
  const rest = h("p", { class: "muted" });
  return {
    node: h("li", {}, reason, words, rest),
    update(one) {
      text(reason, String(one.reason || "unknown").replaceAll("_", " "));
      text(words, short(one.error, 200));
      const failed = Date.parse(one.failed_at);
      const age = Number.isFinite(failed) ? `${clock(failed)}, ${duration(Date.now() - failed)} ago` : "";
      text(rest, [one.origin_routing_key || one.type, one.attempts ? `attempt ${one.attempts}` : "", age].filter(Boolean).join(" · "));
    },
  };
}

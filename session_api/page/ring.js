/**
 * Memory with an end: the last so many of something.
 *
 * Promises: never holds more than it was made for, however long the page stays open.
 */

export class Ring {
  #items = [];

  constructor(most) {
    this.most = most;
  }

  push(item) {
    this.#items.push(item);
    // In one go, now and then: to shift at each push would cost the whole ring each time.
    if (this.#items.length >= this.most * 2) this.#items = this.#items.slice(-this.most);
  }

  get last() {
    return this.#items.at(-1);
  }

  get items() {
    return this.#items.slice(-this.most);
  }
}

/** Keys that were seen lately; the oldest are forgotten. */
export class Seen {
  #keys = new Set();

  constructor(most) {
    this.most = most;
  }

  has(key) {
    return this.#keys.has(key);
  }

  /** Whether it is new. */
  add(key) {
    if (this.#keys.has(key)) return false;
    this.#keys.add(key);
    if (this.#keys.size > this.most) this.#keys.delete(this.#keys.values().next().value);
    return true;
  }
}

/** Durations in ms: the last ones, and how they spread. */
export class Latencies {
  #ring;
  count = 0;

  constructor(most = 60) {
    this.#ring = new Ring(most);
  }

  add(ms) {
    if (!Number.isFinite(ms)) return;
    this.#ring.push(Math.max(0, ms));
    this.count += 1;
  }

  get items() {
    return this.#ring.items;
  }

  /** `{last, median, p95, max}` of those that are kept; `null` when there are none. */
  get summary() {
    const sorted = this.items.sort((a, b) => a - b);
    if (sorted.length === 0) return null;
    const at = (share) => sorted[Math.ceil(share * sorted.length) - 1];
    return { last: this.#ring.last, median: at(0.5), p95: at(0.95), max: sorted.at(-1) };
  }
}

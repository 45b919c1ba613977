/**
 * The few things that every part of the page needs to draw itself.
 *
 * Promises: what comes from elsewhere becomes text or an attribute, never markup, so that a hostile name stays a name;
 * a node is touched only when what it shows has changed. Keeps no state of the conversations.
 */

const SVG = "http://www.w3.org/2000/svg";
const DRAW_EVERY_MS = 125;
const TOAST_MS = 8000;
const TOASTS = 4;

/** An element. `on*` are listeners, `class` and the others attributes; `false` and `null` leave one out. */
export function h(tag, props = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (value === false || value === null || value === undefined) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value === true ? "" : String(value));
  }
  node.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return node;
}

/** The element with this id; the page is broken without it. */
export function byId(id) {
  const node = document.getElementById(id);
  if (!node) throw new Error(`the page has no #${id}`);
  return node;
}

/** One of the symbols in index.html; unseen by screen readers, so its button needs a label. */
export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  const use = document.createElementNS(SVG, "use");
  use.setAttribute("href", `#i-${name}`);
  svg.append(use);
  return svg;
}

/** An SVG element with these attributes. */
export function svg(tag, attributes, ...children) {
  const node = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, String(value));
  node.append(...children);
  return node;
}

/** Sets text when it is another one: a live region is not told what it said already. */
export function text(node, value) {
  const wanted = String(value ?? "");
  if (node.textContent !== wanted) node.textContent = wanted;
}

/** Sets or removes an attribute when that changes something. `true` is the empty attribute. */
export function attribute(node, name, value) {
  if (value === false || value === null || value === undefined) node.removeAttribute(name);
  else if (node.getAttribute(name) !== String(value === true ? "" : value)) {
    node.setAttribute(name, value === true ? "" : String(value));
  }
}

/**
 * Keeps the children of `parent` in step with a list. `make(item)` gives `{node, update(item)}`; a row lives for as
 * long as its key is in the list, and is moved only when its neighbours say so, so that the focus stays where it is.
 */
export function rows(parent, keyOf, make) {
  const known = new Map();
  return (items) => {
    const wanted = new Set(items.map(keyOf));
    for (const [key, row] of known) {
      if (wanted.has(key)) continue;
      row.node.remove();
      known.delete(key);
    }
    let next = parent.firstChild;
    for (const item of items) {
      const key = keyOf(item);
      let row = known.get(key);
      if (!row) known.set(key, (row = make(item)));
      row.update(item);
      if (row.node === next) next = next.nextSibling;
      else parent.insertBefore(row.node, next);
    }
  };
}

/** A function that asks for `draw`; many asks within a moment make one, and none happens while nobody looks. */
export function drawer(draw) {
  let timer = null;
  let owed = false;
  const ask = () => {
    owed = true;
    if (timer !== null || document.hidden) return;
    timer = setTimeout(() => {
      timer = null;
      owed = false;
      draw();
    }, DRAW_EVERY_MS);
  };
  document.addEventListener("visibilitychange", () => owed && ask());
  return ask;
}

/** Says something to who looks and to who listens; `bad` interrupts, and stays until it is closed. */
export function say(message, { bad = false } = {}) {
  const place = byId(bad ? "alerts" : "notices");
  const close = h("button", { type: "button", class: "quiet round", "aria-label": "Close" }, icon("close"));
  const toast = h("div", { class: bad ? "toast bad" : "toast" }, h("p", {}, message), close);
  close.addEventListener("click", () => toast.remove());
  if (!bad) setTimeout(() => toast.remove(), TOAST_MS);
  place.append(toast);
  while (place.children.length > TOASTS) place.firstChild.remove();
}

/** What went wrong, in words for the person who asked. */
export function sayError(what, error) {
  say(`${what}: ${error?.message || error}`, { bad: true });
}

/** Asks before something that cannot be undone: true when it is wanted. */
export function confirm({ title, words, yes }) {
  const dialog = byId("confirm");
  text(byId("confirm-title"), title);
  text(byId("confirm-words"), words);
  text(byId("confirm-yes"), yes);
  return asked(dialog).then((answer) => answer === "yes");
}

/**
 * Shows a dialog until it closes: its `returnValue`, empty when it was dismissed. "Cancel" submits nothing, so that Enter
 * in a field is the button that does what was asked for.
 */
export function asked(dialog) {
  const cancel = dialog.querySelector("[data-cancel]");
  if (cancel) cancel.onclick = () => dialog.close("");
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((done) => dialog.addEventListener("close", () => done(dialog.returnValue), { once: true }));
}

/** Runs `work` with the button busy, so that nobody presses it twice. Errors are said with `what`. */
export async function busy(button, what, work) {
  if (button.getAttribute("aria-busy") === "true") return;
  button.setAttribute("aria-busy", "true");
  button.setAttribute("aria-disabled", "true");
  try {
    await work();
  } catch (error) {
    sayError(what, error);
  } finally {
    button.removeAttribute("aria-busy");
    button.removeAttribute("aria-disabled");
  }
}

/** Copies, and says so. Without a clipboard (plain HTTP) false. */
export async function copy(value, what) {
  try {
    await navigator.clipboard.writeText(value);
  } catch {
    return false;
  }
  say(`${what} copied`);
  return true;
}

/** 940 → "940 ms", 1400 → "1.4 s", 84000 → "1:24", 3700000 → "1:01:40". */
export function duration(ms) {
  if (!Number.isFinite(ms)) return "–";
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 9950) return `${(ms / 1000).toFixed(1)} s`;
  return ms < 60_000 ? `${Math.round(ms / 1000)} s` : stopwatch(ms);
}

/** 4000 → "0:04", 84000 → "1:24", 3700000 → "1:01:40", for what is still going on. */
export function stopwatch(ms) {
  if (!Number.isFinite(ms)) return "–";
  const s = Math.max(0, Math.floor(ms / 1000));
  const two = (n) => String(n).padStart(2, "0");
  const hours = Math.floor(s / 3600);
  const minutes = Math.floor(s / 60) % 60;
  return hours ? `${hours}:${two(minutes)}:${two(s % 60)}` : `${minutes}:${two(s % 60)}`;
}

const CLOCK = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const MINUTE = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });

/** The time of day, here. */
export function clock(ms, { seconds = true } = {}) {
  return Number.isFinite(ms) ? (seconds ? CLOCK : MINUTE).format(ms) : "–";
}

/** At most so many characters of a name, by code points, so that no emoji is cut. */
export function short(value, most = 40) {
  const points = Array.from(String(value ?? ""));
  return points.length > most ? `${points.slice(0, most - 1).join("")}…` : points.join("");
}

/** A name within a sentence: without what would turn the direction of the words around it. */
export function inSentence(value, most = 80) {
  return short(String(value ?? "").replace(/[\u202a-\u202e\u2066-\u2069]/g, ""), most);
}

/** Two letters for a face. */
export function initials(name) {
  const words = String(name ?? "").match(/[\p{L}\p{N}]+/gu) ?? ["?"];
  const letters = words.length > 1 ? [words[0], words.at(-1)] : [words[0]];
  return letters.map((word) => Array.from(word)[0].toUpperCase()).join("");
}

/** A hue of one's own, the same wherever the identity is shown. */
export function hue(identity) {
  let sum = 7;
  for (const point of String(identity ?? "")) sum = (sum * 31 + point.codePointAt(0)) % 360;
  return sum;
}

/** A face: initials on a colour of their own. */
export function face(identity, name) {
  const node = h("span", { class: "face", "aria-hidden": "true" }, initials(name || identity));
  node.style.setProperty("--hue", String(hue(identity)));
  return node;
}

/**
 * The list of sessions: which are live, who is in them, what was said last; and the dialog that makes one.
 *
 * Promises: draws at most `SHOWN` of them, and says when there are more. Chosen by a link, so that the keyboard, the
 * back button and a bookmark work.
 */

import { speaking, title } from "./model.js";
import { asked, attribute, byId, clock, face, h, inSentence, rows, short, text } from "./ui.js";

const SHOWN = 100;
const FACES = 4;

export class SessionList {
  #ended = false;
  #show = rows(byId("session-list"), (one) => one.id, makeItem);

  constructor(model, changed) {
    this.model = model;
    byId("filter").addEventListener("input", changed);
    for (const [id, ended] of [["show-live", false], ["show-ended", true]]) {
      byId(id).addEventListener("click", () => {
        this.#ended = ended;
        changed();
      });
    }
  }

  draw(now) {
    const { model } = this;
    text(byId("count-live"), model.count({ ended: false }));
    text(byId("count-ended"), model.count({ ended: true }));
    attribute(byId("show-live"), "aria-pressed", String(!this.#ended));
    attribute(byId("show-ended"), "aria-pressed", String(this.#ended));
    const found = this.found;
    this.#show(found.slice(0, SHOWN).map((session) => ({ id: session.id, session, now, current: model.selected === session.id })));
    text(byId("session-none"), this.#words(found.length));
  }

  /** Those that the filter lets through. */
  get found() {
    const wanted = byId("filter").value.trim().toLocaleLowerCase();
    const all = this.model.list({ ended: this.#ended });
    if (!wanted) return all;
    return all.filter(({ id, info }) =>
      [id, info.room_name, info.user_id].some((value) => String(value ?? "").toLocaleLowerCase().includes(wanted)),
    );
  }

  #words(found) {
    if (found > SHOWN) return `${found - SHOWN} more: narrow them down with the filter.`;
    if (found > 0) return "";
    if (byId("filter").value.trim()) return "Nothing matches the filter.";
    return this.#ended ? "None has ended since this page was opened." : "Nobody talks at the moment.";
  }
}

function makeItem() {
  const name = h("span", { class: "item-name" });
  const time = h("span", { class: "item-time" });
  const said = h("span", { class: "item-said" });
  const faces = h("span", { class: "faces", role: "img" });
  const showFaces = rows(faces, (one) => one.sid, makeFace);
  const link = h(
    "a",
    {},
    h("span", { class: "item-head" }, name, time),
    h("span", { class: "item-rest" }, said, faces),
  );
  return {
    node: h("li", {}, link),
    update({ session, now, current }) {
      const { info } = session;
      const people = [...session.people.values()];
      attribute(link, "href", `#session=${encodeURIComponent(session.id)}`);
      attribute(link, "aria-current", current ? "true" : null);
      text(name, short(title(session), 60));
      text(time, clock(Date.parse(info.created_at) || session.at, { seconds: false }));
      text(said, lastWords(session));
      faces.hidden = people.length === 0;
      attribute(faces, "aria-label", `${people.length} ${people.length === 1 ? "person" : "people"}`);
      const more = people.length - FACES;
      const shown = people.slice(0, FACES).map((person) => ({ sid: person.sid, person, now }));
      showFaces(more > 0 ? [...shown, { sid: "+", more }] : shown);
    },
  };
}

function makeFace({ person, more }) {
  if (!person) {
    const node = h("span", { class: "more" }, `+${more}`);
    return { node, update: (item) => text(node, `+${item.more}`) };
  }
  const node = face(person.identity, person.name);
  return { node, update: (item) => node.classList.toggle("speaking", speaking(item.person, item.now)) };
}

function lastWords(session) {
  const { info, lines } = session;
  const line = lines.last;
  if (line) return `${short(line.name, 20)}: ${short(line.text || line.note, 90)}`;
  if (info.status === "ended") return (info.end_reason ?? "ended").replaceAll("_", " ");
  return info.user_id ? `for ${inSentence(info.user_id, 40)}` : "opened from elsewhere";
}

/** Asks what the new session shall be: its data, `join` and `camera`; `null` when none is wanted. */
export async function askForSession() {
  const field = (id) => byId(`create-${id}`);
  if ((await asked(byId("create-dialog"))) !== "create") return null;
  const data = { user_id: field("user").value.trim() };
  if (field("name").value.trim()) data.display_name = field("name").value.trim();
  if (field("room").value.trim()) data.room_name = field("room").value.trim();
  data.stt = { enabled: field("stt").checked };
  if (field("language").value.trim()) data.stt.language = field("language").value.trim();
  data.ai = { enabled: field("ai").checked, speak: field("speak").checked };
  return { data, join: field("join").checked, camera: field("camera").checked };
}

/**
 * Puts the page together: the key, the stream, what is asked for, and who draws what.
 *
 * Promises: the stream is open before anything is listed, so that nothing falls between; lists repair what the stream
 * could not tell, every half minute. A guest's link opens the guest's page and nothing else.
 */

import { Api, Problem } from "./api.js";
import { Call } from "./call.js";
import { Conversation } from "./conversation.js";
import { guestLink, invitation, welcome } from "./guest.js";
import { Model, title } from "./model.js";
import { askForSession, SessionList } from "./sessions.js";
import { Feed } from "./sse.js";
import { System } from "./system.js";
import { asked, attribute, byId, clock, confirm, copy, drawer, inSentence, sayError, text } from "./ui.js";

const TICK_MS = 1000;
const LIST_EVERY_MS = 30_000;
const LISTED = 200;
const PEOPLE_ASKED_FOR = 16;
const STREAM = { opening: "connecting", open: "live", lost: "connection lost, trying again", refused: "this key may not read events" };

const api = new Api();
let page = null;

function mode(name) {
  document.body.dataset.mode = name;
}

class Live {
  constructor() {
    this.model = new Model(() => this.ask());
    this.ask = drawer(() => this.draw());
    this.list = new SessionList(this.model, this.ask);
    this.conversation = new Conversation({
      join: () => this.join(),
      invite: () => this.invite(),
      end: () => this.end(),
      remove: (person) => this.remove(person),
    });
    this.system = new System(api, this.model);
    this.feed = new Feed({
      api,
      path: "api/events",
      onEvent: (envelope) => this.model.apply(envelope),
      onState: (state) => this.streaming(state),
    });
    this.call = null;
    api.timed = (ms) => this.model.latencies.command.add(ms);
    byId("create").addEventListener("click", () => this.create().catch((error) => sayError("The session was not made", error)));
    addEventListener("hashchange", () => this.route());
  }

  start() {
    mode("live");
    byId("forget-key").hidden = !api.key;
    this.route();
    this.feed.run();
    this.system.look();
    setInterval(() => this.ask(), TICK_MS);
    setInterval(() => document.hidden || this.refresh(), LIST_EVERY_MS);
  }

  draw() {
    const now = Date.now();
    this.list.draw(now);
    this.conversation.draw(this.model.current, now, this.model.leaseMs);
    this.system.draw();
    text(byId("rate"), this.model.rate(now).toFixed(1));
  }

  streaming(state) {
    attribute(byId("stream"), "data-state", state);
    text(byId("stream-words"), STREAM[state]);
    if (state === "open" || state === "refused") this.refresh();
  }

  /** Where the address says: one session, the list, or the system. */
  route() {
    const where = new URLSearchParams(location.hash.slice(1));
    if (where.get("guest")) return location.reload();
    const id = where.get("session");
    if (id) this.choose(id);
    const view = where.has("system") ? "system" : where.has("session") ? "session" : "sessions";
    document.body.dataset.view = view;
    for (const link of document.querySelectorAll("[data-view-link]")) {
      attribute(link, "aria-current", link.dataset.viewLink === view ? "true" : null);
      if (link.dataset.viewLink === "session" && this.model.selected) link.href = `#session=${encodeURIComponent(this.model.selected)}`;
    }
  }

  choose(id) {
    this.model.selected = id;
    this.draw();
    this.describe(id).catch((error) => sayError("The session cannot be shown", error));
  }

  /** All that June knows of one session. */
  async describe(id) {
    if (!this.model.sessions.get(id)?.complete) {
      const info = await api.session(id);
      this.model.described(info);
    }
    await this.people(id);
  }

  async people(id) {
    const session = this.model.sessions.get(id);
    if (!session || session.info.status === "ended") return;
    const askedAt = Date.now();
    try {
      const { participants } = await api.participants(id);
      this.model.present(id, participants, askedAt);
    } catch (error) {
      if (![404, 409].includes(error.status)) throw error;
    }
  }

  /** June's own lists: what was there before this page, and what the stream could not tell. */
  async refresh() {
    try {
      const askedAt = Date.now();
      const pages = await Promise.all(["active", "created"].map((status) => api.sessions({ status, limit: LISTED })));
      const infos = pages.flatMap((one) => one.sessions);
      this.model.listed(infos);
      const whole = pages.every((one) => !one.next_cursor);
      const missing = whole ? this.model.notListed(new Set(infos.map((one) => one.session_id)), askedAt) : [];
      for (const one of missing.slice(0, PEOPLE_ASKED_FOR)) await this.again(one.id);
      const shown = this.model.list({ ended: false }).slice(0, PEOPLE_ASKED_FOR).map((one) => one.id);
      const chosen = this.model.selected;
      for (const id of chosen && !shown.includes(chosen) ? [chosen, ...shown] : shown) await this.people(id);
    } catch (error) {
      if (error instanceof Problem && error.status === 401) return ask("June does not know this key any more.");
      console.warn("the list could not be had:", error.message);
    }
  }

  async again(id) {
    try {
      this.model.described(await api.session(id));
    } catch (error) {
      if (error.status !== 404) throw error;
      this.model.forget(id);
    }
  }

  async create() {
    const wanted = await askForSession();
    if (wanted === null) return;
    const made = await api.createSession(wanted.data);
    this.model.described(made);
    location.hash = `#session=${encodeURIComponent(made.session_id)}`;
    if (!wanted.join) return;
    await this.enter(made.session_id, { ...made, mic: true, camera: wanted.camera });
  }

  async join() {
    const session = this.model.current;
    const owner = session.info.user_id;
    const isIn = [...session.people.values()].some((person) => person.identity === owner);
    byId("join-owner-label").hidden = owner === null;
    text(byId("join-owner-name"), isIn ? `${inSentence(owner)} (takes the place of the one who is in)` : (owner ?? ""));
    byId(owner === null || isIn ? "join-guest" : "join-owner").checked = true;
    if ((await asked(byId("join-dialog"))) !== "join") return;
    const token = byId("join-owner").checked
      ? await api.session(session.id, { identity: owner })
      : await this.guest(session.id, byId("join-name").value.trim() || "Guest");
    if (!token.access_token) throw new Error("this key may not make tokens (sessions:write)");
    await this.enter(session.id, { ...token, mic: byId("join-mic").checked, camera: byId("join-camera").checked });
  }

  guest(id, name, more = {}) {
    return api.guestToken(id, { guest_name: name, ...more });
  }

  /** One call at a time. It goes on, and stays in sight, while another session is looked at. */
  async enter(id, { livekit_url: url, access_token: token, mic, camera }) {
    await this.call?.leave();
    const call = new Call(byId("call-place"), () => {
      if (this.call === call) this.call = null;
    });
    this.call = call;
    await call.join({ url, token, mic, camera, title: title(this.model.sessions.get(id)) });
  }

  async invite() {
    const session = this.model.current;
    byId("invite-name").value = "";
    if ((await asked(byId("invite-dialog"))) !== "invite") return;
    const name = byId("invite-name").value.trim();
    const made = await this.guest(session.id, name, {
      ttl_s: Number(byId("invite-ttl").value),
      can_publish: byId("invite-publish").checked,
    });
    byId("link").value = guestLink(made);
    const until = clock(Date.parse(made.expires_at), { seconds: false });
    text(byId("link-words"), `Lets ${inSentence(name)} into “${inSentence(title(session))}”, and whoever else has it, until ${until}.`);
    await asked(byId("link-dialog"));
    byId("link").value = "";
  }

  async remove(person) {
    const { id } = this.model.current;
    const name = person.name || person.identity;
    const words = "The token that this person has does not work any more.";
    if (!(await confirm({ title: `Remove ${inSentence(name)}?`, words, yes: "Remove" }))) return;
    await api.removeParticipant(id, person.identity);
  }

  async end() {
    const session = this.model.current;
    const words = "Everybody is disconnected, and the room is closed.";
    if (!(await confirm({ title: `End “${inSentence(title(session))}”?`, words, yes: "End it" }))) return;
    const ended = await api.endSession(session.id);
    this.model.described(ended);
  }
}

/** The form for the key, with the reason why it is there. A page that was open begins anew. */
function ask(reason = "") {
  api.key = "";
  if (page) return location.reload();
  mode("key");
  text(byId("key-error"), reason);
  byId("key").focus();
}

/** Whether June lets us in: the page, else the form. */
async function open() {
  try {
    await api.sessions({ limit: 1 });
  } catch (error) {
    if (error.status === 401) return ask(api.key ? "June does not know this key." : "");
    if (error.status === 403) return ask("This key lacks the scope sessions:read.");
    sayError("June does not answer yet", error);
  }
  page = new Live();
  page.start();
}

function begin() {
  const invited = invitation();
  if (invited !== null || location.hash === "#guest") {
    mode("guest");
    return welcome(invited);
  }
  byId("key-form").addEventListener("submit", (event) => {
    event.preventDefault();
    api.key = byId("key").value.trim();
    byId("key").value = "";
    open();
  });
  byId("forget-key").addEventListener("click", () => {
    api.key = "";
    location.reload();
  });
  byId("link-copy").addEventListener("click", () => copy(byId("link").value, "Link").then((done) => done || byId("link").select()));
  open();
}

begin();

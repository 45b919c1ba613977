/**
 * The session that is looked at: its people, what is said, and the jobs that listen.
 *
 * Promises: draws what the model has, and nothing else; captions follow the newest unless somebody reads further up. It
 * decides nothing: the buttons call `actions`.
 */

import { jobOf, speaking, title } from "./model.js";
import { attribute, busy, byId, clock, duration, face, h, icon, inSentence, rows, stopwatch, text } from "./ui.js";

const KINDS = { sip: "by telephone", agent: "agent", connector: "connector", egress: "recorder", ingress: "stream", bridge: "bridge" };
const NEAR_PX = 48;
const JOBS_SHOWN = 40;

export class Conversation {
  #showPeople;
  #showLines = rows(byId("captions"), (line) => line.key, makeLine);
  #showJobs = rows(byId("jobs"), (one) => one.job.job_id, makeJob);
  #drawn = null;
  #follows = true;

  /** `actions`: `join`, `invite`, `end`, and `remove(person)`; promises all. */
  constructor(actions) {
    this.#showPeople = rows(byId("people"), (one) => one.person.sid, () => makePerson(actions.remove));
    for (const name of ["join", "invite", "end"]) {
      const button = byId(name);
      button.addEventListener("click", () => busy(button, button.textContent, actions[name]));
    }
    byId("newest").addEventListener("click", () => this.#toNewest());
    byId("captions").addEventListener("scroll", () => this.#scrolled(), { passive: true });
  }

  draw(session, now, leaseMs = null) {
    byId("session-nothing").hidden = session !== null;
    byId("session-chosen").hidden = session === null;
    if (session === null) return;
    if (this.#drawn !== session.id) this.#other(session.id);
    this.#head(session, now);
    this.#people(session, now);
    this.#lines(session);
    this.#jobs(session, now, leaseMs);
  }

  #other(id) {
    this.#drawn = id;
    this.#follows = true;
    this.#showLines([]);
    this.#showJobs([]);
    this.#showPeople([]);
  }

  #head(session, now) {
    const { info } = session;
    const ended = info.status === "ended";
    text(byId("session-title"), title(session));
    text(byId("session-status"), info.status === "created" ? "waiting for people" : info.status);
    attribute(byId("session-status"), "data-state", info.status);
    const from = Date.parse(info.started_at ?? info.created_at) || session.at;
    const until = Date.parse(info.ended_at) || now;
    const facts = [
      info.user_id ? `for ${inSentence(info.user_id, 60)}` : "opened from elsewhere",
      `since ${clock(from)}`,
      ended ? `${stopwatch(until - from)} long, ended: ${(info.end_reason ?? "").replaceAll("_", " ")}` : stopwatch(now - from),
      services(info),
      ...(session.id === title(session) ? [] : [session.id]),
    ];
    const node = byId("session-facts");
    while (node.children.length < facts.length) node.append(h("span"));
    while (node.children.length > facts.length) node.lastChild.remove();
    facts.forEach((fact, at) => text(node.children[at], fact));
    byId("session-actions").hidden = ended;
  }

  #people(session, now) {
    const people = [...session.people.values()].sort((a, b) => a.at - b.at || (a.sid < b.sid ? -1 : 1));
    this.#showPeople(people.map((person) => ({ person, job: jobOf(session, person.sid), now, session })));
    text(byId("people-count"), people.length);
    byId("people-none").hidden = people.length > 0;
  }

  #lines(session) {
    const lines = session.lines.items;
    this.#showLines(lines);
    byId("captions-none").hidden = lines.length > 0;
    if (this.#follows) this.#toNewest();
    else byId("newest").hidden = false;
  }

  #toNewest() {
    const box = byId("captions");
    box.scrollTop = box.scrollHeight;
    byId("newest").hidden = true;
  }

  /** Whoever scrolls up reads; whoever comes back to the end follows again. */
  #scrolled() {
    const box = byId("captions");
    this.#follows = box.scrollHeight - box.scrollTop - box.clientHeight < NEAR_PX;
    if (this.#follows) byId("newest").hidden = true;
  }

  #jobs(session, now, leaseMs) {
    const jobs = [...session.jobs.values()].reverse().slice(0, JOBS_SHOWN);
    this.#showJobs(jobs.map((job) => ({ job, now, leaseMs, name: session.people.get(job.participant.sid)?.name })));
    text(byId("jobs-count"), jobs.filter((job) => job.state !== "ended").length);
    byId("jobs-none").hidden = jobs.length > 0;
    byId("jobs-table").hidden = jobs.length === 0;
  }
}

function services({ stt, ai }) {
  if (!stt.enabled) return "nobody listens";
  const listens = `listens${stt.language ? ` (${stt.language})` : ""}`;
  if (!ai.enabled) return listens;
  return `${listens}, answers${ai.speak === false ? " in writing" : " aloud"}`;
}

function makePerson(remove) {
  let shown = null;
  const name = h("span", { class: "person-name" });
  const rest = h("span", { class: "person-rest" });
  const tracks = h("span", { class: "person-rest" });
  const words = h("span");
  rest.append(tracks, words);
  const button = h("button", { type: "button", class: "quiet round" }, icon("remove"));
  button.addEventListener("click", () => busy(button, "Removing", () => remove(shown)));
  const picture = h("span");
  const node = h("li", { class: "person" }, picture, h("div", {}, name, rest), button);
  return {
    node,
    update({ person, job, now, session }) {
      if (shown === null) picture.replaceWith((node.picture = face(person.identity, person.name)));
      shown = person;
      const called = person.name || person.identity;
      text(name, called);
      attribute(name, "title", person.identity);
      node.picture.classList.toggle("speaking", speaking(person, now));
      drawTracks(tracks, person);
      text(words, doing(person, job, now, session));
      words.classList.toggle("listening", job?.state === "running");
      attribute(button, "aria-label", `Remove ${called}`);
    },
  };
}

const TRACKS = { microphone: ["mic", "microphone on"], camera: ["camera", "camera on"], screen_share: ["screen", "shares a screen"] };

function drawTracks(node, person) {
  const sources = [...new Set([...person.tracks.values()].map((track) => track.source))].filter((one) => one in TRACKS);
  const key = sources.join();
  if (node.dataset.key === key) return;
  node.dataset.key = key;
  node.replaceChildren(
    ...sources.map((source) => h("span", { role: "img", "aria-label": TRACKS[source][1] }, icon(TRACKS[source][0]))),
  );
}

function doing(person, job, now, session) {
  if (speaking(person, now)) return "speaking";
  if (job?.state === "running") return "listened to";
  if (job?.state === "waiting") return "waiting for a listener";
  if (KINDS[person.kind]) return KINDS[person.kind];
  const silent = ![...person.tracks.values()].some((track) => track.type === "audio");
  return silent ? "silent" : session.info.stt.enabled ? "microphone on" : "not listened to";
}

function makeLine(line) {
  const june = line.role === "assistant";
  const node = h(
    "article",
    { class: june ? "line assistant" : "line" },
    face(june ? "june" : line.identity, line.name),
    h(
      "div",
      {},
      h("p", { class: "line-head" }, h("span", { class: "line-who" }, line.name), h("time", { class: "line-at" }, clock(line.at))),
      line.text ? h("p", { class: "line-text" }, line.text) : null,
      line.note ? h("p", { class: "line-note" }, line.note) : null,
    ),
  );
  return { node, update: () => {} };
}

/** Heartbeats are not told to readers of events; a lease that ran out is: the job waits again, by its next attempt. */
function lease(job, now, leaseMs) {
  if (job.state === "running") return leaseMs === null ? "held" : `held, ${duration(leaseMs)} each time`;
  if (job.state !== "waiting") return "–";
  if (leaseMs === null) return "not taken yet";
  const left = job.since + leaseMs - now;
  return left > 0 ? `to be taken within ${stopwatch(left)}` : "was not taken in time";
}

function makeJob() {
  const cells = Array.from({ length: 5 }, () => h("td"));
  const [voice, state, attempt, since, held] = cells;
  const pill = h("span", { class: "pill" });
  state.append(pill);
  return {
    node: h("tr", {}, ...cells),
    update({ job, now, leaseMs, name }) {
      const states = { waiting: "waiting", running: "listening", ended: "ended" };
      // Who has left is known by the identity alone; a name that was there stays.
      if (name || !voice.textContent) text(voice, name || job.participant.identity);
      attribute(voice, "title", `${job.participant.identity}, ${job.track_sid}`);
      text(pill, job.reason ? job.reason.replaceAll("_", " ") : (states[job.state] ?? job.state));
      attribute(pill, "data-state", job.state);
      text(attempt, job.attempt);
      text(since, job.state === "ended" ? clock(job.since) : stopwatch(now - job.since));
      text(held, lease(job, now, leaseMs));
    },
  };
}

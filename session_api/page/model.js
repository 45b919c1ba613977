/**
 * What is known of the conversations: June's events, and now and then its lists, put together.
 *
 * Promises: an event that comes twice changes nothing; who left stays gone, whatever an older list says; everything is
 * bounded, and what has ended goes first. Draws nothing and asks nobody: `changed` is called after each change.
 */

import { Latencies, Ring, Seen } from "./ring.js";

export const LIMITS = { sessions: 250, ended: 40, people: 200, jobs: 64, lines: 150, gone: 400, events: 4096, chars: 4000 };

/** Rates are counted over so many seconds. */
const RATE_S = 10;

/** @returns a session of which nothing is known but its id */
function unknown(id) {
  return {
    id,
    info: { session_id: id, user_id: null, room_name: "", status: "active", origin: "june", stt: {}, ai: {} },
    people: new Map(),
    jobs: new Map(),
    lines: new Ring(LIMITS.lines),
    gone: new Seen(LIMITS.gone),
    turnSince: null,
    waitingForTurn: false,
    at: 0,
    complete: false,
  };
}

export class Model {
  sessions = new Map();
  selected = null;
  received = 0;
  /** For how long June gives a job; not known to a key without system:read. */
  leaseMs = null;
  latencies = { listen: new Latencies(), answer: new Latencies(), event: new Latencies(), command: new Latencies() };
  #seen = new Seen(LIMITS.events);
  #rate = new Map();

  constructor(changed = () => {}) {
    this.changed = changed;
  }

  /** Events a second, lately. */
  rate(now = Date.now()) {
    const second = Math.floor(now / 1000);
    let sum = 0;
    for (const [at, count] of this.#rate) if (at >= second - RATE_S && at < second) sum += count;
    return sum / RATE_S;
  }

  /** Live ones first, the newest on top. */
  list({ ended }) {
    const wanted = [...this.sessions.values()].filter((one) => (one.info.status === "ended") === ended);
    return wanted.sort((a, b) => created(b) - created(a) || (a.id < b.id ? -1 : 1));
  }

  count({ ended }) {
    let sum = 0;
    for (const one of this.sessions.values()) sum += (one.info.status === "ended") === ended;
    return sum;
  }

  get current() {
    return this.selected === null ? null : (this.sessions.get(this.selected) ?? null);
  }

  /** An envelope from the stream. What is not June's, or came before, is left alone. */
  apply(envelope, now = Date.now()) {
    if (envelope?.source !== "june" || !this.#seen.add(envelope.id)) return;
    const data = envelope.data ?? {};
    const at = Date.parse(envelope.time);
    this.received += 1;
    this.#count(now);
    this.latencies.event.add(now - at);
    const id = data.session?.session_id ?? data.session_id;
    if (typeof id !== "string") return;
    const session = this.#session(id);
    session.at = Math.max(session.at, at || 0);
    APPLY[envelope.type]?.(this, session, data, at, now);
    this.#bound();
    this.changed();
  }

  /** Sessions as June lists them. An older word than the stream's does not bring an ended one back. */
  listed(infos) {
    for (const info of infos) this.described(info, false);
    this.#bound();
    this.changed();
  }

  /** One session as June describes it; `complete` when everything of it is known. */
  described(info, complete = true) {
    const session = this.#session(info.session_id);
    if (session.info.status !== "ended" || info.status === "ended") session.info = pick(info);
    session.at ||= Date.parse(info.created_at) || 0;
    session.complete ||= complete;
    this.changed();
    return session;
  }

  /** Live sessions that a whole list of the live ones, asked for at `askedAt`, does not name. */
  notListed(ids, askedAt) {
    return this.list({ ended: false }).filter((one) => !ids.has(one.id) && one.at < askedAt);
  }

  /** June knows it no more. */
  forget(id) {
    this.sessions.delete(id);
    this.changed();
  }

  /** People as LiveKit has them now, asked for at `askedAt`. */
  present(id, participants, askedAt) {
    const session = this.sessions.get(id);
    if (!session) return;
    const sids = new Set(participants.map((one) => one.sid));
    for (const [sid, person] of session.people) {
      if (!sids.has(sid) && person.knownAt < askedAt) session.people.delete(sid);
    }
    for (const one of participants) {
      if (session.gone.has(one.sid)) continue;
      const person = join(session, one, Date.parse(one.joined_at) || askedAt);
      for (const track of one.tracks ?? []) if (!session.gone.has(track.sid)) person.tracks.set(track.sid, track);
    }
    this.changed();
  }

  #session(id) {
    let session = this.sessions.get(id);
    if (!session) this.sessions.set(id, (session = unknown(id)));
    return session;
  }

  #count(now) {
    const second = Math.floor(now / 1000);
    this.#rate.set(second, (this.#rate.get(second) ?? 0) + 1);
    for (const at of this.#rate.keys()) if (at < second - RATE_S) this.#rate.delete(at);
  }

  /** The ones that ended first; then those that were quiet for longest. Never the one that is looked at. */
  #bound() {
    if (this.sessions.size <= LIMITS.ended) return;
    const others = [...this.sessions.values()].filter((one) => one.id !== this.selected);
    const ended = others.filter((one) => one.info.status === "ended").sort((a, b) => a.at - b.at);
    for (const one of ended.slice(0, Math.max(0, ended.length - LIMITS.ended))) this.sessions.delete(one.id);
    if (this.sessions.size <= LIMITS.sessions) return;
    const live = others.filter((one) => one.info.status !== "ended").sort((a, b) => a.at - b.at);
    for (const one of live.slice(0, this.sessions.size - LIMITS.sessions)) this.sessions.delete(one.id);
  }
}

/** What each type of event does. Others are known by their session alone. */
const APPLY = {
  "june.session.created.v1": (model, session, { session: info }) => about(session, info),
  "june.session.started.v1": (model, session, { session: info }) => about(session, info),
  "june.session.ended.v1": (model, session, { session: info }) => {
    about(session, info);
    session.people.clear();
    session.turnSince = null;
  },
  "june.participant.joined.v1": (model, session, data, at, now) => {
    if (!session.gone.has(data.participant.sid)) join(session, data.participant, at, now);
    named(session, data);
  },
  "june.participant.left.v1": (model, session, { participant }) => {
    session.gone.add(participant.sid);
    session.people.delete(participant.sid);
  },
  "june.track.published.v1": (model, session, data, at, now) => {
    named(session, data);
    if (session.gone.has(data.track.sid) || session.gone.has(data.participant.sid)) return;
    join(session, data.participant, at, now).tracks.set(data.track.sid, data.track);
  },
  "june.track.unpublished.v1": (model, session, { participant, track }) => {
    session.gone.add(track.sid);
    session.people.get(participant.sid)?.tracks.delete(track.sid);
  },
  "june.job.changed.v1": (model, session, data, at) => job(model, session, data, at),
  "june.transcript.added.v1": (model, session, data, at, now) => said(session, data, at, now),
  "june.turn.completed.v1": (model, session, data, at) => answered(model, session, data, at),
};

function about(session, info) {
  if (session.info.status !== "ended" || info.status === "ended") session.info = pick(info);
  session.complete = true;
}

/** The fields of a session, and no token that came beside them. */
function pick(info) {
  const { session_id, user_id, room_name, livekit_room_sid, status, origin, created_at, started_at, ended_at } = info;
  const { end_reason, stt, ai } = info;
  return {
    session_id, user_id, room_name, livekit_room_sid, status, origin,
    created_at, started_at, ended_at, end_reason, stt: stt ?? {}, ai: ai ?? {},
  };
}

/** An event tells the room of a session of which nothing else is known yet. */
function named(session, data) {
  if (!session.info.room_name) session.info = { ...session.info, room_name: data.room_name };
}

function join(session, { sid, identity, name, kind }, at, now = Date.now()) {
  let person = session.people.get(sid);
  if (!person) {
    person = { sid, identity, name: "", kind: "standard", tracks: new Map(), at, spokeAt: 0, knownAt: now };
    if (session.people.size < LIMITS.people) session.people.set(sid, person);
  }
  person.name = name || person.name;
  person.kind = kind || person.kind;
  return person;
}

function job(model, session, data, at) {
  const before = session.jobs.get(data.job_id);
  if (before && at < before.since) return;
  if (before?.state === "waiting" && data.state === "running") model.latencies.listen.add(at - before.since);
  session.jobs.delete(data.job_id);
  session.jobs.set(data.job_id, { ...data, since: at });
  if (session.jobs.size <= LIMITS.jobs) return;
  const oldest = [...session.jobs.values()].find((one) => one.state === "ended") ?? session.jobs.values().next().value;
  session.jobs.delete(oldest.job_id);
}

function said(session, data, at, now) {
  const { participant } = data;
  const person = session.people.get(participant.sid);
  if (person) person.spokeAt = now;
  session.lines.push({
    key: `${participant.sid}/${data.utterance_id}/${at}`,
    role: "user",
    identity: participant.identity,
    name: person?.name || participant.identity,
    text: cut(data.text),
    at,
    note: "",
  });
  if (!session.info.ai?.enabled) return;
  if (session.turnSince === null) session.turnSince = at;
  else session.waitingForTurn = true;
}

/** A turn of a session is in the making until it is completed; what was said meanwhile begins the next. */
function answered(model, session, data, at) {
  if (session.turnSince !== null && data.text) model.latencies.answer.add(at - session.turnSince);
  session.turnSince = session.waitingForTurn ? at : null;
  session.waitingForTurn = false;
  const speaks = session.info.ai?.speak !== false;
  const note = !data.text ? "No answer came" : speaks && !data.spoken ? "Not spoken to the end" : "";
  session.lines.push({ key: data.turn_id, role: "assistant", identity: "", name: "June", text: cut(data.text), at, note });
}

function cut(text) {
  const whole = String(text ?? "");
  return whole.length > LIMITS.chars ? `${whole.slice(0, LIMITS.chars)}…` : whole;
}

function created(session) {
  return Date.parse(session.info.created_at) || session.at;
}

/** The job that listens to a person, or the last that did. */
export function jobOf(session, sid) {
  let found = null;
  for (const one of session.jobs.values()) {
    if (one.participant.sid === sid && (found === null || one.state !== "ended")) found = one;
  }
  return found;
}

/** Whether words of this person have just been told. */
export function speaking(person, now = Date.now()) {
  return now - person.spokeAt < 2500;
}

/** A room's name, or what else there is to call a session. */
export function title(session) {
  return session.info.room_name || session.id;
}

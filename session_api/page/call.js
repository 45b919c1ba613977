/**
 * One call at a time, by LiveKit's own client: microphone, camera, the others' faces and voices.
 *
 * Promises: LiveKit's client is loaded when it is first needed; without it the rest of the page works and this part
 * says what is missing. Devices are let go with the call, whoever ends it.
 */

import { attribute, busy, face, h, icon, inSentence, say, sayError, text } from "./ui.js";

const CLIENT = "vendor/livekit-client.umd.js";
const NO_CLIENT = "LiveKit's browser client is not installed with this page: run session_api/vendor.sh where June runs";
const FACES = 24;

let loading = null;

/** LiveKit's client, once it is there. */
function client() {
  loading ??= new Promise((done, failed) => {
    const script = h("script", { src: CLIENT });
    script.addEventListener("load", () => {
      window.LivekitClient.setLogLevel("warn");
      done(window.LivekitClient);
    });
    script.addEventListener("error", () => {
      loading = null;
      script.remove();
      failed(new Error(NO_CLIENT));
    });
    document.head.append(script);
  });
  return loading;
}

/** June's own voice in a room, not one more person. */
function isJune(identity) {
  return identity.startsWith("june-tts-");
}

export class Call {
  #lk = null;
  #room = null;
  #tiles = new Map();
  #ended = null;
  #left = false;

  /** Drawn into `place`; `ended(words)` is called once, however it ends. */
  constructor(place, ended) {
    this.place = place;
    this.#ended = ended;
  }

  /**
   * Join; `title` is shown above. Devices that cannot be had are said, and the call goes on without them. Raises what
   * LiveKit does.
   */
  async join({ url, token, mic, camera, title = "" }) {
    this.#lk = await client();
    const { Room } = this.#lk;
    this.#room = new Room({ adaptiveStream: true, dynacast: true, disconnectOnPageLeave: true });
    this.#draw(title);
    this.#listen();
    try {
      await this.#room.connect(url, token);
    } catch (error) {
      this.place.replaceChildren();
      throw error;
    }
    if (this.#left) return;
    this.#state("");
    this.#all();
    await this.#device("Microphone", mic, () => this.#room.localParticipant.setMicrophoneEnabled(true));
    await this.#device("Camera", camera, () => this.#room.localParticipant.setCameraEnabled(true));
    this.#buttons();
  }

  /** Leave. Idempotent. */
  async leave() {
    await this.#room?.disconnect();
    this.#over("You have left the call");
  }

  async #device(what, wanted, on) {
    if (!wanted || this.#left) return;
    try {
      await on();
    } catch (error) {
      sayError(`${what} is not available`, error);
    }
  }

  #draw(title) {
    const button = (name, words, act) => {
      const node = h("button", { type: "button", class: name }, icon(name === "leave" ? "leave" : name), words);
      node.addEventListener("click", () => busy(node, words, act));
      return node;
    };
    const me = () => this.#room.localParticipant;
    this.words = h("p", { class: "call-state", role: "status" }, "Connecting…");
    this.tiles = h("div", { class: "tiles" });
    this.voices = h("div", { hidden: true });
    this.mic = button("mic", "Microphone", () => me().setMicrophoneEnabled(!me().isMicrophoneEnabled));
    this.camera = button("camera", "Camera", () => me().setCameraEnabled(!me().isCameraEnabled));
    this.sound = button("sound", "Turn on the sound", () => this.#room.startAudio());
    this.sound.hidden = true;
    const leave = button("leave", "Leave", () => this.leave());
    const controls = h("div", { class: "call-controls", role: "group", "aria-label": "Call" });
    controls.append(this.sound, this.mic, this.camera, leave);
    const heading = title ? h("h3", {}, `You are in “${inSentence(title)}”`) : null;
    this.place.replaceChildren(
      h("section", { class: "call", "aria-label": "Call" }, heading, this.words, this.tiles, controls, this.voices),
    );
    this.#buttons();
  }

  #listen() {
    const { RoomEvent, DisconnectReason } = this.#lk;
    const all = () => this.#all();
    for (const event of [
      RoomEvent.ParticipantConnected, RoomEvent.ParticipantDisconnected, RoomEvent.TrackMuted, RoomEvent.TrackUnmuted,
      RoomEvent.LocalTrackPublished, RoomEvent.LocalTrackUnpublished, RoomEvent.ActiveSpeakersChanged,
      RoomEvent.ParticipantNameChanged,
    ]) {
      this.#room.on(event, all);
    }
    this.#room
      .on(RoomEvent.TrackSubscribed, (track) => {
        if (track.kind === "audio") this.voices.append(track.attach());
        all();
      })
      .on(RoomEvent.TrackUnsubscribed, (track) => {
        for (const element of track.detach()) element.remove();
        all();
      })
      .on(RoomEvent.Reconnecting, () => this.#state("The connection was lost; trying again…"))
      .on(RoomEvent.Reconnected, () => this.#state(""))
      .on(RoomEvent.AudioPlaybackStatusChanged, () => (this.sound.hidden = this.#room.canPlaybackAudio))
      .on(RoomEvent.Disconnected, (reason) => this.#over(why(DisconnectReason, reason)));
  }

  #state(words) {
    text(this.words, words);
    this.words.hidden = words === "";
  }

  /** Everybody, me first. Whoever has the floor is outlined. */
  #all() {
    if (this.#left) return;
    const people = [this.#room.localParticipant, ...this.#room.remoteParticipants.values()].slice(0, FACES);
    const sids = new Set(people.map((one) => one.sid));
    for (const [sid, tile] of this.#tiles) {
      if (sids.has(sid)) continue;
      tile.node.remove();
      this.#tiles.delete(sid);
    }
    for (const person of people) this.#tile(person);
    this.#buttons();
  }

  #tile(person) {
    const me = person === this.#room.localParticipant;
    let tile = this.#tiles.get(person.sid);
    if (!tile) {
      tile = makeTile(person);
      this.#tiles.set(person.sid, tile);
      this.tiles.append(tile.node);
    }
    const name = isJune(person.identity) ? "June" : person.name || person.identity;
    text(tile.name, me ? `${name} (you)` : name);
    attribute(tile.node, "data-mirror", me);
    attribute(tile.node, "data-speaking", person.isSpeaking);
    tile.muted.hidden = person.isMicrophoneEnabled;
    const camera = person.getTrackPublication(this.#lk.Track.Source.Camera);
    tile.show(camera && !camera.isMuted ? camera.videoTrack : null);
  }

  #buttons() {
    const me = this.#room.localParticipant;
    const can = this.#room.state !== "connected" || (me.permissions?.canPublish ?? true);
    for (const [button, on, name] of [[this.mic, me.isMicrophoneEnabled, "mic"], [this.camera, me.isCameraEnabled, "camera"]]) {
      attribute(button, "aria-pressed", on ? "true" : "false");
      button.querySelector("use")?.setAttribute("href", `#i-${on ? name : `${name}-off`}`);
      button.hidden = !can;
    }
  }

  #over(words) {
    if (this.#left) return;
    this.#left = true;
    for (const tile of this.#tiles.values()) tile.show(null);
    this.place.replaceChildren();
    say(words);
    this.#ended(words);
  }
}

function makeTile(person) {
  const name = h("span");
  const muted = h("span", { role: "img", "aria-label": "muted" }, icon("mic-off"));
  const node = h(
    "div",
    { class: "tile", "data-identity": person.identity },
    face(person.identity, isJune(person.identity) ? "June" : person.name),
    h("p", { class: "tile-name" }, name, muted),
  );
  let shown = null;
  return {
    node,
    name,
    muted,
    show(track) {
      if (track === shown) return;
      for (const element of shown?.detach() ?? []) element.remove();
      shown = track;
      if (track) node.prepend(track.attach());
    },
  };
}

function why(reasons, reason) {
  if (reason === reasons.PARTICIPANT_REMOVED) return "You were removed from the conversation";
  if (reason === reasons.ROOM_DELETED || reason === reasons.ROOM_CLOSED) return "The conversation has ended";
  if (reason === reasons.DUPLICATE_IDENTITY) return "You have joined from somewhere else";
  if (reason === reasons.CLIENT_INITIATED) return "You have left the call";
  return "The connection to the call was lost";
}

/**
 * The page of a guest: who follows a link joins one room, and sees nothing else of June.
 *
 * Promises: the token is read from the fragment, which no server is ever sent, and taken out of the address at once; the
 * guest sees where the call goes before anything is sent there. Asks June for nothing, and has no API key.
 */

import { Call } from "./call.js";
import { byId, busy, inSentence, sayError, text } from "./ui.js";

const KEPT = "june-guest";

/** A link that lets one guest in. Everything is in the fragment. */
export function guestLink({ access_token, livekit_url }) {
  const fragment = new URLSearchParams({ guest: access_token, url: livekit_url });
  return new URL(`#${fragment}`, document.baseURI.split("#")[0]).href;
}

/** The invitation in the address, or the one that this tab was opened with; `null` when there is none. */
export function invitation() {
  const fragment = new URLSearchParams(location.hash.slice(1));
  if (fragment.get("guest")) {
    sessionStorage.setItem(KEPT, JSON.stringify({ token: fragment.get("guest"), url: fragment.get("url") }));
    history.replaceState(null, "", `${location.pathname}#guest`);
  } else if (location.hash !== "#guest") return null;
  return JSON.parse(sessionStorage.getItem(KEPT) ?? "null");
}

/** What a token says. It is LiveKit that decides whether it is right. */
export function claims(token) {
  try {
    const payload = token.split(".")[1].replaceAll("-", "+").replaceAll("_", "/");
    const bytes = Uint8Array.from(atob(payload), (char) => char.charCodeAt(0));
    return JSON.parse(new TextDecoder().decode(bytes));
  } catch {
    return null;
  }
}

/** The lobby, then the call. */
export function welcome(invited) {
  const form = byId("guest-form");
  const join = byId("guest-join");
  const problem = wrong(invited);
  if (problem) {
    text(byId("guest-title"), "This invitation does not work");
    text(byId("guest-words"), problem);
    for (const node of form.querySelectorAll("fieldset, button, .small")) node.hidden = true;
    return;
  }
  const told = claims(invited.token);
  text(byId("guest-title"), told.video.room);
  text(byId("guest-words"), `${inSentence(told.name) || "You"}: you are invited. The call goes by ${new URL(invited.url).host}.`);
  const publish = told.video.canPublish !== false;
  form.querySelector("fieldset").hidden = !publish;
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    busy(join, "Joining", () => enter(invited, publish));
  });
}

async function enter(invited, publish) {
  const form = byId("guest-form");
  const call = new Call(byId("guest-call"), (words) => {
    text(byId("guest-words"), `${words}.`);
    form.hidden = false;
  });
  const mic = publish && byId("guest-mic").checked;
  const camera = publish && byId("guest-camera").checked;
  form.hidden = true;
  try {
    await call.join({ ...invited, mic, camera });
  } catch (error) {
    form.hidden = false;
    sayError("The call could not be joined", error);
  }
}

function wrong(invited) {
  const told = invited && claims(invited.token);
  if (!told?.video?.room || !URL.canParse(invited.url) || !/^wss?:$/.test(new URL(invited.url).protocol)) {
    return "The link is not complete. Ask for another one.";
  }
  return told.exp * 1000 < Date.now() ? "Its time has run out. Ask for another one." : "";
}

// A text-to-speech service, with the voice and its way into the room left out.
//
// `node tts.mjs` takes `june.tts.speak.v1`, holds each part for as long as saying it would take, and reports
// `completed`, or `cancelled` when June says so. It is complete but for `speak`, which is silent.

import { setTimeout as pause } from "node:timers/promises";
import { run } from "./service.mjs";

const TTS = {
  name: "node-tts",
  jobsQueue: "june.tts.jobs.v1",
  stopType: "june.tts.cancel.v1",
  statusType: "june.tts.status.v1",
  key: "turn_id",
  reportsCancelled: true,
};
const WORD_MS = 120;

async function say(service, job, signal) {
  await speak(job, signal);
  await service.status(job, "completed");
}

// Yours: join `job.livekit_url` with `job.token`, publish a microphone track, and play `job.text`.
// When `signal` is aborted, be silent at once and throw.
async function speak(job, signal) {
  await pause(job.text.split(/\s+/).length * WORD_MS, undefined, { signal });
}

await run(TTS, say);

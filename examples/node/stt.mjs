// A speech-to-text service, with the recogniser and its way into the room left out.
//
// `node stt.mjs` takes `june.stt.start.v1`, holds each job, and reports what was said. It is complete but for `listen`,
// which does not join the room and so has heard nothing: what it gives is a sample sentence, and says so.

import { once } from "node:events";
import { setTimeout as pause } from "node:timers/promises";
import { run } from "./service.mjs";

const STT = {
  name: "node-stt",
  jobsQueue: "june.stt.jobs.v1",
  stopType: "june.stt.stop.v1",
  statusType: "june.stt.status.v1",
  key: "job_id",
};

async function transcribe(service, job, signal) {
  for await (const heard of listen(job, signal)) {
    await service.report(job, "june.stt.transcript.v1", {
      job_id: job.job_id,
      attempt: job.attempt,
      language: job.language,
      ...heard,
    });
  }
  // A voice that ends is known to June, too, which says stop. Where it does not, another attempt is due.
  throw new Error(`${job.track.sid} cannot be heard any more`);
}

// Yours: join `job.livekit_url` with `job.token`, subscribe to the track `job.track.sid`, and recognise.
// An `utterance_id` is unique within its job, over all of its attempts.
async function* listen(job, signal) {
  await pause(1000, undefined, { signal });
  yield {
    utterance_id: `${job.attempt}.1`,
    text: "This is a sample sentence, not what you said.",
    is_final: true,
    start_ms: 0,
    end_ms: 1000,
  };
  if (!signal.aborted) await once(signal, "abort");
  signal.throwIfAborted();
}

await run(STT, transcribe);

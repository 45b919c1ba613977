// An AI service, with two rules in the place of a model.
//
// `node ai.mjs` takes `june.ai.turn.v1` and answers with `june.ai.reply.v1`, part by part as a model would give its
// sentences. A cancel ends the answer where it is.

import { setTimeout as pause } from "node:timers/promises";
import { run } from "./service.mjs";

const AI = {
  name: "node-ai",
  jobsQueue: "june.ai.jobs.v1",
  stopType: "june.ai.cancel.v1",
  statusType: "june.ai.status.v1",
  key: "turn_id",
};

async function answer(service, turn, signal) {
  const sentences = think(turn);
  for (const [part, text] of sentences.entries()) {
    await pause(50, undefined, { signal }); // yours: await the model's next sentence, and give it the signal
    await service.report(turn, "june.ai.reply.v1", {
      turn_id: turn.turn_id,
      attempt: turn.attempt,
      part,
      text,
      is_final: part === sentences.length - 1,
    });
  }
}

function think(turn) {
  const who = turn.participant.name || turn.participant.identity;
  const greeting = turn.history.length ? `Hello again, ${who}.` : `Hello ${who}, I am a sample with two rules.`;
  return [greeting, `You said ${turn.text.split(/\s+/).filter(Boolean).length} words.`];
}

await run(AI, answer);

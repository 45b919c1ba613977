// A backend: asks June by AMQP and prints the reply.
//
// `node backend.mjs TYPE DATA [ID]` sends one command, for example
// `node backend.mjs june.session.create.v1 '{"user_id": "bob"}'`. The same ID again gives the same answer.

import { randomUUID } from "node:crypto";
import { setTimeout as pause } from "node:timers/promises";
import { connected, data, envelope, publish } from "./service.mjs";

const REPLY_WITHIN_MS = 10_000;

// The result of a command. Throws what June answered when it is not `ok`.
async function ask(channel, type, about, id) {
  const { queue } = await channel.assertQueue("", { exclusive: true });
  const reply = new Promise((resolve) => {
    channel.consume(queue, (message) => message.properties.correlationId === id && resolve(data(message)), {
      noAck: true,
    });
  });
  const properties = { correlationId: id, replyTo: queue };
  await publish(channel, "june.commands", type, envelope("node-backend", type, about, id), properties);
  const answer = await Promise.race([reply, pause(REPLY_WITHIN_MS, undefined, { ref: false })]);
  if (!answer) throw new Error(`June did not answer ${type} within ${REPLY_WITHIN_MS} ms`);
  if (!answer.ok) throw new Error(JSON.stringify(answer.error));
  return answer.result;
}

const [type, about, id = randomUUID()] = process.argv.slice(2);
const { channel, close } = await connected();
try {
  console.log(JSON.stringify(await ask(channel, type, JSON.parse(about), id), null, 2));
} catch (error) {
  console.error(error.message);
  process.exitCode = 1;
}
await close();

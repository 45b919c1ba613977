// What the services have in common: taking jobs, hearing stops, holding a lease, reporting.
//
// Knows June by its contract alone, and RabbitMQ by amqplib. Promises: a job is taken once however often it comes; a stop
// works also when it comes before its job; whoever holds a job says so at once and then every third of its lease; a job
// that fails, and each job in hand on SIGTERM, is given back by `failed`, so that another instance takes it.
// When RabbitMQ is lost the process ends with 1: let whatever runs it start it again. June's leases cover the gap.

import { randomBytes, randomUUID } from "node:crypto";
import amqp from "amqplib";

const CONTENT_TYPE = "application/cloudevents+json";
// So many stops and finished jobs are remembered; the oldest go first.
const REMEMBERED = 10_000;
const STOPPED = new Error("stopped");
const DRAINING = new Error("draining");

export class Service {
  #kind;
  #channel;
  #inHand = new Map(); // key → { job, controller, ended }
  #stopped = new Map(); // key → the last attempt that is not wanted
  #taken = new Map(); // id of a message → true

  constructor(kind, channel) {
    this.name = `${kind.name}-${randomBytes(3).toString("hex")}`;
    this.#kind = kind;
    this.#channel = channel;
  }

  // Takes jobs from now on. `work(service, job, signal)` must throw once `signal` is aborted: June said stop.
  async start(work) {
    // Stops first: one that comes between the two would be missed.
    const { queue } = await this.#channel.assertQueue("", { exclusive: true });
    await this.#channel.bindQueue(queue, "june.pipeline", this.#kind.stopType);
    await this.#channel.consume(queue, (message) => this.#stop(data(message)), { noAck: true });
    const jobs = await this.#channel.consume(this.#kind.jobsQueue, (message) => {
      this.#begin(JSON.parse(message.content), work);
      // From here on the job's lease guards it: when this instance dies, June gives it to another one.
      this.#channel.ack(message);
    });
    this.consumerTag = jobs.consumerTag;
  }

  // Tells June, where the job says. Resolves when RabbitMQ has it.
  report(job, type, about) {
    const { exchange, routing_key: key } = job.report_to;
    return publish(this.#channel, exchange, key, envelope(this.name, type, about));
  }

  // Reports how a job goes: `running`, `completed`, `failed`, and for a part to speak `cancelled`.
  status(job, state, error = null) {
    const about = { [this.#kind.key]: job[this.#kind.key], attempt: job.attempt, state, error };
    if ("part" in job) about.part = job.part;
    return this.report(job, this.#kind.statusType, about);
  }

  // Takes no more, stops all work, and gives each job back.
  async drain() {
    await this.#channel.cancel(this.consumerTag);
    const inHand = [...this.#inHand.values()];
    for (const { controller } of inHand) controller.abort(DRAINING);
    await Promise.all(inHand.map(({ ended }) => ended));
  }

  #begin({ id, data: job }, work) {
    const key = job[this.#kind.key];
    const stopped = job.attempt <= (this.#stopped.get(key) ?? 0);
    const expired = Date.parse(job.expires_at) <= Date.now();
    if (this.#taken.has(id) || stopped || expired) return;
    remember(this.#taken, id, true);
    this.#inHand.get(key)?.controller.abort(STOPPED); // this attempt takes the place of the one before
    const mine = { job, controller: new AbortController() };
    this.#inHand.set(key, mine);
    mine.ended = this.#do(mine, work).finally(() => {
      if (this.#inHand.get(key) === mine) this.#inHand.delete(key);
    });
  }

  async #do({ job, controller: { signal } }, work) {
    let heart;
    try {
      await this.status(job, "running");
      heart = setInterval(() => signal.aborted || this.status(job, "running"), (job.lease_s * 1000) / 3);
      signal.throwIfAborted();
      await work(this, job, signal);
    } catch (error) {
      if (signal.reason === DRAINING) await this.status(job, "failed", "draining");
      else if (signal.reason !== STOPPED) await this.status(job, "failed", String(error));
      else if (this.#kind.reportsCancelled) await this.status(job, "cancelled");
    } finally {
      clearInterval(heart);
    }
  }

  #stop(stop) {
    if (stop.instance !== null && stop.instance !== this.name) return;
    const key = stop[this.#kind.key];
    const last = stop.attempt ?? Number.POSITIVE_INFINITY;
    remember(this.#stopped, key, Math.max(last, this.#stopped.get(key) ?? 0));
    const mine = this.#inHand.get(key);
    if (mine && mine.job.attempt <= last) mine.controller.abort(STOPPED);
  }
}

// Is an instance of the service until SIGTERM or Ctrl-C. RabbitMQ is where JUNE_AMQP_URL says.
export async function run(kind, work) {
  const { channel, close } = await connected();
  await channel.prefetch(16);
  const service = new Service(kind, channel);
  await service.start(work);
  console.log(`${service.name} takes ${kind.jobsQueue}`);
  await new Promise((resolve) => process.once("SIGTERM", resolve).once("SIGINT", resolve));
  await service.drain();
  await close();
}

// A channel with confirms, and what closes its connection. Once either is lost, the process ends.
export async function connected() {
  const connection = await amqp.connect(process.env.JUNE_AMQP_URL ?? "amqp://guest:guest@127.0.0.1/");
  const channel = await connection.createConfirmChannel();
  let closing = false;
  const lost = (error) => {
    if (closing) return;
    console.error(`RabbitMQ is lost: ${error?.message ?? "it closed the connection"}`);
    process.exit(1);
  };
  for (const it of [connection, channel]) it.on("error", lost).on("close", lost);
  const close = () => {
    closing = true;
    return connection.close();
  };
  return { channel, close };
}

// A message to June: what the contract asks of a sender, and the time.
export function envelope(source, type, about, id = randomUUID()) {
  return { specversion: "1.0", id, source, type, time: new Date().toISOString(), data: about };
}

// Resolves when RabbitMQ has it.
export function publish(channel, exchange, routingKey, message, properties = {}) {
  const body = Buffer.from(JSON.stringify(message));
  const options = { contentType: CONTENT_TYPE, messageId: message.id, deliveryMode: 2, ...properties };
  return new Promise((resolve, reject) => {
    channel.publish(exchange, routingKey, body, options, (error) => (error ? reject(error) : resolve()));
  });
}

// The `data` of a message that came.
export function data(message) {
  return JSON.parse(message.content).data;
}

function remember(memory, key, value) {
  memory.delete(key);
  memory.set(key, value);
  if (memory.size > REMEMBERED) memory.delete(memory.keys().next().value);
}

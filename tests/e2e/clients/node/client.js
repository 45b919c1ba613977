// A client that knows the contract alone: it creates a session, reads events, takes an STT job, reports, and sees
// the stop. Lines of JSON on stdout tell the test what it saw; whatever is not as promised ends it with an error.
import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import amqp from 'amqplib'

const WITHIN_MS = 60_000
const LEFT = 'june.participant.left.v1'

const say = (step, more) => process.stdout.write(JSON.stringify({ step, ...more }) + '\n')
const overdue = setTimeout(() => { console.error('not done in time'); process.exit(1) }, WITHIN_MS)

const connection = await amqp.connect(process.env.AMQP_URL)
const channel = await connection.createConfirmChannel()

// Messages of one queue, by type, whether they came before or after somebody asked for them.
async function listen (...bindings) {
  const { queue } = await channel.assertQueue('', { exclusive: true })
  for (const [exchange, key] of bindings) await channel.bindQueue(queue, exchange, key)
  const came = []
  let wake = () => {}
  await channel.consume(queue, message => { came.push(message); wake() }, { noAck: true })
  const next = async matches => {
    for (;;) {
      const found = came.findIndex(message => matches(message, envelopeOf(message)))
      if (found >= 0) return came.splice(found, 1)[0]
      await new Promise(resolve => { wake = resolve })
    }
  }
  return { queue, next }
}

function envelopeOf (message) {
  const envelope = JSON.parse(message.content.toString('utf8'))
  assert.equal(envelope.specversion, '1.0')
  assert.equal(message.properties.contentType, 'application/cloudevents+json')
  assert.equal(message.properties.messageId, envelope.id)
  assert.equal(message.properties.type, envelope.type)
  assert.equal(message.properties.deliveryMode, 2)
  return envelope
}

function publish (exchange, key, body, options = {}) {
  return new Promise((resolve, reject) => channel.publish(
    exchange, key, Buffer.from(JSON.stringify(body)), options, error => error ? reject(error) : resolve()))
}

const envelope = (type, data) => ({ specversion: '1.0', id: randomUUID(), source: 'node-client', type, data })

const replies = await listen()
const events = await listen(['june.events', '#'])
const stops = await listen(['june.pipeline', 'june.stt.stop.v1'])

async function ask (type, data) {
  const command = envelope(type, data)
  const correlationId = randomUUID()
  await publish('june.commands', type, command, { replyTo: replies.queue, correlationId })
  const message = await replies.next(message => message.properties.correlationId === correlationId)
  const reply = envelopeOf(message)
  assert.equal(reply.type, 'june.reply.v1')
  assert.equal(reply.data.command_id, command.id)
  return reply.data
}

const refused = await ask('june.session.create.v1', { user_id: 'node', stt: { enabledd: true } })
assert.equal(refused.error.code, 'invalid_argument')
assert.deepEqual(refused.error.details.map(detail => detail.field), ['stt.enabledd'])

const created = await ask('june.session.create.v1', { user_id: 'node', metadata: { from: 'node' } })
assert.equal(created.ok, true)
const { session, access_token: token, livekit_url: url } = created.result
const of = type => (_, one) => one.type === type && one.subject === session.session_id
assert.deepEqual(envelopeOf(await events.next(of('june.session.created.v1'))).data, { session })
say('created', { session_id: session.session_id, room_name: session.room_name, token, url })

const joined = envelopeOf(await events.next(of('june.participant.joined.v1')))
assert.equal(joined.data.participant.identity, 'node')

await channel.prefetch(1)
const job = await new Promise(resolve => channel.consume('june.stt.jobs.v1', message => {
  channel.ack(message)
  const start = envelopeOf(message)
  if (start.subject === session.session_id) resolve(start)
}))
assert.equal(job.type, 'june.stt.start.v1')
const { job_id: jobId, attempt, report_to: to } = job.data
const report = (type, data) => publish(to.exchange, to.routing_key, envelope(type, { job_id: jobId, attempt, ...data }))
await report('june.stt.status.v1', { state: 'running' })
await report('june.stt.transcript.v1', { utterance_id: 'u-1', text: 'hello from node', is_final: true })

const added = envelopeOf(await events.next(of('june.transcript.added.v1')))
assert.equal(added.data.text, 'hello from node')
assert.equal(added.data.participant.identity, 'node')
say('heard', { job_id: jobId })

const stop = envelopeOf(await stops.next((_, one) => one.data.job_id === jobId))
assert.ok(['participant_left', 'track_unpublished', 'room_finished'].includes(stop.data.reason))
const left = envelopeOf(await events.next(of(LEFT)))
assert.ok(left.sequence > joined.sequence)

const deleted = await ask('june.session.delete.v1', { session_id: session.session_id })
assert.equal(deleted.result.session.end_reason, 'deleted')
say('done', {})
clearTimeout(overdue)
await connection.close()

// A client that knows the contract alone: it creates a session, reads events, takes an STT job, reports, and sees the
// stop. Lines of JSON on stdout tell the test what it saw; whatever is not as promised ends it with an error.
package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"log"
	"os"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

const within = 60 * time.Second

type envelope struct {
	SpecVersion string          `json:"specversion"`
	ID          string          `json:"id"`
	Source      string          `json:"source"`
	Type        string          `json:"type"`
	Subject     *string         `json:"subject,omitempty"`
	Sequence    *string         `json:"sequence,omitempty"`
	Data        json.RawMessage `json:"data"`
}

type session struct {
	SessionID string  `json:"session_id"`
	RoomName  string  `json:"room_name"`
	Status    string  `json:"status"`
	EndReason *string `json:"end_reason"`
}

type reply struct {
	OK        bool   `json:"ok"`
	CommandID string `json:"command_id"`
	Error     struct {
		Code    string `json:"code"`
		Details []struct {
			Field string `json:"field"`
		} `json:"details"`
	} `json:"error"`
	Result struct {
		Session     session `json:"session"`
		AccessToken string  `json:"access_token"`
		URL         string  `json:"livekit_url"`
	} `json:"result"`
}

type job struct {
	JobID    string `json:"job_id"`
	Attempt  int    `json:"attempt"`
	ReportTo struct {
		Exchange   string `json:"exchange"`
		RoutingKey string `json:"routing_key"`
	} `json:"report_to"`
}

func must[T any](value T, err error) T {
	check(err == nil, "%v", err)
	return value
}

func check(holds bool, format string, args ...any) {
	if !holds {
		log.Fatalf(format, args...)
	}
}

func say(step string, more map[string]any) {
	more["step"] = step
	fmt.Println(string(must(json.Marshal(more))))
}

type client struct {
	channel *amqp.Channel
	context context.Context
	replies string
	answers <-chan amqp.Delivery
}

// listen binds a queue of our own and consumes it.
func (c *client) listen(bindings ...[2]string) (string, <-chan amqp.Delivery) {
	queue := must(c.channel.QueueDeclare("", false, false, true, false, nil))
	for _, binding := range bindings {
		check(c.channel.QueueBind(queue.Name, binding[1], binding[0], false, nil) == nil, "no binding %v", binding)
	}
	return queue.Name, must(c.channel.Consume(queue.Name, "", true, true, false, false, nil))
}

// read is the envelope of a message whose properties must mirror it.
func read(message amqp.Delivery) envelope {
	var read envelope
	check(json.Unmarshal(message.Body, &read) == nil, "no JSON: %s", message.Body)
	check(read.SpecVersion == "1.0" && message.ContentType == "application/cloudevents+json", "no CloudEvent: %s", message.Body)
	check(message.MessageId == read.ID && message.Type == read.Type && message.DeliveryMode == 2, "properties differ: %+v", message)
	return read
}

// next waits for a message and gives its envelope; those that do not match are passed over.
func (c *client) next(what string, from <-chan amqp.Delivery, matches func(amqp.Delivery, envelope) bool) envelope {
	for {
		select {
		case message := <-from:
			if one := read(message); matches(message, one) {
				return one
			}
		case <-c.context.Done():
			log.Fatalf("no %s in time", what)
		}
	}
}

func (c *client) publish(exchange, key string, one envelope, replyTo, correlationID string) {
	body := must(json.Marshal(one))
	message := amqp.Publishing{Body: body, ReplyTo: replyTo, CorrelationId: correlationID}
	confirmed := must(c.channel.PublishWithDeferredConfirmWithContext(c.context, exchange, key, false, false, message))
	check(must(confirmed.WaitContext(c.context)), "not confirmed: %s", key)
}

func (c *client) ask(kind string, data any) reply {
	command, correlationID := message(kind, data), rand.Text()
	c.publish("june.commands", kind, command, c.replies, correlationID)
	answer := c.next("reply", c.answers, func(one amqp.Delivery, _ envelope) bool { return one.CorrelationId == correlationID })
	var said reply
	check(json.Unmarshal(answer.Data, &said) == nil, "no reply: %s", answer.Data)
	check(answer.Type == "june.reply.v1" && said.CommandID == command.ID, "another's reply: %s", answer.Data)
	return said
}

func message(kind string, data any) envelope {
	return envelope{SpecVersion: "1.0", ID: rand.Text(), Source: "go-client", Type: kind, Data: must(json.Marshal(data))}
}

func main() {
	limit, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	connection := must(amqp.Dial(os.Getenv("AMQP_URL")))
	defer connection.Close()
	channel := must(connection.Channel())
	check(channel.Confirm(false) == nil, "no confirms")
	c := &client{channel: channel, context: limit}
	c.replies, c.answers = c.listen()
	_, events := c.listen([2]string{"june.events", "#"})
	_, stops := c.listen([2]string{"june.pipeline", "june.stt.stop.v1"})

	refused := c.ask("june.session.create.v1", map[string]any{"user_id": "go", "room_name": 5})
	check(refused.Error.Code == "invalid_argument" && refused.Error.Details[0].Field == "room_name", "not refused: %+v", refused)

	created := c.ask("june.session.create.v1", map[string]any{"user_id": "go"})
	check(created.OK && created.Result.Session.Status == "created", "not created: %+v", created)
	mine := created.Result.Session
	of := func(kind string) func(amqp.Delivery, envelope) bool {
		return func(_ amqp.Delivery, one envelope) bool {
			return one.Type == kind && one.Subject != nil && *one.Subject == mine.SessionID
		}
	}
	c.next("created", events, of("june.session.created.v1"))
	say("created", map[string]any{
		"session_id": mine.SessionID, "room_name": mine.RoomName,
		"token": created.Result.AccessToken, "url": created.Result.URL,
	})
	joined := c.next("joined", events, of("june.participant.joined.v1"))
	heard := hear(c, events, of, mine)
	stopped := func(_ amqp.Delivery, one envelope) bool {
		var stop job
		return json.Unmarshal(one.Data, &stop) == nil && stop.JobID == heard.JobID
	}
	c.next("stop", stops, stopped)
	left := c.next("left", events, of("june.participant.left.v1"))
	check(*left.Sequence > *joined.Sequence, "sequence fell from %s to %s", *joined.Sequence, *left.Sequence)

	deleted := c.ask("june.session.delete.v1", map[string]any{"session_id": mine.SessionID})
	check(deleted.OK && *deleted.Result.Session.EndReason == "deleted", "not deleted: %+v", deleted)
	say("done", map[string]any{})
}

// hear takes the session's STT job and reports words, until June tells of them.
func hear(c *client, events <-chan amqp.Delivery, of func(string) func(amqp.Delivery, envelope) bool, mine session) job {
	jobs := must(c.channel.Consume("june.stt.jobs.v1", "", true, false, false, false, nil))
	start := c.next("job", jobs, of("june.stt.start.v1"))
	var taken job
	check(json.Unmarshal(start.Data, &taken) == nil, "no job: %s", start.Data)
	report := func(kind string, data map[string]any) {
		data["job_id"], data["attempt"] = taken.JobID, taken.Attempt
		c.publish(taken.ReportTo.Exchange, taken.ReportTo.RoutingKey, message(kind, data), "", "")
	}
	report("june.stt.status.v1", map[string]any{"state": "running"})
	report("june.stt.transcript.v1", map[string]any{"utterance_id": "u-1", "text": "hello from go", "is_final": true})
	added := c.next("transcript", events, of("june.transcript.added.v1"))
	var said struct{ Text string }
	check(json.Unmarshal(added.Data, &said) == nil && said.Text == "hello from go", "other words: %s", added.Data)
	say("heard", map[string]any{"job_id": taken.JobID})
	return taken
}

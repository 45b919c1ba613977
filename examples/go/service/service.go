// Package service is what the services have in common: taking jobs, hearing stops, holding a lease, reporting.
//
// It knows June by its contract alone, and RabbitMQ by amqp091-go. It promises: a job is taken once however often it
// comes; a stop works also when it comes before its job; whoever holds a job says so at once and then every third of
// its lease; a job that fails, and each job in hand on SIGTERM, is given back by `failed`, so that another instance
// takes it. When RabbitMQ is lost the process ends with 1: let whatever runs it start it again. June's leases cover
// the gap.
package service

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"math"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

var (
	errStopped  = errors.New("stopped")
	errDraining = errors.New("draining")
)

// Kind is what is different between the services: names in the contract.
type Kind struct {
	Name, JobsQueue, StopType, StatusType string
	// Key is the field that names the work in jobs and in stops.
	Key string
	// ReportsCancelled tells whether the contract has a state for work that was stopped.
	ReportsCancelled bool
}

// Job is what all jobs have. Data holds the rest.
type Job struct {
	Key       string    `json:"-"`
	Attempt   int       `json:"attempt"`
	Part      *int      `json:"part"`
	LeaseS    int       `json:"lease_s"`
	ExpiresAt time.Time `json:"expires_at"`
	ReportTo  struct {
		Exchange   string `json:"exchange"`
		RoutingKey string `json:"routing_key"`
	} `json:"report_to"`
	Data json.RawMessage `json:"-"`
}

// Fields are the data of a report.
type Fields map[string]any

// Work does one job. When ctx is done June said stop: it must return an error soon.
type Work func(ctx context.Context, s *Service, job Job) error

// Service is one instance. Its name is the source of all that it reports.
type Service struct {
	Name    string
	kind    Kind
	channel *amqp.Channel
	work    Work
	// Only the loop of serve touches these three.
	inHand  map[string]*hand
	stopped memory // key → the last attempt that is not wanted
	taken   memory // id of a message
	ended   chan *hand
	working sync.WaitGroup
}

type hand struct {
	job    Job
	cancel context.CancelCauseFunc
}

// Run is an instance of the service until SIGTERM or Ctrl-C. RabbitMQ is where JUNE_AMQP_URL says.
func Run(kind Kind, work Work) {
	connection, channel := Connect()
	defer connection.Close()
	s := &Service{
		Name: kind.Name + "-" + NewID()[:6], kind: kind, channel: channel, work: work,
		inHand: map[string]*hand{}, ended: make(chan *hand),
	}
	// Stops first: one that comes between the two would be missed.
	stops := must(s.listen(kind.StopType))
	must(0, channel.Qos(16, 0, false))
	jobs := must(channel.Consume(kind.JobsQueue, s.Name, false, false, false, false, nil))
	log.Printf("%s takes %s", s.Name, kind.JobsQueue)
	s.serve(jobs, stops)
	s.drain(jobs)
}

// Report tells June, where the job says. It returns when RabbitMQ has it.
func (s *Service) Report(job Job, messageType string, about Fields) error {
	body := Envelope(s.Name, messageType, about, NewID())
	return Publish(s.channel, job.ReportTo.Exchange, job.ReportTo.RoutingKey, amqp.Publishing{Body: body})
}

// Status reports how a job goes: running, completed, failed, and for a part to speak cancelled.
func (s *Service) Status(job Job, state, problem string) error {
	about := Fields{s.kind.Key: job.Key, "attempt": job.Attempt, "state": state}
	if job.Part != nil {
		about["part"] = *job.Part
	}
	if problem != "" {
		about["error"] = problem
	}
	return s.Report(job, s.kind.StatusType, about)
}

func (s *Service) listen(routingKey string) (<-chan amqp.Delivery, error) {
	queue, err := s.channel.QueueDeclare("", false, true, true, false, nil)
	if err != nil {
		return nil, err
	}
	if err := s.channel.QueueBind(queue.Name, routingKey, "june.pipeline", false, nil); err != nil {
		return nil, err
	}
	return s.channel.Consume(queue.Name, "", true, true, false, false, nil)
}

func (s *Service) serve(jobs, stops <-chan amqp.Delivery) {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM, os.Interrupt)
	for {
		select {
		case message, open := <-jobs:
			if !open {
				log.Fatal("RabbitMQ is lost")
			}
			s.begin(message.Body)
			// From here on the job's lease guards it: when this instance dies, June gives it to another one.
			must(0, message.Ack(false))
		case message, open := <-stops:
			if !open {
				log.Fatal("RabbitMQ is lost")
			}
			s.stop(message.Body)
		case mine := <-s.ended:
			if s.inHand[mine.job.Key] == mine {
				delete(s.inHand, mine.job.Key)
			}
		case <-signals:
			return
		}
	}
}

func (s *Service) begin(body []byte) {
	id, job := s.read(body)
	_, before := s.taken.values[id]
	unwanted := job.Attempt <= s.stopped.values[job.Key]
	if before || unwanted || !time.Now().Before(job.ExpiresAt) {
		return
	}
	s.taken.put(id, 1)
	if other := s.inHand[job.Key]; other != nil {
		other.cancel(errStopped) // this attempt takes the place of the one before
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	mine := &hand{job: job, cancel: cancel}
	s.inHand[job.Key] = mine
	s.working.Add(1)
	go func() {
		defer s.working.Done()
		s.finish(ctx, job, s.hold(ctx, job))
		s.ended <- mine
	}()
}

func (s *Service) read(body []byte) (string, Job) {
	var message struct {
		ID   string          `json:"id"`
		Data json.RawMessage `json:"data"`
	}
	must(0, json.Unmarshal(body, &message))
	job := Job{Data: message.Data}
	must(0, json.Unmarshal(message.Data, &job))
	var fields map[string]any
	must(0, json.Unmarshal(message.Data, &fields))
	job.Key = fields[s.kind.Key].(string)
	return message.ID, job
}

// hold works, and says so at once and then every third of the lease.
func (s *Service) hold(ctx context.Context, job Job) error {
	if err := s.Status(job, "running", ""); err != nil {
		return err
	}
	done := make(chan error, 1)
	go func() { done <- s.work(ctx, s, job) }()
	heart := time.NewTicker(time.Duration(job.LeaseS) * time.Second / 3)
	defer heart.Stop()
	for {
		select {
		case err := <-done:
			return err
		case <-heart.C:
			if ctx.Err() == nil {
				if err := s.Status(job, "running", ""); err != nil {
					return err
				}
			}
		}
	}
}

func (s *Service) finish(ctx context.Context, job Job, err error) {
	cause := context.Cause(ctx)
	switch {
	case err == nil:
	case cause == nil:
		must(0, s.Status(job, "failed", err.Error()))
	case cause == errDraining:
		must(0, s.Status(job, "failed", "draining"))
	case s.kind.ReportsCancelled:
		must(0, s.Status(job, "cancelled", ""))
	}
}

func (s *Service) stop(body []byte) {
	var message struct {
		Data struct {
			Attempt  *int    `json:"attempt"`
			Instance *string `json:"instance"`
		} `json:"data"`
	}
	must(0, json.Unmarshal(body, &message))
	stop := message.Data
	if stop.Instance != nil && *stop.Instance != s.Name {
		return
	}
	last := math.MaxInt
	if stop.Attempt != nil {
		last = *stop.Attempt
	}
	_, about := s.read(body)
	s.stopped.put(about.Key, max(last, s.stopped.values[about.Key]))
	if mine := s.inHand[about.Key]; mine != nil && mine.job.Attempt <= last {
		mine.cancel(errStopped)
	}
}

// drain takes no more, stops all work, and gives each job back.
func (s *Service) drain(jobs <-chan amqp.Delivery) {
	go func() {
		for range jobs { // what is on its way goes back to the queue when the connection closes
		}
	}()
	go func() {
		for range s.ended {
		}
	}()
	must(0, s.channel.Cancel(s.Name, false))
	for _, mine := range s.inHand {
		mine.cancel(errDraining)
	}
	s.working.Wait()
}

// Connect gives a connection and a channel with confirms, or ends the process.
func Connect() (*amqp.Connection, *amqp.Channel) {
	url := os.Getenv("JUNE_AMQP_URL")
	if url == "" {
		url = "amqp://guest:guest@127.0.0.1/"
	}
	connection := must(amqp.Dial(url))
	channel := must(connection.Channel())
	must(0, channel.Confirm(false))
	return connection, channel
}

// Envelope is a message to June: what the contract asks of a sender, and the time.
func Envelope(source, messageType string, about any, id string) []byte {
	return must(json.Marshal(Fields{
		"specversion": "1.0", "id": id, "source": source, "type": messageType,
		"time": time.Now().UTC().Format("2006-01-02T15:04:05.000Z"), "data": about,
	}))
}

// Publish returns when RabbitMQ has the message.
func Publish(channel *amqp.Channel, exchange, routingKey string, message amqp.Publishing) error {
	message.ContentType = "application/cloudevents+json"
	message.DeliveryMode = amqp.Persistent
	confirm, err := channel.PublishWithDeferredConfirm(exchange, routingKey, false, false, message)
	if err != nil {
		return err
	}
	if !confirm.Wait() {
		return fmt.Errorf("RabbitMQ did not take a message for %s", exchange)
	}
	return nil
}

// NewID is unique.
func NewID() string {
	var random [16]byte
	must(rand.Read(random[:]))
	return fmt.Sprintf("%x", random)
}

// memory keeps the last values; the oldest go first.
type memory struct {
	values map[string]int
	order  []string
}

const remembered = 10_000

func (m *memory) put(key string, value int) {
	if m.values == nil {
		m.values = map[string]int{}
	}
	if _, there := m.values[key]; !there {
		m.order = append(m.order, key)
	}
	m.values[key] = value
	if len(m.order) > remembered {
		delete(m.values, m.order[0])
		m.order = m.order[1:]
	}
}

func must[T any](value T, err error) T {
	if err != nil {
		log.Fatal(err)
	}
	return value
}

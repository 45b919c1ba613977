// A backend: asks June by AMQP and prints the reply.
//
// `go run ./backend TYPE DATA [ID]` sends one command, for example
// `go run ./backend june.session.create.v1 '{"user_id": "bob"}'`. The same ID again gives the same answer.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"os"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"june.example/services/service"
)

const replyWithin = 10 * time.Second

type reply struct {
	Data struct {
		OK     bool            `json:"ok"`
		Result json.RawMessage `json:"result"`
		Error  json.RawMessage `json:"error"`
	} `json:"data"`
}

// ask gives the result of a command, or what June answered as the error.
func ask(channel *amqp.Channel, messageType string, about any, id string) (json.RawMessage, error) {
	queue, err := channel.QueueDeclare("", false, true, true, false, nil)
	if err != nil {
		return nil, err
	}
	replies, err := channel.Consume(queue.Name, "", true, true, false, false, nil)
	if err != nil {
		return nil, err
	}
	body := service.Envelope("go-backend", messageType, about, id)
	message := amqp.Publishing{Body: body, CorrelationId: id, ReplyTo: queue.Name}
	if err := service.Publish(channel, "june.commands", messageType, message); err != nil {
		return nil, err
	}
	timeout := time.After(replyWithin)
	for {
		select {
		case got, open := <-replies:
			if !open {
				return nil, errors.New("RabbitMQ is lost")
			}
			if got.CorrelationId == id {
				return result(got.Body)
			}
		case <-timeout:
			return nil, fmt.Errorf("June did not answer %s within %s", messageType, replyWithin)
		}
	}
}

func result(body []byte) (json.RawMessage, error) {
	var answer reply
	if err := json.Unmarshal(body, &answer); err != nil {
		return nil, err
	}
	if !answer.Data.OK {
		return nil, errors.New(string(answer.Data.Error))
	}
	return answer.Data.Result, nil
}

func main() {
	log.SetFlags(0)
	if len(os.Args) < 3 {
		log.Fatal("usage: backend TYPE DATA [ID]")
	}
	id := service.NewID()
	if len(os.Args) > 3 {
		id = os.Args[3]
	}
	connection, channel := service.Connect()
	defer connection.Close()
	answer, err := ask(channel, os.Args[1], json.RawMessage(os.Args[2]), id)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(string(answer))
}

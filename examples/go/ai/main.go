// An AI service, with two rules in the place of a model.
//
// `go run ./ai` takes `june.ai.turn.v1` and answers with `june.ai.reply.v1`, part by part as a model would give its
// sentences. A cancel ends the answer where it is.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"june.example/services/service"
)

var ai = service.Kind{
	Name:       "go-ai",
	JobsQueue:  "june.ai.jobs.v1",
	StopType:   "june.ai.cancel.v1",
	StatusType: "june.ai.status.v1",
	Key:        "turn_id",
}

type turn struct {
	Text        string            `json:"text"`
	History     []json.RawMessage `json:"history"`
	Participant struct {
		Identity string `json:"identity"`
		Name     string `json:"name"`
	} `json:"participant"`
}

func answer(ctx context.Context, s *service.Service, job service.Job) error {
	var t turn
	if err := json.Unmarshal(job.Data, &t); err != nil {
		return err
	}
	sentences := think(t)
	for part, text := range sentences {
		select { // yours: wait for the model's next sentence, and give it ctx
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
		if err := s.Report(job, "june.ai.reply.v1", service.Fields{
			"turn_id": job.Key, "attempt": job.Attempt,
			"part": part, "text": text, "is_final": part == len(sentences)-1,
		}); err != nil {
			return err
		}
	}
	return nil
}

func think(t turn) []string {
	who := t.Participant.Name
	if who == "" {
		who = t.Participant.Identity
	}
	greeting := fmt.Sprintf("Hello %s, I am a sample with two rules.", who)
	if len(t.History) > 0 {
		greeting = fmt.Sprintf("Hello again, %s.", who)
	}
	return []string{greeting, fmt.Sprintf("You said %d words.", len(strings.Fields(t.Text)))}
}

func main() {
	service.Run(ai, answer)
}

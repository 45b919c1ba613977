// A text-to-speech service, with the voice and its way into the room left out.
//
// `go run ./tts` takes `june.tts.speak.v1`, holds each part for as long as saying it would take, and reports
// `completed`, or `cancelled` when June says so. It is complete but for speak, which is silent.
package main

import (
	"context"
	"encoding/json"
	"strings"
	"time"

	"june.example/services/service"
)

var tts = service.Kind{
	Name:             "go-tts",
	JobsQueue:        "june.tts.jobs.v1",
	StopType:         "june.tts.cancel.v1",
	StatusType:       "june.tts.status.v1",
	Key:              "turn_id",
	ReportsCancelled: true,
}

const word = 120 * time.Millisecond

type part struct {
	LiveKitURL string `json:"livekit_url"`
	Token      string `json:"token"`
	Text       string `json:"text"`
}

func say(ctx context.Context, s *service.Service, job service.Job) error {
	var p part
	if err := json.Unmarshal(job.Data, &p); err != nil {
		return err
	}
	if err := speak(ctx, p); err != nil {
		return err
	}
	return s.Status(job, "completed", "")
}

// Yours: join p.LiveKitURL with p.Token, publish a microphone track, and play p.Text.
// When ctx is done, be silent at once and return its error.
func speak(ctx context.Context, p part) error {
	select {
	case <-time.After(time.Duration(len(strings.Fields(p.Text))) * word):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func main() {
	service.Run(tts, say)
}

// A speech-to-text service, with the recogniser and its way into the room left out.
//
// `go run ./stt` takes `june.stt.start.v1`, holds each job, and reports what was said. It is complete but for listen,
// which does not join the room and so has heard nothing: what it gives is a sample sentence, and says so.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"june.example/services/service"
)

var stt = service.Kind{
	Name:       "go-stt",
	JobsQueue:  "june.stt.jobs.v1",
	StopType:   "june.stt.stop.v1",
	StatusType: "june.stt.status.v1",
	Key:        "job_id",
}

type voice struct {
	LiveKitURL string `json:"livekit_url"`
	Token      string `json:"token"`
	Language   string `json:"language"`
	Track      struct {
		SID string `json:"sid"`
	} `json:"track"`
}

type heard struct {
	text           string
	startMS, endMS int
}

func transcribe(ctx context.Context, s *service.Service, job service.Job) error {
	var v voice
	if err := json.Unmarshal(job.Data, &v); err != nil {
		return err
	}
	said := 0
	err := listen(ctx, v, func(h heard) error {
		said++
		return s.Report(job, "june.stt.transcript.v1", service.Fields{
			"job_id": job.Key, "attempt": job.Attempt, "language": v.Language,
			// Unique within the job, over all of its attempts.
			"utterance_id": fmt.Sprintf("%d.%d", job.Attempt, said),
			"text":         h.text, "is_final": true, "start_ms": h.startMS, "end_ms": h.endMS,
		})
	})
	if err != nil {
		return err
	}
	// A voice that ends is known to June, too, which says stop. Where it does not, another attempt is due.
	return fmt.Errorf("%s cannot be heard any more", v.Track.SID)
}

// Yours: join v.LiveKitURL with v.Token, subscribe to the track v.Track.SID, and recognise until ctx is done.
func listen(ctx context.Context, _ voice, say func(heard) error) error {
	select {
	case <-time.After(time.Second):
	case <-ctx.Done():
		return ctx.Err()
	}
	if err := say(heard{text: "This is a sample sentence, not what you said.", endMS: 1000}); err != nil {
		return err
	}
	<-ctx.Done()
	return ctx.Err()
}

func main() {
	service.Run(stt, transcribe)
}

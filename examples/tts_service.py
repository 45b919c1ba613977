"""A text-to-speech service, as others would write one, with a tone in the place of a voice.

`python -m examples.tts_service` takes `june.tts.speak.v1`, joins the room with the token inside, publishes a microphone
track, and plays a tone as long as the text would take. On a cancel it is silent at once and reports `cancelled`.
"""

import asyncio
import contextlib
from collections.abc import Iterator
from datetime import timedelta

import numpy as np
from livekit import rtc

from examples.service import Data, Kind, Service, run

KIND = Kind(
    name="sample-tts",
    jobs_queue="june.tts.jobs.v1",
    stop_type="june.tts.cancel.v1",
    status_type="june.tts.status.v1",
    key="turn_id",
    reports_cancelled=True,
)
SAMPLE_RATE_HZ = 48_000
FRAME_SAMPLES = SAMPLE_RATE_HZ // 100
TONE_HZ = 300
WORD = timedelta(milliseconds=120)
QUEUE_MS = 200
LISTENER_WITHIN_S = 1.0


async def speak(service: Service, job: Data) -> None:
    """Speak the text of one part."""
    room = rtc.Room()
    await room.connect(job["livekit_url"], job["token"], rtc.RoomOptions(auto_subscribe=False))
    try:
        await _play(room, len(job["text"].split()) * WORD)
    finally:
        await room.disconnect()
    await service.status(job, "completed")


async def _play(room: rtc.Room, duration: timedelta) -> None:
    audio = rtc.AudioSource(SAMPLE_RATE_HZ, 1, queue_size_ms=QUEUE_MS)
    track = rtc.LocalAudioTrack.create_audio_track("answer", audio)
    options = rtc.TrackPublishOptions(source=rtc.TrackSource.SOURCE_MICROPHONE)
    published = await room.local_participant.publish_track(track, options)
    # Else the first words are said before anybody listens.
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(LISTENER_WITHIN_S):
            await published.wait_for_subscription()
    try:
        for frame in _tone(duration):
            await audio.capture_frame(frame)
        await audio.wait_for_playout()
    finally:
        audio.clear_queue()


def _tone(duration: timedelta) -> Iterator[rtc.AudioFrame]:
    t = np.arange(FRAME_SAMPLES) / SAMPLE_RATE_HZ
    samples = (np.sin(2 * np.pi * TONE_HZ * t) * 8_000).astype(np.int16).tobytes()
    for _ in range(duration // timedelta(milliseconds=10)):
        yield rtc.AudioFrame(samples, SAMPLE_RATE_HZ, 1, FRAME_SAMPLES)


if __name__ == "__main__":
    run(KIND, speak)

"""A speech-to-text service, as others would write one, with the recogniser left out.

`python -m examples.stt_service` takes `june.stt.start.v1`, joins the room with the token inside, listens to that one
voice, and reports. It measures how loud the voice is, so that a transcript proves that sound arrived; what it reports
as said is a sample sentence, and says so. `heard_rms` beside it is 0 (silence) to 1 (full scale).
"""

import asyncio
import contextlib
from datetime import timedelta

from examples.participant import MOMENT, joined
from examples.service import Data, Kind, Service, run

KIND = Kind(
    name="sample-stt",
    jobs_queue="june.stt.jobs.v1",
    stop_type="june.stt.stop.v1",
    status_type="june.stt.status.v1",
    key="job_id",
)
SENTENCE = "This is a sample sentence, not what you said."
AUDIBLE_RMS = 0.01
LISTEN = timedelta(seconds=1)
STOP_IS_ON_ITS_WAY_S = 3


class VoiceLost(Exception):
    """The voice ended, and June did not say that it would."""


async def transcribe(service: Service, job: Data) -> None:
    """Listen to the job's voice until June says stop."""
    async with joined(job["livekit_url"], job["token"]) as bot:
        loudest, moments = 0.0, 0
        async with contextlib.aclosing(bot.loudness(job["track"]["sid"])) as sound:
            async for loudness in sound:
                if loudness < AUDIBLE_RMS:
                    continue
                loudest, moments = max(loudest, loudness), moments + 1
                if moments == 1:
                    await service.report(job, "june.stt.speech_started.v1", job_id=job["job_id"])
                if moments == LISTEN // MOMENT:
                    await _report_sentence(service, job, loudest)
    # A voice that ends is known to June, too. Where it is not (our connection broke), another attempt is due.
    await asyncio.sleep(STOP_IS_ON_ITS_WAY_S)
    raise VoiceLost(f"{job['track']['sid']} cannot be heard any more")


async def _report_sentence(service: Service, job: Data, heard_rms: float) -> None:
    await service.report(
        job,
        "june.stt.transcript.v1",
        job_id=job["job_id"],
        attempt=job["attempt"],
        utterance_id=f"{job['attempt']}.1",
        text=SENTENCE,
        is_final=True,
        language=job["language"],
        start_ms=0,
        end_ms=LISTEN // timedelta(milliseconds=1),
        heard_rms=round(heard_rms, 3),
    )


if __name__ == "__main__":
    run(KIND, transcribe)

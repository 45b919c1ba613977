"""A real participant without a microphone or a window: joins a LiveKit room, speaks, and measures what it hears.

Promises: by its token alone, as a browser would; hears nothing that it was not asked to (`auto_subscribe` is off).
`python -m examples.participant` joins as June's answer on standard input says, and speaks until Ctrl-C.
Loudness is the root mean square of the samples, 0 (silence) to 1 (full scale).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from datetime import timedelta

import numpy as np
import numpy.typing as npt
from livekit import rtc

from examples.leaving import leave

SAMPLE_RATE_HZ = 48_000
_FRAME_SAMPLES = SAMPLE_RATE_HZ // 100
_HEARING_RATE_HZ = 16_000
_POLL_S = 0.01
_HUSHED_WITHIN_S = 1

MOMENT = timedelta(milliseconds=100)
"""How long a piece of sound is whose loudness is told."""


class ParticipantError(Exception):
    """Something that was waited for did not come in time."""


class HeadlessParticipant:
    """Somebody in a room. Use `joined`, or `join` and `leave`."""

    def __init__(self, room: rtc.Room) -> None:
        self._room = room
        self._speaking: dict[str, _Voice] = {}
        self._gone = asyncio.Event()
        room.on("disconnected", lambda *_: self._gone.set())

    @classmethod
    async def join(cls, url: str, token: str) -> HeadlessParticipant:
        """Connect, and return once connected. Raises `rtc.ConnectError`.

        The server counts it as active, and tells that it joined, some ten milliseconds later: who leaves in between
        never joined (`participant_connection_aborted`).
        """
        room = rtc.Room()
        await room.connect(url, token, rtc.RoomOptions(auto_subscribe=False))
        return cls(room)

    @property
    def sid(self) -> str:
        """The participant's own sid."""
        return self._room.local_participant.sid

    @property
    def identity(self) -> str:
        """As the token says."""
        return self._room.local_participant.identity

    @property
    def connected(self) -> bool:
        """Whether it is still in the room."""
        return self._room.isconnected()

    async def gone(self) -> None:
        """Returns once it is in the room no more, whoever wanted that."""
        await self._gone.wait()

    def others(self) -> set[str]:
        """The identities that it sees."""
        return set(self._room.remote_participants)

    async def speak(
        self,
        *,
        name: str = "mic",
        source: rtc.TrackSource.ValueType = rtc.TrackSource.SOURCE_MICROPHONE,
        signal: npt.NDArray[np.int16] | None = None,
    ) -> str:
        """Publish an audio track until `hush`: `signal`, over and over, else one like a voice's. The track's sid.

        A signal is mono at `SAMPLE_RATE_HZ`.
        """
        audio = rtc.AudioSource(SAMPLE_RATE_HZ, 1)
        track = rtc.LocalAudioTrack.create_audio_track(name, audio)
        published = await self._room.local_participant.publish_track(
            track, rtc.TrackPublishOptions(source=source)
        )
        self._speaking[published.sid] = _Voice(audio, signal)
        return published.sid

    async def hush(self, track_sid: str) -> None:
        """Unpublish the track."""
        await self._speaking.pop(track_sid).hush()
        await self._room.local_participant.unpublish_track(track_sid)

    async def hear(
        self,
        track_sid: str,
        *,
        listen: timedelta = timedelta(seconds=1),
        deadline: timedelta = timedelta(seconds=10),
    ) -> float:
        """Subscribe to the track and listen: how loud it was. `ParticipantError` when nothing came by the deadline."""
        moments: list[float] = []
        try:
            async with asyncio.timeout(deadline.total_seconds()):
                async with contextlib.aclosing(self.loudness(track_sid)) as sound:
                    async for moment in sound:
                        moments.append(moment)
                        if len(moments) * MOMENT >= listen:
                            break
        except TimeoutError as error:
            raise ParticipantError(f"heard nothing of {track_sid} by the deadline") from error
        return float(np.sqrt(np.mean(np.square(moments)))) if moments else 0.0

    async def loudness(self, track_sid: str) -> AsyncGenerator[float, None]:
        """Subscribe to the track: how loud each `MOMENT` of it is, from the first sound on, until it ends."""
        stream = rtc.AudioStream(
            await self._subscribed(track_sid), sample_rate=_HEARING_RATE_HZ, num_channels=1
        )
        wanted = int(MOMENT.total_seconds() * _HEARING_RATE_HZ)
        heard: list[npt.NDArray[np.float64]] = []
        try:
            async for event in stream:
                samples = np.frombuffer(event.frame.data, dtype=np.int16) / 32_768
                # A stream begins with silence while its decoder starts.
                if heard or samples.any():
                    heard.append(samples)
                if sum(map(len, heard)) >= wanted:
                    yield float(np.sqrt(np.mean(np.square(np.concatenate(heard)))))
                    heard = [np.empty(0)]
        finally:
            await stream.aclose()

    async def other_voice(self, *, deadline: timedelta = timedelta(seconds=10)) -> str:
        """The sid of an audio track that somebody else publishes. `ParticipantError` when there is none by the
        deadline."""
        try:
            async with asyncio.timeout(deadline.total_seconds()):
                while True:
                    for publication in self._publications():
                        if publication.kind == rtc.TrackKind.KIND_AUDIO:
                            return publication.sid
                    await asyncio.sleep(_POLL_S)
        except TimeoutError as error:
            raise ParticipantError("nobody else published a voice by the deadline") from error

    async def leave(self) -> None:
        """Go, and let LiveKit know. Idempotent."""
        for track_sid in list(self._speaking):
            await self._speaking.pop(track_sid).hush()
        if self.connected:
            await self._room.disconnect()

    async def _subscribed(self, track_sid: str) -> rtc.RemoteTrack:
        while True:
            publication = self._publication(track_sid)
            if publication is not None:
                publication.set_subscribed(True)
                if publication.track is not None:
                    return publication.track
            await asyncio.sleep(_POLL_S)

    def _publication(self, track_sid: str) -> rtc.RemoteTrackPublication | None:
        return next((found for found in self._publications() if found.sid == track_sid), None)

    def _publications(self) -> list[rtc.RemoteTrackPublication]:
        people = self._room.remote_participants.values()
        return [published for one in people for published in one.track_publications.values()]


@contextlib.asynccontextmanager
async def joined(url: str, token: str) -> AsyncIterator[HeadlessParticipant]:
    """Somebody who is in the room for the time of the block."""
    participant = await HeadlessParticipant.join(url, token)
    try:
        yield participant
    finally:
        await participant.leave()


def voice_like(seconds: float, *, pitch_hz: float = 140.0) -> npt.NDArray[np.int16]:
    """Harmonics of a voice's pitch, louder and softer about four times a second as syllables are. A whole number of
    periods of both, so that it can be repeated without a click, when `seconds` is a whole number."""
    t = np.arange(int(seconds * SAMPLE_RATE_HZ)) / SAMPLE_RATE_HZ
    harmonics = sum(np.sin(2 * np.pi * pitch_hz * n * t) / n for n in range(1, 13))
    syllables = 0.55 - 0.45 * np.cos(2 * np.pi * 4 * t)
    return (harmonics * syllables * 11_000).astype(np.int16)


class _Voice:
    """Feeds a source with a signal, over and over, until it is hushed."""

    def __init__(self, audio: rtc.AudioSource, signal: npt.NDArray[np.int16] | None) -> None:
        self._audio = audio
        self._enough = False
        self._task = asyncio.create_task(
            self._feed(voice_like(1.0) if signal is None else signal), name="speaks"
        )

    async def hush(self) -> None:
        """Between two frames: a frame that is given up makes LiveKit's library complain when the process ends."""
        self._enough = True
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_HUSHED_WITHIN_S):
                await self._task

    async def _feed(self, signal: npt.NDArray[np.int16]) -> None:
        for samples in _frames(signal):
            if self._enough:
                return
            # Waits while the source's own buffer is full, so this runs at the speed of speech.
            frame = rtc.AudioFrame(samples.tobytes(), SAMPLE_RATE_HZ, 1, _FRAME_SAMPLES)
            await self._audio.capture_frame(frame)


def _frames(signal: npt.NDArray[np.int16]) -> Iterator[npt.NDArray[np.int16]]:
    whole = np.pad(signal, (0, -len(signal) % _FRAME_SAMPLES))
    while True:
        for start in range(0, len(whole), _FRAME_SAMPLES):
            yield whole[start : start + _FRAME_SAMPLES]


async def _stay(url: str, token: str) -> None:
    async with joined(url, token) as person:
        print(f"{person.identity} is in the room and speaks. Ctrl-C to leave.", flush=True)
        await person.speak()
        await person.gone()
    print("left", flush=True)


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        answer = json.load(sys.stdin)
        asyncio.run(_stay(answer["livekit_url"], answer["access_token"]))
    leave()

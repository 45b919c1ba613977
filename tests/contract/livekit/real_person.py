"""Somebody in a room of the real server, by LiveKit's own client."""

from __future__ import annotations

from typing import Self

from livekit import rtc

from examples.participant import HeadlessParticipant


class RealPerson:
    """Somebody in a room of the real server."""

    def __init__(self, participant: HeadlessParticipant) -> None:
        self._participant = participant

    @classmethod
    async def join(cls, ws_url: str, token: str) -> Self:
        """Come in as a client does."""
        return cls(await HeadlessParticipant.join(ws_url, token))

    @property
    def sid(self) -> str:
        return self._participant.sid

    async def speak(self, *, name: str, source: str) -> str:
        wanted = rtc.TrackSource.Value(f"SOURCE_{source.replace('_', '').upper()}")
        return await self._participant.speak(name=name, source=wanted)

    async def hush(self, track_sid: str) -> None:
        await self._participant.hush(track_sid)

    async def leave(self) -> None:
        await self._participant.leave()

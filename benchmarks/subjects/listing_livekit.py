"""LiveKit's room service, as far as a comparison asks it: two lists over HTTP, of a database's own rooms and people.

`python -m benchmarks.subjects.listing_livekit PORT DATABASE`. It agrees with the database for ever, whatever happens.
"""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Mapping

from aiohttp import web
from livekit.protocol import models
from livekit.protocol.room import (
    ListParticipantsRequest,
    ListParticipantsResponse,
    ListRoomsResponse,
)

_ROOMS = "SELECT room_name, room_sid FROM rooms WHERE NOT gone"
_PEOPLE = "SELECT room_sid, sid, identity FROM participants WHERE NOT gone"
_TRACKS = "SELECT room_sid, sid FROM tracks WHERE NOT gone"


class Lists:
    """What is answered, made once."""

    def __init__(self, database: str) -> None:
        with sqlite3.connect(database) as connection:
            rooms = dict(connection.execute(_ROOMS).fetchall())
            people = {row[0]: row[1:] for row in connection.execute(_PEOPLE)}
            tracks: Mapping[str, str] = dict(connection.execute(_TRACKS).fetchall())
        self.looks = 0
        self.rooms = ListRoomsResponse(
            rooms=[
                models.Room(name=name, sid=sid, num_participants=1, num_publishers=1)
                for name, sid in rooms.items()
            ]
        ).SerializeToString()
        self.people = {
            name: ListParticipantsResponse(
                participants=[_person(*people[sid], track=tracks[sid])]
            ).SerializeToString()
            for name, sid in rooms.items()
        }

    async def list_rooms(self, _request: web.Request) -> web.Response:
        """Every room, whatever was asked."""
        print(f"pass, {self.looks} looks before", flush=True)
        return web.Response(body=self.rooms, content_type="application/protobuf")

    async def list_participants(self, request: web.Request) -> web.Response:
        """Who is in the room."""
        self.looks += 1
        asked = ListParticipantsRequest.FromString(await request.read())
        return web.Response(body=self.people[asked.room], content_type="application/protobuf")


def _person(sid: str, identity: str, *, track: str) -> models.ParticipantInfo:
    voice = models.TrackInfo(sid=track, type=models.AUDIO, source=models.MICROPHONE)
    return models.ParticipantInfo(
        sid=sid, identity=identity, state=models.ParticipantInfo.ACTIVE, tracks=[voice]
    )


def main() -> None:
    lists = Lists(sys.argv[2])
    application = web.Application()
    application.router.add_post("/twirp/livekit.RoomService/ListRooms", lists.list_rooms)
    application.router.add_post("/twirp/livekit.RoomService/ListParticipants", lists.list_participants)
    web.run_app(application, host="127.0.0.1", port=int(sys.argv[1]), access_log=None)


if __name__ == "__main__":
    main()

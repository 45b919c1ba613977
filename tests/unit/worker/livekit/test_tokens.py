"""Access tokens: who they let in, where, and for what."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

import jwt
import pytest
from livekit import api

from worker.adapters.livekit.tokens import AccessTokens

KEY, SECRET = "june", "a secret that is long enough for it"
NOW = datetime.now(UTC).replace(microsecond=0)
TOKENS = AccessTokens(key=KEY, secret=SECRET, bot_ttl=timedelta(hours=1))


def claims(token: str) -> dict[str, object]:
    """By the signature; `NOW` was when the tests were collected, perhaps long ago."""
    decoded: dict[str, object] = jwt.decode(
        token, SECRET, algorithms=["HS256"], issuer=KEY, options={"verify_exp": False}
    )
    return decoded


def moments(*, ttl: timedelta) -> dict[str, int]:
    issued = int(NOW.timestamp())
    return {"iat": issued, "nbf": issued, "exp": issued + int(ttl.total_seconds())}


def test_a_person_may_what_was_asked_for() -> None:
    """The grants are exactly those asked for, for one room, until `now` + ttl."""
    token = TOKENS.person(
        room_name="june room/ü*#",
        identity="ann@home",
        name="Änn",
        now=NOW,
        ttl=timedelta(minutes=15),
        can_publish=False,
    )
    assert claims(token) == {
        "iss": KEY,
        "sub": "ann@home",
        "name": "Änn",
        "video": {
            "roomJoin": True, "room": "june room/ü*#",
            "canPublish": False, "canSubscribe": True, "canPublishData": True,
        },
        **moments(ttl=timedelta(minutes=15)),
    }  # fmt: skip


def test_nobody_needs_a_name() -> None:
    """Without a name there is no claim of it."""
    token = TOKENS.person(room_name="r", identity="i", name=None, now=NOW, ttl=timedelta(hours=1))
    assert "name" not in claims(token)


def test_a_transcriber_only_listens() -> None:
    """Kind agent, hidden, subscribe only, for the bots' time."""
    assert claims(TOKENS.transcriber(room_name="r", identity="june-stt-1", now=NOW)) == {
        "iss": KEY,
        "sub": "june-stt-1",
        "kind": "agent",
        "video": {
            "roomJoin": True, "room": "r", "hidden": True,
            "canSubscribe": True, "canPublish": False, "canPublishData": False,
        },
        **moments(ttl=timedelta(hours=1)),
    }  # fmt: skip


def test_a_speaker_only_speaks() -> None:
    """Kind agent, a microphone track and nothing else, and not hidden."""
    assert claims(TOKENS.speaker(room_name="r", identity="june-tts-1", now=NOW)) == {
        "iss": KEY,
        "sub": "june-tts-1",
        "kind": "agent",
        "video": {
            "roomJoin": True, "room": "r", "canSubscribe": False, "canPublish": True,
            "canPublishSources": ["microphone"], "canPublishData": False,
        },
        **moments(ttl=timedelta(hours=1)),
    }  # fmt: skip


def test_livekits_own_verifier_takes_them() -> None:
    """LiveKit's library reads the same grants."""
    grants = api.TokenVerifier(KEY, SECRET).verify(
        TOKENS.transcriber(room_name="r", identity="i", now=datetime.now(UTC))
    )
    assert grants.video is not None
    assert (grants.identity, grants.kind, grants.video.room, grants.video.hidden) == ("i", "agent", "r", True)


def test_the_same_moment_gives_the_same_token() -> None:
    """Nothing in a token is random."""
    made = {TOKENS.speaker(room_name="r", identity="i", now=NOW) for _ in range(3)}
    assert len(made) == 1


@pytest.mark.parametrize(("room", "identity"), [("", "i"), ("r", "")])
def test_a_token_for_any_room_or_anybody_is_refused(room: str, identity: str) -> None:
    """LiveKit would read an empty room as any."""
    with pytest.raises(ValueError, match="one room and one identity"):
        TOKENS.transcriber(room_name=room, identity=identity, now=NOW)


def test_signing_is_fast() -> None:
    """A token takes less than 50 µs at its best: one is made for each job."""

    def once() -> float:
        started = time.perf_counter()
        for _ in range(200):
            TOKENS.transcriber(room_name="r", identity="i", now=NOW)
        return (time.perf_counter() - started) / 200

    assert min(once() for _ in range(10)) < 50e-6

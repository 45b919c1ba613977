"""Participants and tracks: each sid once, in any order, and which tracks are voices."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from schemas.participants import ParticipantKind, TrackSource, TrackType
from tests.support.memory_domain import MemoryDomain, of, story
from tests.support.samples import START
from tests.unit.worker.domain.facts import (
    RM,
    ROOM,
    SESSION,
    joined,
    left,
    published,
    reservation,
    room_started,
    the_session,
    unpublished,
)
from worker.domain.decide import decide
from worker.domain.effects import OfferJob, RemoveParticipant
from worker.domain.model import Removal, RoomSid, SessionId, SessionState

OFFERED = ["job TR_1 waiting 1", "offer TR_1 1"]
BOTS = ["june-stt-1", "june-tts-1"]


def _room() -> MemoryDomain:
    domain = MemoryDomain()
    domain.give(room_started())
    return domain


def test_the_first_participant_starts_the_session() -> None:
    """The session is active from its first participant on, and only the first starts it."""
    domain = _room()
    assert story(domain.give(joined())) == ["session started", "joined PA_1"]
    assert story(domain.give(joined("PA_2", identity="bob"))) == ["joined PA_2"]
    assert the_session(domain).state is SessionState.ACTIVE
    assert the_session(domain).started_at == domain.now


def test_a_participant_joins_and_leaves_once() -> None:
    """Copies of a join, of a leave, and a join after the leave change nothing."""
    domain = _room()
    domain.give(joined())
    assert domain.give(joined()) == []
    assert story(domain.give(left())) == ["left PA_1"]
    assert domain.give(left(), joined(), left()) == []


def test_who_is_first_seen_leaving_never_joins() -> None:
    """A leave without a join is remembered and told to nobody; the session does not start."""
    domain = _room()
    assert domain.give(left(), joined(), published()) == []
    assert the_session(domain).state is SessionState.CREATED


def test_an_identity_may_be_there_twice() -> None:
    """A reconnect brings a new sid: it is another participant, and the late leave of the old one is its own."""
    domain = _room()
    domain.give(joined("PA_1"), published("TR_1", by="PA_1"))
    assert story(domain.give(joined("PA_2"), published("TR_2", by="PA_2"))) == [
        "joined PA_2",
        "published TR_2",
        "job TR_2 waiting 1",
        "offer TR_2 1",
    ]
    assert story(domain.give(left("PA_1"))) == [
        "unpublished TR_1",
        "stop TR_1 all all participant_left",
        "job TR_1 ended 1 participant_left",
        "left PA_1",
    ]
    assert [job.track_sid for job in domain.tables.live_jobs(RoomSid(RM))] == ["TR_2"]


@pytest.mark.parametrize("identity", BOTS)
def test_junes_own_bots_do_not_appear(identity: str) -> None:
    """An agent with a name of June's own starts no session, joins, publishes and leaves silently."""
    domain = _room()
    bot = joined("PA_b", identity=identity, kind=ParticipantKind.AGENT)
    facts = (bot, published("TR_b", by="PA_b"), unpublished("TR_b", by="PA_b"), published("TR_c", by="PA_b"))
    assert domain.give(*facts, left("PA_b")) == []
    assert the_session(domain).state is SessionState.CREATED


def test_a_track_of_a_bot_that_comes_first_stays_silent() -> None:
    """A track that waited for a bot of June's own is never told of."""
    domain = _room()
    bot = joined("PA_b", identity=BOTS[1], kind=ParticipantKind.AGENT)
    assert domain.give(published("TR_b", by="PA_b"), bot, unpublished("TR_b", by="PA_b")) == []


@pytest.mark.parametrize("kind", [kind for kind in ParticipantKind if kind is not ParticipantKind.AGENT])
def test_a_borrowed_name_makes_no_bot(kind: ParticipantKind) -> None:
    """Only agents can be June's own bots: anybody else with such a name appears."""
    domain = _room()
    assert "joined PA_1" in story(domain.give(joined(identity=BOTS[0], kind=kind)))


def test_other_agents_appear() -> None:
    """An agent that is not June's own joins as everybody does, and starts the session."""
    effects = _room().give(joined(identity="agent-x", kind=ParticipantKind.AGENT))
    assert story(effects) == ["session started", "joined PA_1"]


HUMAN = {ParticipantKind.STANDARD, ParticipantKind.SIP, ParticipantKind.CONNECTOR}


@pytest.mark.parametrize("track_first", [False, True])
@pytest.mark.parametrize("source", TrackSource)
@pytest.mark.parametrize("type_", TrackType)
@pytest.mark.parametrize("kind", ParticipantKind)
def test_which_tracks_are_voices(
    kind: ParticipantKind, type_: TrackType, source: TrackSource, track_first: bool
) -> None:
    """Audio that is not a screen's, of people: one job for each, whichever of track and person comes first."""
    facts = [joined(kind=kind), published(kind=type_, source=source)]
    effects = _room().give(*(reversed(facts) if track_first else facts))
    voice = kind in HUMAN and type_ is TrackType.AUDIO and source is not TrackSource.SCREEN_SHARE_AUDIO
    assert len(of(effects, OfferJob)) == voice
    assert story(effects).count("published TR_1") == 1


def test_no_jobs_without_stt() -> None:
    """A session that asked for no transcription offers no jobs; its tracks are told of all the same."""
    domain = MemoryDomain()
    domain.put(reservation(stt_enabled=False))
    assert story(domain.give(joined(), published()))[-1] == "published TR_1"


def test_a_job_says_whose_voice_it_is() -> None:
    """The offer carries the participant as it joined, and the session's language."""
    domain = MemoryDomain()
    domain.put(replace(reservation(), stt_language="de"))
    (offer,) = of(domain.give(joined(identity="ann"), published(identity="other")), OfferJob)
    job = offer.job
    assert (job.identity, job.participant_sid, job.language, job.room_name) == ("ann", "PA_1", "de", ROOM)
    assert job.deadline == domain.now + domain.policy.lease


def test_a_track_is_published_and_unpublished_once() -> None:
    """Copies change nothing, and a publish after the unpublish neither."""
    domain = _room()
    domain.give(joined())
    assert story(domain.give(published(), published())) == ["published TR_1", *OFFERED]
    assert story(domain.give(unpublished(), unpublished(), published())) == [
        "unpublished TR_1",
        "stop TR_1 all all track_unpublished",
        "job TR_1 ended 1 track_unpublished",
    ]


def test_an_unpublish_may_name_another_participant() -> None:
    """The track's sid decides: its job is stopped, whoever is said to have unpublished it."""
    domain = _room()
    domain.give(joined(), published())
    assert story(domain.give(unpublished(by="PA_other"))) == [
        "unpublished TR_1",
        "stop TR_1 all all track_unpublished",
        "job TR_1 ended 1 track_unpublished",
    ]


def test_a_track_waits_for_its_participant() -> None:
    """A track that comes first is told of when its participant is known, and not before."""
    domain = _room()
    assert domain.give(published()) == []
    assert story(domain.give(joined())) == ["session started", "joined PA_1", "published TR_1", *OFFERED]


def test_a_track_that_waited_in_vain_is_silent() -> None:
    """Unpublished before its participant was known, a track was never there."""
    domain = _room()
    assert domain.give(published(), unpublished()) == []
    assert story(domain.give(joined())) == ["session started", "joined PA_1"]


def test_a_track_first_seen_unpublished_is_gone() -> None:
    """An unpublish without a publish is remembered, and told to nobody."""
    domain = _room()
    domain.give(joined())
    assert domain.give(unpublished(), published()) == []


def test_a_track_of_somebody_gone_is_gone() -> None:
    """A publish that comes after its participant's leave starts nothing, and neither does its end."""
    domain = _room()
    domain.give(joined(), left())
    assert domain.give(published()) == []
    assert not domain.tables.live_tracks(RoomSid(RM))
    assert domain.give(unpublished(), published()) == []


def test_a_leave_ends_tracks_that_waited() -> None:
    """A participant first seen leaving takes its waiting tracks along."""
    domain = _room()
    assert domain.give(published(), left(), joined()) == []
    assert not domain.tables.live_tracks(RoomSid(RM))


def test_a_leave_concerns_nobody_else() -> None:
    """Who stays keeps tracks and jobs."""
    domain = _room()
    domain.give(joined("PA_1"), joined("PA_2"), published("TR_1"), published("TR_2", by="PA_2"))
    domain.give(left("PA_1"))
    assert [track.sid for track in domain.tables.live_tracks(RoomSid(RM))] == ["TR_2"]
    assert [job.track_sid for job in domain.tables.live_jobs(RoomSid(RM))] == ["TR_2"]


def test_a_leave_concerns_nobody_else_in_a_larger_slice() -> None:
    """A decision that is given the whole room still ends one participant alone."""
    domain = _room()
    domain.give(joined("PA_1"), joined("PA_2"), published("TR_1"), published("TR_2", by="PA_2"))
    effects = domain.order(
        the_session(domain).session_id,
        lambda room: decide(room, left("PA_1"), domain.now, domain.policy),
    )
    assert story(effects) == [
        "unpublished TR_1",
        "stop TR_1 all all participant_left",
        "job TR_1 ended 1 participant_left",
        "left PA_1",
    ]


def test_a_late_unpublish_after_the_leave_is_nothing() -> None:
    """The leave was the end of the track."""
    domain = _room()
    domain.give(joined(), published(), left())
    assert domain.give(unpublished()) == []


class TestWhoWasRemoved:
    """An identity that was removed and comes back by its old token."""

    def _removed(self) -> MemoryDomain:
        domain = MemoryDomain()
        domain.put(reservation())
        until = START + timedelta(minutes=15)
        removal = Removal(session_id=SessionId(SESSION), identity="ann", until=until)
        domain.tables.removals[removal.session_id, removal.identity] = removal
        domain.give(room_started())
        return domain

    def test_is_removed_again(self) -> None:
        """Each return is answered by a removal."""
        domain = self._removed()
        effects = domain.give(joined("PA_1"), joined("PA_2"))
        assert of(effects, RemoveParticipant) == [RemoveParticipant(room_name=ROOM, identity="ann")] * 2

    def test_may_come_when_the_tokens_have_run_out(self) -> None:
        """Once no old token works, whoever comes has a new one."""
        domain = self._removed()
        domain.wait(timedelta(minutes=15))
        assert not of(domain.give(joined()), RemoveParticipant)

    def test_is_nobody_else(self) -> None:
        """Another identity is let in."""
        assert not of(self._removed().give(joined(identity="bob")), RemoveParticipant)

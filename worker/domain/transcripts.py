"""What the voices say: finals become events and turns; who speaks when they should not is told to stop.

Promises: each utterance of a job counts once, by its first final; two instances on one voice never double its words;
last words count for `Policy.last_words` after the job's end. A blank final uses its utterance's id up and says nothing.
Partials change nothing, but show who is still at work. Only `running` holds a lease: words do not.
"""

from __future__ import annotations

from datetime import datetime
from typing import assert_never

from schemas.events import TranscriptAdded
from schemas.participants import ParticipantRef
from schemas.reports import SttSpeechStarted, SttTranscript
from worker.domain import jobs, leases, turns
from worker.domain.conversation import Utterance
from worker.domain.copies import replace
from worker.domain.effects import Announce, Count, Effect
from worker.domain.jobs import Decision
from worker.domain.leases import Standing
from worker.domain.model import Job, JobId, State
from worker.domain.policy import Policy

_UNWANTED = {Standing.OTHER, Standing.PAST, Standing.OVER}


def reported(state: State, source: str, report: SttTranscript, now: datetime, policy: Policy) -> Decision:
    """Words of an utterance."""
    job = state.jobs.get(JobId(report.job_id))
    if job is None:
        return state, (Count(name="unknown_report"),)
    standing = leases.standing(job, source, report.attempt)
    stop = jobs.told_to_stop(job, source, report.attempt)
    if not report.is_final:
        unwanted = standing in _UNWANTED and not _are_last_words(job, source, now, policy)
        return state, (stop,) if unwanted else ()
    match standing:
        case Standing.HOLDER | Standing.FREE:
            return _take(state, job, report, now, policy)
        case Standing.PAST if job.holder is None:
            # Lost and unheard, but nobody else has the voice yet: without these its words would be missing.
            state, effects = _take(state, job, report, now, policy)
            return state, (*effects, stop)
        case Standing.PAST | Standing.OTHER:
            return state, (stop,)
        case Standing.AHEAD:
            return state, (Count(name="unknown_report"),)
        case Standing.OVER if _are_last_words(job, source, now, policy):
            return _take(state, job, report, now, policy)
        case Standing.OVER:
            return state, (Count(name="late_report"), stop)
        case unexpected:
            assert_never(unexpected)


def speech_started(
    state: State, source: str, report: SttSpeechStarted, now: datetime, policy: Policy
) -> Decision:
    """A voice began to speak: it may interrupt an answer."""
    job = state.jobs.get(JobId(report.job_id))
    if job is None:
        return state, (Count(name="unknown_report"),)
    if leases.standing(job, source, None) not in {Standing.HOLDER, Standing.FREE}:
        return state, (jobs.told_to_stop(job, source, None),)
    if not _is_talking_to_ai(state):
        return state, ()
    return turns.speech_started(state, now, policy)


def _are_last_words(job: Job, source: str, now: datetime, policy: Policy) -> bool:
    in_time = job.ended_at is not None and now - job.ended_at <= policy.last_words
    return in_time and job.holder in {None, source}


def _take(state: State, job: Job, report: SttTranscript, now: datetime, policy: Policy) -> Decision:
    said = (job.job_id, report.utterance_id)
    if said in state.utterances:
        return state, ()
    state = replace(state, utterances=state.utterances | {said})
    if not report.text.strip():
        return state, (Count(name="blank_final"),)
    effects: tuple[Effect, ...] = (_event(job, report),)
    if _is_talking_to_ai(state):
        state, turn = turns.said(state, _utterance(job, report, now), now, policy)
        effects = (*effects, *turn)
    return state, effects


def _is_talking_to_ai(state: State) -> bool:
    return state.session is not None and state.session.live and state.session.ai_enabled


def _event(job: Job, report: SttTranscript) -> Announce:
    return Announce(
        event=TranscriptAdded(
            session_id=job.session_id,
            utterance_id=report.utterance_id,
            participant=ParticipantRef(sid=job.participant_sid, identity=job.identity),
            text=report.text,
            language=report.language or job.language,
            confidence=report.confidence,
            start_ms=report.start_ms,
            end_ms=report.end_ms,
        )
    )


def _utterance(job: Job, report: SttTranscript, now: datetime) -> Utterance:
    return Utterance(
        job_id=job.job_id,
        utterance_id=report.utterance_id,
        participant_sid=job.participant_sid,
        identity=job.identity,
        participant_name=job.participant_name,
        text=report.text,
        language=report.language or job.language,
        at=now,
    )

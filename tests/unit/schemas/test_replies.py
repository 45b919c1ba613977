"""Replies, as their receivers see them."""

from datetime import UTC, datetime

import pytest

from schemas.envelope import Envelope
from schemas.errors import FieldProblem, MessageInvalid, TypeUnknown
from schemas.replies import (
    ErrorCode,
    ParticipantRemoved,
    ReplyError,
    ReplyOk,
    SessionResult,
    parse_reply,
    reply_envelope,
)
from tests.unit.schemas.examples import OUTCOMES

NOW = datetime(2026, 11, 22, 19, tzinfo=UTC)


def test_only_unavailable_is_worth_repeating() -> None:
    """There are eight error codes, and the same command again is right after one of them."""
    assert len(ErrorCode) == 8
    assert [code for code in ErrorCode if code.retryable] == [ErrorCode.UNAVAILABLE]


def test_an_error_says_what_its_code_says() -> None:
    """An error takes `retryable` from its code, and its details from the problems."""
    error = ReplyError.of(
        ErrorCode.UNAVAILABLE, "LiveKit does not answer", [FieldProblem("a.b", "is required")]
    )
    assert error.as_json() == {
        "code": "unavailable",
        "message": "LiveKit does not answer",
        "retryable": True,
        "details": [{"field": "a.b", "problem": "is required"}],
    }


def test_a_reply_has_no_partition_and_no_sequence() -> None:
    """A reply belongs to its sender, not to the order of a session."""
    envelope = reply_envelope(id="r", time=NOW, command_id=None, subject="s-1", outcome=ParticipantRemoved())
    assert (envelope.source, envelope.type, envelope.subject) == ("june", "june.reply.v1", "s-1")
    assert (envelope.partitionkey, envelope.sequence) == (None, None)
    assert envelope.data == {"ok": True, "command_id": None, "result": {"removed": True}}


def test_a_token_is_not_in_a_repr() -> None:
    """What is logged by accident holds no token."""
    result = OUTCOMES["session.create"]
    assert isinstance(result, SessionResult)
    assert result.access_token == "token"
    assert "'token'" not in repr(result)
    assert "'token'" not in repr(ReplyOk(command_id="c", result=result.as_json()))
    assert "'token'" not in repr(
        reply_envelope(id="r", time=NOW, command_id="c", subject="s-1", outcome=result)
    )


def test_what_is_no_reply_is_refused() -> None:
    """Another type, or data that is neither form, is not taken for a reply."""
    with pytest.raises(TypeUnknown):
        parse_reply(Envelope(id="1", source="june", type="june.job.changed.v1", data={}))
    with pytest.raises(MessageInvalid):
        parse_reply(Envelope(id="1", source="june", type="june.reply.v1", data={"ok": "yes"}))

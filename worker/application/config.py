"""What the use cases are told at start: LiveKit's address for clients, how long things live, the domain's policy."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from worker.domain.policy import Policy


@dataclass(frozen=True, kw_only=True, slots=True)
class Config:
    """Settings of the use cases."""

    public_url: str
    """What clients and services are told to connect to."""
    policy: Policy
    answer_within: timedelta = timedelta(seconds=4.5)
    """A command is answered by then, whatever is down; the contract says 5 s."""
    bot_token_ttl: timedelta = timedelta(seconds=300)
    """For how long the tokens in jobs can be used to join."""
    default_token_ttl_s: int = 900
    """For a session that no command made, so that nobody chose."""
    answers_kept: timedelta = timedelta(hours=24)
    """For how long the same command gets the same answer."""

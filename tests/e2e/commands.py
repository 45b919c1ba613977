"""What the tests of commands share: types of the contract, new names, tokens and times read as a client reads them."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable
from datetime import datetime
from typing import Any

import jwt

from tests.e2e.client import Received
from tests.e2e.installation import Installation

CREATE = "june.session.create.v1"
GET = "june.session.get.v1"
DELETE = "june.session.delete.v1"
LIST = "june.session.list.v1"
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


def unique(prefix: str = "s") -> str:
    """A name that no other test uses."""
    return f"{prefix}-{uuid.uuid4().hex[:12]}"


def claims(june: Installation, token: str) -> dict[str, Any]:
    """What a token says, once its signature is verified."""
    found: dict[str, Any] = jwt.decode(token, june.livekit.api_secret, algorithms=["HS256"])
    return found


def moment(text: str) -> datetime:
    """A time as the contract writes it."""
    assert TIME.fullmatch(text), text
    return datetime.fromisoformat(text)


def of_session(session_id: str, type_: str) -> Callable[[Received], bool]:
    """Whether a message has this type and is about this session."""
    return lambda one: one.type == type_ and one.envelope["subject"] == session_id

"""Our verification against the tokens of LiveKit's own libraries: what they sign, we believe, and the other way."""

import base64
import hashlib
from datetime import UTC, datetime, timedelta

import pytest
from livekit import api

from tests.unit.webhook_ingress.tokens import BODY, KEY, SECRET, SECRETS, b64url, signed, token
from webhook_ingress.verify import Reason, Rejected, Verified, verify


def livekit_token(*, ttl: timedelta = timedelta(minutes=5), body: bytes = BODY) -> api.AccessToken:
    """A token as livekit-api makes it for a webhook."""
    digest = base64.b64encode(hashlib.sha256(body).digest()).decode()
    return api.AccessToken(KEY, SECRET).with_ttl(ttl).with_sha256(digest)


def judge(jwt: str, body: bytes = BODY) -> Verified | Rejected:
    """The verdict at this moment."""
    return verify([jwt], body, SECRETS, datetime.now(UTC))


def test_what_livekit_api_signs_is_believed() -> None:
    """Its token for a webhook, with five minutes to live."""
    assert judge(livekit_token().to_jwt()) == Verified(KEY)


def test_what_livekits_server_signs_is_believed() -> None:
    """Byte for byte as its Go signer writes it: this header, these claims in this order, no spaces."""
    now_s = int(datetime.now(UTC).timestamp())
    digest = base64.b64encode(hashlib.sha256(BODY).digest()).decode()
    payload = f'{{"exp":{now_s + 300},"iat":{now_s},"iss":"{KEY}","nbf":{now_s},"sha256":"{digest}"}}'
    jwt = signed(payload.encode(), header=b'{"alg":"HS256","typ":"JWT"}')
    assert jwt.startswith(b64url(b'{"alg":"HS256","typ":"JWT"}'))
    assert judge(jwt) == Verified(KEY)


def test_our_test_tokens_are_livekits() -> None:
    """livekit-api's own receiver believes the tokens that the tests make, so they test the real thing."""
    receiver = api.WebhookReceiver(api.TokenVerifier(KEY, SECRET))
    event = receiver.receive(BODY.decode(), token(now_s=int(datetime.now(UTC).timestamp())))
    assert event.event == "room_started"


def test_a_participants_token_is_not_a_webhooks() -> None:
    """Anybody in a room has one that is signed with the same secret, but says nothing about a body."""
    grants = api.VideoGrants(room_join=True, room="r")
    jwt = api.AccessToken(KEY, SECRET).with_identity("ann").with_grants(grants).with_ttl(timedelta(minutes=5))
    assert judge(jwt.to_jwt()) == Rejected(Reason.BODY)


@pytest.mark.parametrize("ttl", [timedelta(hours=6), timedelta(days=30 * 365)])
def test_a_long_lived_token_is_refused_though_livekit_api_takes_it(ttl: timedelta) -> None:
    """A stolen token is of use for an hour at most."""
    assert judge(livekit_token(ttl=ttl).to_jwt()) == Rejected(Reason.TOO_LONG_LIVED)

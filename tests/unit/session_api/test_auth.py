"""Who is let in: keys, tokens of an issuer, and development on this machine."""

import asyncio
import hashlib
import json
import time
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import jwt
import pytest

from runtime.api_keys import Scope, read_api_keys
from runtime.settings import ApiSettings, SettingsInvalid, load
from session_api.auth import Caller, Keys, OpenToThisMachine
from session_api.oidc import ALGORITHMS, IssuerTokens, caller_name, usable
from tests.support.polling import until
from tests.unit.session_api.tools import served

ISSUER, AUDIENCE = "https://login.example.org/", "june"
SECRET = b"a secret of sixty-four bytes and more" * 2
JWK = {"kty": "oct", "kid": "k1", "alg": "HS256", "k": jwt.utils.base64url_encode(SECRET).decode()}


def line(name: str, key: str, scopes: str) -> str:
    """A line of JUNE_API_KEYS."""
    return f"{name} {hashlib.sha256(key.encode()).hexdigest()} {scopes}"


def test_keys_are_read_line_by_line() -> None:
    """Name, hash in either case, scopes; empty lines are skipped, and a name may have two keys."""
    text = f"{line('web', 'one', 'sessions:read,events:read')}\n\n{line('web', 'two', 'sessions:read').upper()}\n"
    text = text.replace("WEB", "web").replace("SESSIONS:READ", "sessions:read")
    first, second = read_api_keys(text)
    assert first.name == second.name == "web"
    assert first.scopes == {Scope.SESSIONS_READ, Scope.EVENTS_READ}
    assert first.digest == hashlib.sha256(b"one").digest()
    assert second.digest == hashlib.sha256(b"two").digest()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "web",
        "web abc sessions:read",
        f"web {'0' * 63}g sessions:read",
        f"web {'0' * 64}",
        f"web {'0' * 64} sessions:read, events:read",
        f"web {'0' * 64} sessions:read,",
        f"wéb {'0' * 64} sessions:read",
        f"oidc:web {'0' * 64} sessions:read",
        f"# web {'0' * 64} sessions:read",
        f"a {'0' * 64} sessions:read\nb {'0' * 64} sessions:write",
    ],
)
def test_a_line_that_cannot_be_read_refuses_to_start(text: str) -> None:
    """The line's number is told, and nothing of the line."""
    with pytest.raises(ValueError, match=r"line \d|no key") as caught:
        read_api_keys(text)
    assert "0000" not in str(caught.value)
    with pytest.raises(SettingsInvalid, match="JUNE_API_KEYS"):
        load(ApiSettings, {"JUNE_API_KEYS": text})


def test_nobody_gets_in_without_keys_unless_in_development_on_loopback() -> None:
    """No key and no issuer: refuses to start."""
    for env in ({}, {"JUNE_API_DEV": "false"}, {"JUNE_API_DEV": "true", "JUNE_API_HOST": "0.0.0.0"}):
        with pytest.raises(SettingsInvalid):
            load(ApiSettings, env)
    for host in ("127.0.0.1", "localhost", "::1"):
        assert load(ApiSettings, {"JUNE_API_DEV": "true", "JUNE_API_HOST": host}).api_dev


def test_an_issuer_is_three_settings_and_trusted() -> None:
    """Half of it refuses to start, and so does a JWKS that anybody on the way could change."""
    with pytest.raises(SettingsInvalid, match="all or none"):
        load(ApiSettings, {"JUNE_OIDC_ISSUER": ISSUER})
    with pytest.raises(SettingsInvalid, match="JUNE_OIDC_JWKS_URL: must be a URL that begins with https://"):
        load(ApiSettings, {"JUNE_OIDC_JWKS_URL": "http://login.example.org/jwks"})


def test_keys_are_not_shown() -> None:
    """Settings show the names alone."""
    settings = load(ApiSettings, {"JUNE_API_KEYS": line("web", "one", "sessions:read")})
    assert "web" in repr(settings)
    assert hashlib.sha256(b"one").hexdigest() not in repr(settings)


@pytest.mark.parametrize(
    ("header", "status"),
    [
        ("Bearer all", 200),
        ("bearer all", 200),
        ("Bearer  all", 200),
        ("Basic all", 401),
        ("Bearer", 401),
        ("all", 401),
        ("Bearer al", 401),
        ("Bearer all,all", 401),
    ],
)
async def test_a_key_comes_as_a_bearer(header: str, status: int) -> None:
    """The scheme in any case, one key, whole."""
    async with served() as api:
        answer = await api.call("GET", "/api/sessions", key=None, headers={"Authorization": header})
        assert answer.status == status


async def test_two_authorizations_are_none() -> None:
    """Which one was meant is not guessed."""
    async with served() as api:
        headers = [("Authorization", "Bearer all"), ("Authorization", "Bearer all")]
        async with api.client.get(f"{api.url}/api/sessions", headers=headers) as answer:
            assert answer.status == 401


async def test_development_serves_this_machine_by_its_own_name() -> None:
    """A page of elsewhere whose name was made to lead here is refused."""
    async with served(gate=OpenToThisMachine()) as api:
        assert (await api.call("GET", "/api/sessions", key=None)).status == 200
        for host in ("localhost:8081", "localhost", "[::1]:80", "127.0.0.1"):
            assert (await api.call("GET", "/api/sessions", key=None, headers={"Host": host})).status == 200
        for host in ("evil.example.org", "evil.example.org:8081", "127.0.0.1.evil.example.org"):
            assert (await api.call("GET", "/api/sessions", key=None, headers={"Host": host})).status == 401
        assert api.june.last.source == "june-api/dev"


# Tokens of an issuer. The algorithm is a symmetric one here, as no other can be signed with what there is.


class Issuer:
    """An issuer's keys, and how often they were asked for."""

    def __init__(self, *keys: Mapping[str, Any]) -> None:
        self.keys = list(keys)
        self.asked = 0
        self.down = False
        self.slow = asyncio.Event()
        self.slow.set()

    async def fetch(self) -> Mapping[str, Any]:
        self.asked += 1
        await self.slow.wait()
        if self.down:
            raise TimeoutError
        return {"keys": self.keys}

    def tokens(
        self,
        *,
        fetch_every: timedelta = timedelta(seconds=10),
        fresh_for: timedelta = timedelta(minutes=5),
    ) -> IssuerTokens:
        return IssuerTokens(
            issuer=ISSUER,
            audience=AUDIENCE,
            fetch=self.fetch,
            algorithms=("HS256",),
            fetch_every=fetch_every,
            fresh_for=fresh_for,
        )


def token(*, key: bytes = SECRET, kid: str | None = "k1", algorithm: str = "HS256", **claims: Any) -> str:
    """A token that is right but for what is given."""
    now = int(time.time())
    plain = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": "user-1",
        "exp": now + 60,
        "scope": "openid sessions:read",
    }
    given = {name: value for name, value in (plain | claims).items() if value is not None}
    headers = {} if kid is None else {"kid": kid}
    return jwt.encode(given, key, algorithm=algorithm, headers=headers)


async def test_a_token_of_the_issuer_is_let_in_with_its_scopes() -> None:
    """Scopes that June does not know count for nothing."""
    caller = await Issuer(JWK).tokens().caller(token(scope="openid sessions:read events:read other"))
    assert caller == Caller(name="oidc:user-1", scopes=frozenset({Scope.SESSIONS_READ, Scope.EVENTS_READ}))
    assert await Issuer(JWK).tokens().caller(token(scope=None)) == Caller(
        name="oidc:user-1", scopes=frozenset()
    )


@pytest.mark.parametrize(
    "wrong",
    [
        {"iss": "https://evil.example.org/"},
        {"aud": "somebody-else"},
        {"iss": None},
        {"aud": None},
        {"sub": None},
        {"exp": None},
        {"exp": int(time.time()) - 3600},
        {"nbf": int(time.time()) + 3600},
        {"key": b"another secret of sixty-four bytes" * 2},
        {"kid": "unknown"},
        {"kid": None},
        {"algorithm": "HS512"},
    ],
)
async def test_a_token_that_is_wrong_in_any_way_is_nobodys(wrong: dict[str, Any]) -> None:
    """Nobody is let in by half of a token."""
    assert await Issuer(JWK).tokens().caller(token(**wrong)) is None


@pytest.mark.parametrize("text", ["a.b.c", "..", "e30.e30.", "eyJhbGciOiJub25lIiwia2lkIjoiazEifQ.e30."])
async def test_what_is_no_token_is_nobodys(text: str) -> None:
    """Not even one that says that it needs no signature."""
    assert await Issuer(JWK).tokens().caller(text) is None


def test_no_symmetric_algorithm_is_taken() -> None:
    """Else the issuer's public keys would be secrets that everybody has."""
    assert not [name for name in ALGORITHMS if name.startswith("HS") or name == "none"]
    assert usable({"keys": [JWK]}, ALGORITHMS) == {}


def test_keys_of_other_uses_and_kinds_are_left_out() -> None:
    """One that cannot be read does not hide the others."""
    keys = [{**JWK, "use": "enc", "kid": "enc"}, {"kty": "odd", "kid": "odd"}, "text", {**JWK, "kid": "k2"}]
    assert set(usable({"keys": keys}, ("HS256",))) == {"k2"}


async def test_keys_are_fetched_when_a_new_one_is_named_and_not_all_the_time() -> None:
    """A rotation is noticed; made-up names do not make us ask again and again."""
    issuer = Issuer(JWK)
    tokens = issuer.tokens()
    for _ in range(5):
        assert await tokens.caller(token()) is not None
        assert await tokens.caller(token(kid="made-up")) is None
    assert issuer.asked == 1
    hasty = issuer.tokens(fetch_every=timedelta(0))
    assert await hasty.caller(token()) is not None
    issuer.keys = [{**JWK, "kid": "k2"}]
    assert await hasty.caller(token(kid="k2")) is not None
    assert await hasty.caller(token()) is None


async def test_a_key_that_was_withdrawn_counts_no_more() -> None:
    """Keys are asked for again after a while, though the token's key is known."""
    issuer = Issuer(JWK)
    tokens = issuer.tokens(fresh_for=timedelta(0))
    assert await tokens.caller(token()) is not None
    issuer.keys = []
    assert await tokens.caller(token()) is None


async def test_an_issuer_that_cannot_be_reached_refuses_nobody() -> None:
    """Known keys count on; a token by another one may be right: 503, and 401 when it turns out not to be."""
    issuer = Issuer(JWK)
    tokens = issuer.tokens(fetch_every=timedelta(0), fresh_for=timedelta(0))
    assert await tokens.caller(token()) is not None
    issuer.down = True
    assert await tokens.caller(token()) is not None
    async with served(gate=Keys((), tokens)) as api:
        answer = await api.call("GET", "/api/sessions", key=token(kid="k2"))
        assert (answer.status, answer.code) == (503, "unavailable")
        assert "Retry-After" in answer.headers
        issuer.down = False
        answer = await api.call("GET", "/api/sessions", key=token(kid="k2"))
        assert (answer.status, answer.code) == (401, "unauthenticated")


async def test_whoever_leaves_takes_no_keys_along() -> None:
    """Those who wait for the same keys get them, though the one who was first has gone."""
    issuer = Issuer(JWK)
    issuer.slow.clear()
    tokens = issuer.tokens()
    first, second = (asyncio.create_task(tokens.caller(token())) for _ in range(2))
    await until(lambda: issuer.asked)
    first.cancel()
    await asyncio.wait([first])
    issuer.slow.set()
    assert await second is not None
    assert issuer.asked == 1


async def test_tokens_and_keys_side_by_side() -> None:
    """A key is a key, whatever the issuer says; a token's holder is named apart from every key."""
    from tests.unit.session_api.tools import KEYS

    issuer = Issuer(JWK)
    async with served(gate=Keys(KEYS, issuer.tokens())) as api:
        assert (await api.call("GET", "/api/sessions")).status == 200
        assert issuer.asked == 0
        assert (await api.call("GET", "/api/sessions", key=token())).status == 200
        assert api.june.last.source == "june-api/oidc:user-1"
        assert (await api.call("POST", "/api/sessions", key=token(), json_={})).status == 403
        assert (await api.call("GET", "/api/sessions", key=token(aud="x"))).status == 401


@pytest.mark.parametrize("subject", ["", "ü", "x" * 300, "a\nb", "\ud800"])
def test_any_subject_makes_a_name_that_fits(subject: str) -> None:
    """A message's `source` is short, and has no control characters."""
    name = caller_name(subject)
    assert name.isascii()
    assert len(json.dumps(f"june-api/{name}")) < 255
    assert name != caller_name(subject + "x")

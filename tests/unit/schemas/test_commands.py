"""The rules for a command's data: what is accepted, and how what is not is named."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.commands import COMMANDS, Command, GuestTokenCreate, SessionCreate, SessionList, parse_command
from schemas.envelope import Envelope
from schemas.errors import MessageInvalid, TypeUnknown
from schemas.reports import REPORTS, Report, parse_report
from tests.support.servers import examples

CREATE = SessionCreate.TYPE


def parse(type_: str, data: dict[str, Any]) -> Command:
    return parse_command(Envelope(id="1", source="test", type=type_, data=data))


def create(**data: Any) -> SessionCreate:
    command = parse(CREATE, {"user_id": "ann"} | data)
    assert isinstance(command, SessionCreate)
    return command


def problems(type_: str, data: dict[str, Any]) -> dict[str, str]:
    with pytest.raises(MessageInvalid) as caught:
        parse(type_, data)
    return {problem.field: problem.problem for problem in caught.value.problems}


def nested(levels: int) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for _ in range(levels - 1):
        value = {"a": value}
    return value


def of_bytes(size: int) -> dict[str, str]:
    return {"a": "x" * (size - len('{"a":""}'))}


def test_defaults_are_those_of_the_contract() -> None:
    """A user is enough for a session; the room waits for as long as the token works."""
    command = create()
    assert (command.token_ttl_s, command.room_empty_timeout_s, command.departure_timeout_s) == (900, 900, 20)
    assert (command.stt.enabled, command.ai.enabled, command.agents, command.metadata) == (
        None,
        None,
        (),
        None,
    )
    assert create(token_ttl_s=60).room_empty_timeout_s == 60
    assert create(token_ttl_s=60, empty_timeout_s=5).room_empty_timeout_s == 5


def test_a_guest_may_do_everything_unless_it_is_said() -> None:
    """The three permissions of a guest are true by default, and each may be false."""
    command = parse(GuestTokenCreate.TYPE, {"session_id": "s", "guest_name": "Bob", "can_publish": False})
    assert isinstance(command, GuestTokenCreate)
    assert (command.can_publish, command.can_subscribe, command.can_publish_data) == (False, True, True)


def test_null_is_absent() -> None:
    """An explicit null for an optional field is the same as leaving it out, at every depth."""
    optional = dict.fromkeys(set(SessionCreate.model_fields) - {"user_id"})
    assert create(**optional) == create()
    assert create(stt={"enabled": None, "language": None}) == create()
    assert problems(CREATE, {"user_id": None}) == {"user_id": "is required"}


def test_an_unknown_field_is_named_with_the_fields_that_there_are() -> None:
    """A typo gets a clear error, nested and null ones too."""
    found = problems(CREATE, {"user_id": "ann", "usr": None, "stt": {"enable": True}})
    assert (
        found["stt.enable"]
        == "is not a field of june.session.create.v1; the fields here are enabled, language"
    )
    assert found["usr"].startswith("is not a field of june.session.create.v1; the fields here are user_id, ")


def test_problems_are_named_by_their_path() -> None:
    """A field inside an object or an array is named by a path with dots."""
    data = {"user_id": "ann", "stt": {"enabled": 1}, "agents": [{"agent_name": "a"}, {}, 5], "ai": []}
    assert set(problems(CREATE, data)) == {"stt.enabled", "agents.1.agent_name", "agents.2", "ai"}


_GOOD = [
    ("session_id", "A-z_0.9:"),
    ("session_id", "x" * 128),
    ("session_id", "..."),
    ("user_id", "é" * 128),
    ("room_name", "june room/ü*#"),
    ("display_name", ""),
    ("metadata", {}),
    ("metadata", of_bytes(65_536)),
    ("metadata", nested(128)),
    ("token_ttl_s", 60),
    ("token_ttl_s", 86_400),
    ("empty_timeout_s", 1),
    ("departure_timeout_s", 86_400),
    ("max_participants", 1),
    ("agents", [{"agent_name": "a"}] * 16),
    ("stt", {"language": "zh-Hant-TW"}),
]
_BAD = [
    ("session_id", ""),
    ("session_id", "."),
    ("session_id", ".."),
    ("session_id", "a/b"),
    ("session_id", "a\n"),
    ("session_id", "ä"),
    ("session_id", "x" * 129),
    ("session_id", 5),
    ("user_id", ""),
    ("user_id", "é" * 129),
    ("user_id", "a\tb"),
    ("user_id", "a\x85"),
    ("user_id", "a\0"),
    ("user_id", "\ud800"),
    ("user_id", ["ann"]),
    ("display_name", "x" * 257),
    ("metadata", "text"),
    ("metadata", []),
    ("metadata", of_bytes(65_537)),
    ("metadata", nested(129)),
    ("metadata", {"a": ["\0"]}),
    ("metadata", {"\0": 1}),
    ("metadata", {"a": {"b": float("inf")}}),
    ("token_ttl_s", 59),
    ("token_ttl_s", 86_401),
    ("token_ttl_s", "900"),
    ("token_ttl_s", 900.0),
    ("token_ttl_s", True),
    ("token_ttl_s", 10**400),
    ("empty_timeout_s", 0),
    ("departure_timeout_s", 86_401),
    ("max_participants", 0),
    ("max_participants", 2**31),
    ("agents", [{"agent_name": "a"}] * 17),
    ("agents", {"agent_name": "a"}),
    ("agents", "a"),
    ("stt", True),
]


@pytest.mark.parametrize(("field", "value"), _GOOD, ids=lambda value: repr(value)[:30])
def test_values_within_the_limits_are_accepted(field: str, value: Any) -> None:
    """The last value on the good side of each limit is accepted, unchanged."""
    assert json.loads(create(**{field: value}).model_dump_json(exclude_unset=True))[field] == value


@pytest.mark.parametrize(("field", "value"), _BAD, ids=lambda value: repr(value)[:30])
def test_values_beyond_the_limits_are_named(field: str, value: Any) -> None:
    """The first value on the bad side of each limit is refused, with its field and the rule; nothing is coerced."""
    found = problems(CREATE, {"user_id": "ann", field: value})
    assert list(found) == [field]
    assert found[field].startswith("must be ")


@pytest.mark.parametrize(
    ("given_", "kept"), [("raw", "raw"), ({"b": [1, "ü"]}, '{"b":[1,"ü"]}'), (None, None), ("", "")]
)
def test_an_agents_metadata_is_text_in_the_end(given_: Any, kept: str | None) -> None:
    """LiveKit hands an agent a string: an object becomes its compact JSON."""
    assert create(agents=[{"agent_name": "a", "metadata": given_}]).agents[0].metadata == kept


@pytest.mark.parametrize(
    "value", [5, [], "x" * 65_537, of_bytes(65_537), {"a": "\0"}], ids=lambda v: repr(v)[:20]
)
def test_an_agents_metadata_has_the_limits_of_metadata(value: Any) -> None:
    """What is neither text nor an object, or too large, is named."""
    found = problems(CREATE, {"user_id": "ann", "agents": [{"agent_name": "a", "metadata": value}]})
    assert list(found) == ["agents.0.metadata"]


@pytest.mark.parametrize(
    ("field", "value"),
    [("status", "gone"), ("status", 1), ("limit", 0), ("limit", 201), ("cursor", ""), ("limit", "5")],
)
def test_a_list_names_what_it_cannot_filter_by(field: str, value: Any) -> None:
    """A status, limit or cursor that there is not is refused."""
    assert list(problems(SessionList.TYPE, {field: value})) == [field]


def test_a_type_that_june_does_not_know_is_said() -> None:
    """An unknown type is told apart from wrong data."""
    with pytest.raises(TypeUnknown) as caught:
        parse("june.session.frobnicate.v1", {})
    assert caught.value.type == "june.session.frobnicate.v1"


def test_what_a_sender_wrote_is_fit_to_be_shown() -> None:
    """A hostile field name comes back short and without control characters, and few problems are listed."""
    found = problems(CREATE, {"user_id": "ann", "\0" + "x" * 5000: 1})
    assert all("\0" not in field and len(field) <= 101 for field in found)
    assert len(problems(CREATE, {"user_id": "ann"} | {f"f{n}": 1 for n in range(100)})) == 32


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(exclude_categories=[])),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=4,
)


@st.composite
def _data(draw: st.DrawFn, fields: list[str]) -> dict[str, Any]:
    names = st.sampled_from(fields) | st.text(max_size=3)
    nested_names = st.sampled_from(["enabled", "language", "speak", "agent_name", "metadata"])
    inner = st.dictionaries(nested_names, _JSON, max_size=3)
    return draw(st.dictionaries(names, _JSON | inner | st.lists(inner, max_size=3), max_size=6))


def _read(envelope: Envelope) -> Command | Report | MessageInvalid:
    try:
        return parse_command(envelope) if envelope.type in COMMANDS else parse_report(envelope)
    except MessageInvalid as error:
        return error


@settings(max_examples=examples(60))
@given(type_=st.sampled_from([*COMMANDS, *REPORTS]), data=st.data())
def test_no_data_breaks_the_reader(type_: str, data: st.DataObject) -> None:
    """Arbitrary JSON as data is a valid message or MessageInvalid that says what is wrong, nothing else."""
    model = COMMANDS.get(type_) or REPORTS[type_]
    drawn = data.draw(_data(list(model.model_fields)))
    read = _read(Envelope(id="1", source="test", type=type_, data=drawn))
    if isinstance(read, MessageInvalid):
        assert read.problems
        assert all(problem.problem for problem in read.problems)
    else:
        assert isinstance(read, model)

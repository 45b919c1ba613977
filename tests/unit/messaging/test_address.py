"""The broker's URL."""

from datetime import timedelta

import pytest

from messaging.wire.address import OPTIONS, Address
from runtime.settings import AmqpSettings, SettingsInvalid, load

WRONG_OPTIONS = tuple(
    f"amqp://me:hunter2@h/?{options}"
    for options in (
        "verify=verify_none", "heartbeat=5&x", "heartbeat=", "heartbeat=0", "heartbeat=1.5", "heartbeat=65536",
        "heartbeat=\u0665", f"heartbeat={'9' * 5000}", "connection_timeout=-1", "connection_timeout=3600001",
    )
)  # fmt: skip


@pytest.mark.parametrize(
    ("url", "shown", "user", "password"),
    [
        ("amqp://guest:guest@127.0.0.1:5672/", "127.0.0.1:5672/", "guest", "guest"),
        ("amqp://u%40x:p%2Fw%3A@rabbit/a%2Fb", "rabbit:5672/a/b", "u@x", "p/w:"),
        ("amqps://[::1]:5671/v?cafile=/ca.pem", "::1:5671/v", "guest", "guest"),
        ("amqps://rabbit", "rabbit:5671/", "guest", "guest"),
    ],
)
def test_parts_of_the_url(url: str, shown: str, user: str, password: str) -> None:
    """Host, port, virtual host and credentials are percent-decoded, with AMQP's defaults."""
    address = Address.parse(url)
    assert (str(address), address.user, address.password) == (shown, user, password)


def test_the_password_is_never_shown() -> None:
    """Neither the text nor the repr of an address holds the password."""
    address = Address.parse("amqp://me:hunter2@rabbit/")
    assert "hunter2" not in f"{address} {address!r}"


@pytest.mark.parametrize(
    "url",
    [
        "http://h:1/", "h:5672", "amqp://me:hunter2@h:port/", "amqp://h:99999/", "",
        "amqp://me:hunter2@a..b/", f"amqp://me:hunter2@{'h' * 64}/", f"amqp://me:hunter2@h/{'v' * 128}",
        "amqp://me:hunter2@[::1/", "amqp://me:hunter2\u2100@h/", "amqp://me:1?hunter2=2@h/", *WRONG_OPTIONS,
    ],
)  # fmt: skip
def test_a_wrong_url_is_refused_without_its_password(url: str) -> None:
    """What is wrong is said, and the URL is not repeated."""
    with pytest.raises(ValueError, match=r"broker's URL") as raised:
        Address.parse(url)
    assert "hunter2" not in str(raised.value)


def test_options() -> None:
    """Those of RabbitMQ's URIs that June heeds, with their units, and the name that Python's clients have for one."""
    address = Address.parse("amqps://h?heartbeat=5&connection_timeout=1500&cacertfile=%2Fca.pem")
    assert (address.heartbeat, address.connection_timeout) == (timedelta(seconds=5), timedelta(seconds=1.5))
    assert (address.cafile, Address.parse("amqps://h?cafile=/ca.pem").cafile) == ("/ca.pem", "/ca.pem")
    plain = Address.parse("amqp://h")
    assert (plain.heartbeat, plain.connection_timeout) == (None, None)


def test_an_unknown_option_is_named() -> None:
    """With those that there are."""
    with pytest.raises(ValueError, match=r"'hartbeat'.*heartbeat, connection_timeout, cafile"):
        Address.parse("amqp://h/?hartbeat=5")


@pytest.mark.parametrize("url", WRONG_OPTIONS)
def test_the_settings_refuse_the_same_options(url: str) -> None:
    """A part says so before it starts."""
    with pytest.raises(SettingsInvalid, match="JUNE_AMQP_URL"):
        load(AmqpSettings, {"JUNE_AMQP_URL": url})


def test_the_settings_take_each_option() -> None:
    """None is refused that the connection would take."""
    numbers = {"heartbeat": "65535", "connection_timeout": "3600000"}
    query = "&".join(f"{name}={numbers.get(name, '/a.pem')}" for name in OPTIONS)
    url = load(AmqpSettings, {"JUNE_AMQP_URL": f"amqps://h/?{query}"}).amqp_url.get_secret_value()
    assert Address.parse(url).heartbeat == timedelta(seconds=65_535)

"""The broker's URL."""

import pytest

from messaging.wire.address import Address


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
        "amqp://me:hunter2@[::1/", "amqp://me:hunter2\u2100@h/",
    ],
)  # fmt: skip
def test_a_wrong_url_is_refused_without_its_password(url: str) -> None:
    """What is wrong is said, and the URL is not repeated."""
    with pytest.raises(ValueError, match=r"broker's URL") as raised:
        Address.parse(url)
    assert "hunter2" not in str(raised.value)

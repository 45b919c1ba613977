"""Secrets in text: what is masked, what is left, and how long it takes."""

import time

import pytest

from runtime.redaction import redacted

JWT = "eyJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJkZXZrZXkifQ.c2lnbmF0dXJl"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (f"Bearer {JWT}", "Bearer ***"),
        (f"x{JWT} and {JWT}, twice", "x*** and ***, twice"),
        (JWT.rsplit(".", 1)[0], "***"),
        ("eyJ is no token, nor is eyJhbGciOiJIUzI1NiJ9.", "eyJ is no token, nor is eyJhbGciOiJIUzI1NiJ9."),
        ("amqp://me:pw@h/v and amqp://you:pw@h", "amqp://me:***@h/v and amqp://you:***@h"),
        ('{"a":"ws://h:7880","b":"x@y"}', '{"a":"ws://h:7880","b":"x@y"}'),
        ("http://h:80/path is no secret, nor is a@b:c", "http://h:80/path is no secret, nor is a@b:c"),
        ("postgresql:///db?password=it's&user=x", "postgresql:///db?password=***&user=x"),
    ],
)
def test_secrets_are_masked_and_nothing_else(text: str, shown: str) -> None:
    """Tokens, and passwords in URLs; addresses and words stay as they are."""
    assert redacted(text) == shown


@pytest.mark.parametrize("piece", ["://", "://:", "://a:b", "@://", "eyJaaaa", "eyJaaaa.", "password="])
def test_hostile_text_takes_no_longer_than_other_text(piece: str) -> None:
    """A hundred thousand characters that nearly match, over and over, are a matter of milliseconds."""
    text = "://@" + piece * (100_000 // len(piece))
    begun = time.process_time()
    redacted(text)
    assert time.process_time() - begun < 0.5

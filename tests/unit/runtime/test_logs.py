"""Log lines: what a reader gets to see, and what nobody does."""

import errno
import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from runtime import logs

JWT = "eyJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJkZXZrZXkifQ.c2lnbmF0dXJl"


@pytest.fixture
def out() -> Iterator[io.StringIO]:
    """A stream that takes the lines; logging is as it was afterwards."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    stream = io.StringIO()
    yield stream
    structlog.reset_defaults()
    root.handlers[:], root.level = handlers, level


def lines(out: io.StringIO) -> list[dict[str, Any]]:
    """The lines so far, which must be JSON."""
    return [json.loads(line) for line in out.getvalue().splitlines()]


def test_a_line_is_one_json_object_with_its_fields(out: io.StringIO) -> None:
    """Away from a terminal, an event is JSON with time, level and part."""
    logs.configure("worker", stream=out)
    structlog.get_logger().info("webhook.handled", status=200, room="ü")
    (line,) = lines(out)
    assert line.pop("timestamp").endswith("Z")
    assert line == {"event": "webhook.handled", "level": "info", "part": "worker", "status": 200, "room": "ü"}


@pytest.mark.parametrize("log_format", ["json", "logfmt", "console"])
def test_secrets_are_masked_in_every_format(log_format: str, out: io.StringIO) -> None:
    """Fields named like secrets, tokens in text, passwords in URLs, inside of errors and tracebacks too."""
    logs.configure("worker", log_format=log_format, stream=out)
    log = structlog.get_logger()
    log.info("a", access_token="hush-1", nested={"api_secret": "hush-2"}, text=f"got {JWT}")
    log.info("b", error=ValueError("amqp://me:hush-3@host/"), url="postgresql://h/db?password=hush-4&x=1")
    try:
        int(f"bad token {JWT}")
    except ValueError:
        log.exception("c")
    logging.getLogger("library").warning("connecting to %s", "amqp://me:hush-5@host/")
    log.info("d", text="broker amqp://me@corp:it's-hush-6@host/ is away")
    shown = out.getvalue()
    assert "***" in shown
    assert "ValueError" in shown
    assert "hush" not in shown
    assert JWT not in shown
    assert "c2lnbmF0dXJl" not in shown


@pytest.mark.parametrize("log_format", ["json", "logfmt", "console"])
def test_a_value_cannot_forge_a_line(log_format: str, out: io.StringIO) -> None:
    """A newline or a terminal's escape in a value does not reach the stream as such."""
    logs.configure("worker", log_format=log_format, stream=out)
    structlog.get_logger().info("a", room="x\nlevel=error \x1b[31m\u2028")
    assert len(out.getvalue().splitlines()) == 1
    assert "\x1b" not in out.getvalue()


def test_libraries_log_the_same_way_and_only_what_is_wrong(out: io.StringIO) -> None:
    """A library's warning is a line of ours with its logger's name; its info is not there."""
    logs.configure("worker", stream=out)
    logging.getLogger("library").info("chatter")
    logging.getLogger("library").warning("trouble with %s", "x")
    (line,) = lines(out)
    assert (line["event"], line["logger"], line["level"]) == ("trouble with x", "library", "warning")


def test_the_level_is_a_threshold(out: io.StringIO) -> None:
    """Below the level there is nothing."""
    logs.configure("worker", level="warning", stream=out)
    structlog.get_logger().info("a")
    structlog.get_logger().warning("b")
    assert [line["event"] for line in lines(out)] == ["b"]


class FullDisk(io.StringIO):
    """Takes nothing more."""

    def write(self, _text: str) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("log_format", ["json", "logfmt", "console"])
def test_a_line_that_cannot_be_written_stops_no_work(log_format: str, out: io.StringIO) -> None:
    """Neither a full disk nor a stream that is gone makes a log's event raise."""
    for stream in (FullDisk(), out):
        logs.configure("worker", log_format=log_format, stream=stream)
        log = structlog.get_logger()
        stream.close()
        log.error("a", error=OSError("b"))

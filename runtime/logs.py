"""Logs: one event a line, with fields, on standard error.

Promises: readable lines on a terminal, JSON elsewhere; what libraries log goes the same way; tokens,
passwords and fields that are named like secrets are masked, in tracebacks too; a value with a newline
forges no line; a line that cannot be written (a full disk, a reader that is gone) stops no work.
Asks of callers: an event is a constant name (`webhook.handled`), all else a field; bodies are never logged.
"""

import json
import logging
import re
import sys
import time
from collections.abc import Callable, Mapping
from functools import lru_cache
from threading import Lock
from typing import Any, TextIO

import structlog
from pydantic_core import to_json
from structlog.typing import EventDict, Processor, WrappedLogger

from runtime.redaction import MASK, redacted

_SECRET_NAMES = ("token", "secret", "password", "authorization", "credentials", "jwt")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
# Made once: an encoder for each line costs more than the line.
_JSON = json.JSONEncoder(ensure_ascii=False, default=str)
_LEVELS = logging.getLevelNamesMapping()


def configure(
    part: str, *, log_format: str = "auto", level: str = "info", stream: TextIO | None = None
) -> None:
    """Set up logging for the process, replacing what was set up before.

    `log_format` is auto, console, logfmt or json; `level` debug, info, warning or error.
    `part` is put on each line.
    """
    out = stream or sys.stderr
    threshold = _LEVELS[level.upper()]
    complete = _completed(part)
    renderer = _renderer(log_format, out)
    lines = _Lines(out)
    structlog.configure(
        processors=[complete, renderer],
        wrapper_class=_direct(structlog.make_filtering_bound_logger(threshold), complete, renderer),
        logger_factory=lambda *_: lines,
        cache_logger_on_first_use=True,
    )
    _route_libraries(out, threshold, [complete], renderer)


class _Lines:
    """Writes lines to a stream, or loses them: what they tell of matters more than they do."""

    def __init__(self, out: TextIO) -> None:
        self._write = out.write
        self._flush = out.flush
        self._lock = Lock()

    def msg(self, line: str) -> None:
        """Write a line, whole; any thread may."""
        try:
            with self._lock:
                self._write(line + "\n")
                self._flush()
        except (OSError, ValueError):
            pass

    debug = info = warning = error = critical = msg


_Complete = Callable[[WrappedLogger, str, EventDict], EventDict]


def _direct(
    base: type[structlog.typing.FilteringBoundLogger], complete: _Complete, renderer: Processor
) -> type[structlog.typing.FilteringBoundLogger]:
    """The same logger, without structlog's general way through any processors: that is a fifth of what a line costs."""

    class Direct(base):  # type: ignore[valid-type,misc]
        def _proxy_to_logger(self, method_name: str, event: str | None = None, **fields: Any) -> None:
            entry = complete(self._logger, method_name, {**self._context, **fields, "event": event})
            self._logger.msg(renderer(self._logger, method_name, entry))

    return Direct


def mask_secrets(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """The same event without secrets and control characters; values that are not plain data become text."""
    for name, value in event.items():
        event[name] = redacted(str(value)) if name == "exception" else _clean(name, value)
    return event


def _clean(name: str, value: Any) -> Any:
    if value is not None and _is_secret(name):
        return MASK
    if isinstance(value, str):
        return _one_line(value)
    match value:
        case None | bool() | int() | float():
            return value
        case Mapping():
            return {str(key): _clean(str(key), item) for key, item in value.items()}
        case list() | tuple() | set() | frozenset():
            return [_clean(name, item) for item in value]
        case _:
            return _one_line(repr(value) if isinstance(value, BaseException) else str(value))


@lru_cache(maxsize=256)
def _is_secret(name: str) -> bool:
    return name.lower().endswith(_SECRET_NAMES)


def _one_line(text: str) -> str:
    text = redacted(text)
    return text if text.isprintable() else _CONTROL.sub(_escaped, text)


def _escaped(match: re.Match[str]) -> str:
    return match.group().encode("unicode_escape").decode("ascii")


def _to_json(event: EventDict, **_options: Any) -> str:
    try:
        return to_json(event, inf_nan_mode="constants").decode()
    except ValueError:  # half a surrogate pair
        return _JSON.encode(event)


def _completed(part: str) -> _Complete:
    """Level, time and part on each line, its error as text, and no secrets: one processor, since each line costs it."""
    moment = _Moment()

    def complete(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
        if "exc_info" in event:
            event = structlog.processors.format_exc_info(logger, method, event)
        event = mask_secrets(logger, method, structlog.processors.add_log_level(logger, method, event))
        event["timestamp"] = moment.now()
        event.setdefault("part", part)
        return event

    return complete


class _Moment:
    """The time as RFC 3339 text in UTC, with microseconds; the seconds are written once for all lines of theirs."""

    def __init__(self) -> None:
        self._written: tuple[int, str] = (-1, "")

    def now(self) -> str:
        second, ns = divmod(time.time_ns(), 1_000_000_000)
        written, text = self._written
        if written != second:
            text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
            self._written = (second, text)
        return f"{text}.{ns // 1000:06d}Z"


def _renderer(log_format: str, out: TextIO) -> Processor:
    if log_format == "auto":
        log_format = "console" if out.isatty() else "json"
    match log_format:
        case "console":
            return structlog.dev.ConsoleRenderer(
                colors=out.isatty(), exception_formatter=structlog.dev.plain_traceback
            )
        case "logfmt":
            return structlog.processors.LogfmtRenderer(
                key_order=["timestamp", "level", "part", "event"], bool_as_flag=False
            )
        case _:
            return structlog.processors.JSONRenderer(serializer=_to_json)


def _route_libraries(out: TextIO, threshold: int, shared: list[Processor], renderer: Processor) -> None:
    handler = logging.StreamHandler(out)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_logger_name],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *shared, renderer],
        )
    )
    # Libraries are worth hearing from when something is wrong; their chatter is not ours.
    logging.basicConfig(handlers=[handler], level=max(threshold, logging.WARNING), force=True)

"""Times on the wire."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.times import format_time, parse_time


def test_a_time_is_written_in_utc_with_milliseconds() -> None:
    """Any zone becomes Z, and microseconds are cut off, not rounded."""
    swiss = timezone(timedelta(hours=1))
    assert format_time(datetime(2026, 11, 22, 20, 0, 0, 999_999, swiss)) == "2026-11-22T19:00:00.999Z"
    assert format_time(datetime(2026, 11, 22, 19, tzinfo=UTC)) == "2026-11-22T19:00:00.000Z"


def test_a_time_without_a_zone_is_not_written() -> None:
    """A naive datetime names no moment."""
    with pytest.raises(ValueError, match="zone"):
        format_time(datetime(2026, 11, 22))  # noqa: DTZ001 # the point of it


@pytest.mark.parametrize(
    "text",
    [
        "2026-11-22T19:00:00Z",
        "2026-11-22t19:00:00z",
        "2026-11-22 19:00:00Z",
        "2026-11-22T19:00:00.000000000Z",
        "2026-11-22T19:00:00.0+00:00",
        "2026-11-22T14:30:00-04:30",
    ],
)
def test_what_rfc_3339_allows_is_read(text: str) -> None:
    """Offsets, small letters and nanoseconds, as other languages write them, are the same moment."""
    assert parse_time(text) == datetime(2026, 11, 22, 19, tzinfo=UTC)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "yesterday",
        "2026-11-22",
        "2026-11-22T19:00:00",
        "20261122T190000Z",
        "2026-W47-7T19:00:00Z",
        "2026-02-30T19:00:00Z",
        "2026-11-22T25:00:00Z",
        "2026-11-22T19:00:00.Z",
        "2026-11-22T19:00:00+99:00",
        "0001-01-01T00:00:00+01:00",
        "9999-12-31T23:59:59-01:00",
        "0000-01-01T00:00:00Z",
        "٢٠٢٦-11-22T19:00:00Z",
        "2026-11-22T19:00:00Z\n",
    ],
)
def test_other_texts_are_no_times(text: str) -> None:
    """Anything else is refused with the rule, and never with another error."""
    with pytest.raises(ValueError, match="RFC 3339"):
        parse_time(text)


@given(st.datetimes(timezones=st.just(UTC)))
def test_milliseconds_survive(value: datetime) -> None:
    """Reading what was written gives the same millisecond."""
    cut = value.replace(microsecond=value.microsecond // 1000 * 1000)
    assert parse_time(format_time(value)) == cut

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.clock import SECOND
from gateway.payload import moment
from gateway.payload.moment import TimeFormat

NOW = 1_700_000_000 * SECOND


@pytest.mark.parametrize(
    ("found", "format", "expected"),
    [
        (1_700_000_000, "unix_s", NOW),
        (1_700_000_000_123, "unix_ms", NOW + 123_000_000),
        (1_700_000_000_123_456, "unix_us", NOW + 123_456_000),
        (1_700_000_000_123_456_789, "unix_ns", NOW + 123_456_789),
        (1_700_000_000.123, "unix_s", NOW + 123_000_000),  # no double is exactly .123
        (1_700_000_000_123.5, "unix_ms", NOW + 123_500_000),
        ("2023-11-14T22:13:20Z", "iso8601", NOW),
        ("2023-11-14T22:13:20.123456789Z", "iso8601", NOW + 123_456_789),
        ("2023-11-14T23:13:20,5+01:00", "iso8601", NOW + 500_000_000),
        ("2023-11-14 17:13:20-0500", "iso8601", NOW),
    ],
)
def test_a_time_is_exactly_what_is_written(found: object, format: TimeFormat, expected: int) -> None:
    assert moment.read(found, format, NOW) == expected


@pytest.mark.parametrize(
    ("found", "format"),
    [
        (None, "unix_s"),
        (True, "unix_s"),
        ("1700000000", "unix_s"),
        (float("inf"), "unix_s"),
        (1_700_000_000, "iso8601"),
        ("2023-11-14T22:13:20", "iso8601"),  # where?
        ("2023-02-31T22:13:20Z", "iso8601"),
        ("2023-11-14T22:13:60Z", "iso8601"),
        ("yesterday", "iso8601"),
        ({"a": "b" * 1000}, "iso8601"),
    ],
)
def test_what_is_no_time(found: object, format: TimeFormat) -> None:
    with pytest.raises(ValueError, match=f"is not {format}") as caught:
        moment.read(found, format, NOW)
    assert len(str(caught.value)) < 100


@pytest.mark.parametrize(
    "found", [0, -1, 946_684_799, 1_700_000_000 + 86_401, 1_700_000_000_000, 10**300, -(10**300), 1e20]
)
def test_what_cannot_be_a_time(found: float) -> None:
    with pytest.raises(ValueError, match="before 2000 or more than 24 h ahead"):
        moment.read(found, "unix_s", NOW)


@given(st.datetimes(datetime(2000, 1, 1), datetime(2023, 11, 14)), st.integers(-840, 840))
def test_iso8601_in_any_zone(local: datetime, minutes: int) -> None:
    written = local.replace(tzinfo=UTC).astimezone(timezone(timedelta(minutes=minutes)))
    expected = (local - datetime(1970, 1, 1)) // timedelta(microseconds=1) * 1_000
    assert moment.read(written.isoformat(), "iso8601", NOW) == expected

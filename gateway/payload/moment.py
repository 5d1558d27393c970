"""The time that a message says it was measured at, in nanoseconds UTC. Pure.

What is written is taken as it is written: 1700000000.123 seconds are 1700000000123000000 ns, although no binary
fraction is exactly .123.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Final, Literal, TypeAlias

from gateway.clock import SECOND

TimeFormat: TypeAlias = Literal["unix_s", "unix_ms", "unix_us", "unix_ns", "iso8601"]

EARLIEST: Final = 946_684_800 * SECOND
"""2000-01-01: a device that says something earlier has never had its clock set."""
LEAD: Final = 24 * 3600 * SECOND
"""How far ahead of ours a device's clock may be."""

_SCALES: Final = {"unix_s": SECOND, "unix_ms": 1_000_000, "unix_us": 1_000, "unix_ns": 1}
_ISO8601 = re.compile(r"(\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d)(?:[.,](\d{1,9})\d*)?(Z|[+-]\d\d(?::?\d\d)?)", re.ASCII)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def read(found: object, format: TimeFormat, now: int) -> int:
    """Raises ValueError, in words, for what is no time or cannot be one: before 2000, or a day ahead of `now`."""
    moment = _iso8601(found) if format == "iso8601" else _unix(found, _SCALES[format])
    if moment is None:
        raise ValueError(f"the time {_shown(found)} is not {format}")
    if not EARLIEST <= moment <= now + LEAD:
        raise ValueError(f"the time {_shown(found)} is before 2000 or more than 24 h ahead of the gateway's clock")
    return moment


def _unix(found: object, scale: int) -> int | None:
    if type(found) is int:
        return found * scale
    if type(found) is float and abs(found) < 1e21:
        return round(Decimal(repr(found)) * scale)
    return None


def _iso8601(found: object) -> int | None:
    """An ISO 8601 date and time with its offset; a local time without one could be anywhere."""
    match = _ISO8601.fullmatch(found) if isinstance(found, str) else None
    if match is None:
        return None
    try:
        whole = datetime.fromisoformat(match[1] + match[3])
    except ValueError:  # the 31st of February
        return None
    fraction = int((match[2] or "").ljust(9, "0"))
    return (whole - _EPOCH) // timedelta(seconds=1) * SECOND + fraction


def _shown(found: object) -> str:
    text = repr(found) if isinstance(found, str | int | float) else type(found).__name__
    return text if len(text) <= 40 else text[:40] + "…"

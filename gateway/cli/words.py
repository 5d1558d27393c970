"""Figures, values and times as people read them. What comes from a device is made harmless for a terminal."""

from __future__ import annotations

from datetime import UTC, datetime

from gateway.clock import SECOND, SystemClock
from gateway.door import TagReading
from gateway.log import printable

NOTHING = "–"

_SHOWN = 60
_BARS = "▁▂▃▄▅▆▇█"
_SIZES = ("B", "kB", "MB", "GB")


def span(seconds: float | None) -> str:
    """`0.3 s`, `12 s`, `5 min`, `2 h 5 min`, `4 d 3 h`."""
    if seconds is None:
        return NOTHING
    if seconds < 9.95:
        return f"{max(seconds, 0.0):.1f} s"
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes = int(seconds // 60)
    if minutes < 60:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 24:
        return f"{hours} h {minutes} min"
    days, hours = divmod(hours, 24)
    return f"{days} d {hours} h"


def ago(time: int | None) -> str:
    """How long ago a time (nanoseconds UTC) was; 0 and None are never."""
    return span((SystemClock().now() - time) / SECOND) if time else NOTHING


def date(time: int) -> str:
    """`2026-11-23 08:15:00`, UTC, of a time in nanoseconds; 0 is nothing."""
    return f"{datetime.fromtimestamp(time // SECOND, UTC):%Y-%m-%d %H:%M:%S}" if time else NOTHING


def value(given: bool | int | float | str | None) -> str:
    """As it would be written in the configuration; floats with seven digits."""
    match given:
        case None:
            return NOTHING
        case bool():
            return "true" if given else "false"
        case float():
            return f"{given:.7g}"
        case int():
            return str(given)
    text = printable(given)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def count(number: float) -> str:
    return f"{number:,.0f}" if number >= 100 or number == int(number) else f"{number:.1f}"


def counted(number: float, plural: str) -> str:
    """`1 segment`, `2,000 segments`."""
    return f"{count(number)} {plural[:-1] if number == 1 else plural}"


def size(number: float) -> str:
    """Bytes, in steps of a thousand."""
    unit, *larger = _SIZES
    for each in larger:
        if number < 1000:
            break
        number, unit = number / 1000, each
    return f"{number:,.0f} {unit}" if number >= 100 or unit == "B" else f"{number:.1f} {unit}"


def sparkline(values: list[float]) -> str:
    """One bar a value, from the lowest to the highest of them; a line at half height where they are all alike."""
    if not values:
        return ""
    low, high = min(values), max(values)
    if low == high:
        return _BARS[3] * len(values)
    steps = len(_BARS) - 1
    return "".join(_BARS[round((each - low) / (high - low) * steps)] for each in values)


def line(reading: TagReading) -> str:
    """`press-1/oil.pressure 120.5 bar good, 0.3 s old`."""
    if not reading.gateway_time:
        return f"{reading.tag} has no value yet"
    shown = f"{reading.tag} {value(reading.value)} {printable(reading.unit)}".rstrip()
    return f"{shown} {verdict(reading)}, {ago(reading.gateway_time)} old"


def verdict(reading: TagReading) -> str:
    """Bad goes before stale, and stale before uncertain."""
    return "stale" if reading.stale and reading.quality != "bad" else reading.quality

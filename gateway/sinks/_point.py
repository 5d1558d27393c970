"""Events as InfluxDB line protocol: a measurement a kind of event, one point an event.

Written again, an event falls on itself: its time and its tags are its identity. The tags name what an event is about,
and nothing can change twice in one nanosecond; ids that never come back are fields, because every new value of a tag
costs the server a series for ever.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple, TypeAlias

from gateway.model import (
    AlarmChanged,
    AlarmState,
    AnyEvent,
    CommandDone,
    DataLost,
    DeviceChanged,
    DeviceState,
    Outcome,
    Value,
)
from gateway.sinks._line import Dialect, field_key, head, quote

Fields: TypeAlias = Mapping[str, Value | None]


class Point(NamedTuple):
    measurement: str
    tags: dict[str, str]
    fields: Fields


def render_events(events: Iterable[AnyEvent], site: str, cell: str, dialect: Dialect) -> bytes:
    """One line an event. Each holds at least one number, so that it shows even where strings are not taken."""
    return b"".join(_line(event.time, _point(event), {"site": site, "cell": cell}, dialect) for event in events)


def _line(time: int, point: Point, place: dict[str, str], dialect: Dialect) -> bytes:
    fields = [
        b"%b=%b" % (field_key(name), _literal(value))
        for name, value in point.fields.items()
        if value is not None and value != "" and (dialect.strings or not isinstance(value, str))
    ]
    return b"%b%b %d\n" % (head(point.measurement, place | point.tags), b",".join(fields), time)


def _literal(value: Value) -> bytes:
    if isinstance(value, bool):
        return b"true" if value else b"false"
    if isinstance(value, str):
        return quote(value)
    return (f"{value}i" if isinstance(value, int) else repr(value)).encode()


def _point(event: AnyEvent) -> Point:
    return _POINTS[type(event)](event)


def _alarm(event: AlarmChanged) -> Point:
    fields: Fields = {
        "active": event.state in (AlarmState.UNACKNOWLEDGED, AlarmState.ACKNOWLEDGED),
        "state": event.state.value,
        "previous": event.previous.value,
        "tag": event.tag,
        **_value(event.value),
        "message": event.message,
        "actor": event.actor,
        "comment": event.comment,
        "move": event.move,
        "latched": event.latched,
        "suppressed": event.suppressed,
        "command": event.command,
    }
    return Point("alarms", {"alarm": event.alarm, "priority": event.priority}, fields)


def _device(event: DeviceChanged) -> Point:
    fields: Fields = {
        "online": event.state is DeviceState.ONLINE,
        "state": event.state.value,
        "reason": event.reason,
    }
    return Point("devices", {"device": event.device, "link": event.link}, fields)


def _command(event: CommandDone) -> Point:
    fields: Fields = {
        "done": event.outcome is Outcome.DONE,
        "outcome": event.outcome.value,
        "command": event.command,
        **_value(event.value),
        "reason": event.reason,
    }
    return Point("commands", {"tag": event.tag, "origin": event.origin}, fields)


def _loss(event: DataLost) -> Point:
    return Point("losses", {}, {"points": event.points, "reason": event.reason})


def _value(value: Value | None) -> Fields:
    """One field has one type for ever: numbers and booleans go into `value`, and `value_text` holds whatever a
    float64 would not give back."""
    if value is None or isinstance(value, str):
        return {"value_text": value}
    number = _float(value)
    return {
        "value": number if math.isfinite(number) else None,
        "value_text": None if number == value else str(value),
    }


def _float(value: float) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.inf


_POINTS: dict[type, Callable[..., Point]] = {
    AlarmChanged: _alarm,
    DeviceChanged: _device,
    CommandDone: _command,
    DataLost: _loss,
}

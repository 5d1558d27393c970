from __future__ import annotations

from typing import get_args

import msgspec
import pytest

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
from gateway.sinks._line import Dialect
from gateway.sinks._point import _POINTS, render_events
from tests.gateway.sinks.lineprotocol import Line, parse
from tests.gateway.sinks.samples import START

RAISED = AlarmChanged(
    START, "bearing-hot", "pump-1/temperature", AlarmState.UNACKNOWLEDGED, AlarmState.NORMAL, "high", 81.5, "hot"
)
STOPPED = CommandDone(START, "c-7", "press-1/run", False, "rule:bearing-hot", Outcome.DONE)
GONE = DeviceChanged(START, "press-1", "press-bus", DeviceState.OFFLINE, "no answer")
LOST = DataLost(START, 1200, "quota")


def read(*events: AnyEvent, strings: bool = True) -> list[Line]:
    return parse(render_events(events, "plant-1", "line-a", Dialect(strings=strings)).decode())


def test_an_alarm() -> None:
    assert read(RAISED) == [
        Line(
            "alarms",
            {"alarm": "bearing-hot", "cell": "line-a", "priority": "high", "site": "plant-1"},
            {
                "active": ("boolean", "true"),
                "state": ("string", "unacknowledged"),
                "previous": ("string", "normal"),
                "tag": ("string", "pump-1/temperature"),
                "value": ("float", "81.5"),
                "message": ("string", "hot"),
                "latched": ("boolean", "false"),
                "suppressed": ("boolean", "false"),
            },
            START,
        )
    ]


@pytest.mark.parametrize(
    ("state", "active"),
    [
        (AlarmState.NORMAL, "false"),
        (AlarmState.UNACKNOWLEDGED, "true"),
        (AlarmState.ACKNOWLEDGED, "true"),
        (AlarmState.RETURNED, "false"),
    ],
)
def test_an_alarm_is_active_while_its_condition_holds(state: AlarmState, active: str) -> None:
    event = AlarmChanged(START, "bearing-hot", "pump-1/temperature", state, AlarmState.NORMAL, "high")
    assert read(event)[0].fields["active"] == ("boolean", active)


def test_a_device_a_command_and_a_loss() -> None:
    device, command, loss = read(GONE, STOPPED, LOST)
    assert (device.measurement, device.tags["device"], device.tags["link"]) == ("devices", "press-1", "press-bus")
    assert device.fields == {
        "online": ("boolean", "false"),
        "state": ("string", "offline"),
        "reason": ("string", "no answer"),
    }
    assert (command.measurement, command.tags["tag"], command.tags["origin"]) == (
        "commands",
        "press-1/run",
        "rule:bearing-hot",
    )
    assert command.fields == {
        "done": ("boolean", "true"),
        "outcome": ("string", "done"),
        "command": ("string", "c-7"),
        "value": ("float", "0.0"),
    }
    assert (loss.measurement, loss.fields) == ("losses", {"points": ("integer", "1200"), "reason": ("string", "quota")})


@pytest.mark.parametrize(
    ("value", "number", "text"),
    [
        (True, "1.0", None),
        (2**53, "9007199254740992.0", None),
        (2**53 + 1, "9007199254740992.0", "9007199254740993"),
        (10**400, None, "1" + "0" * 400),
        (float("nan"), None, "nan"),
        (float("inf"), None, None),
        ("run", None, "run"),
        ("", None, None),
        (None, None, None),
    ],
)
def test_one_field_has_one_type(value: Value | None, number: str | None, text: str | None) -> None:
    event = AlarmChanged(START, "a", "d/t", AlarmState.NORMAL, AlarmState.RETURNED, "low", value)
    fields = read(event)[0].fields
    assert fields.get("value") == (None if number is None else ("float", number))
    assert fields.get("value_text") == (None if text is None else ("string", text))


def test_every_event_shows_even_where_strings_are_not_taken() -> None:
    for line in read(RAISED, GONE, STOPPED, LOST, strings=False):
        assert line.fields
        assert all(kind != "string" for kind, _ in line.fields.values())


def test_every_kind_of_event_has_its_point() -> None:
    assert set(_POINTS) == set(get_args(AnyEvent))


def test_an_alarm_that_a_person_shelved() -> None:
    given = {"actor": "ann", "comment": 'the "old" sensor', "move": "shelve", "suppressed": True, "shelved_until": 7}
    (line,) = read(msgspec.structs.replace(RAISED, command="boot/hot#1", latched=True, **given))
    assert (
        line.fields.items()
        >= {
            "actor": ("string", "ann"),
            "comment": ("string", 'the "old" sensor'),
            "move": ("string", "shelve"),
            "command": ("string", "boot/hot#1"),
            "latched": ("boolean", "true"),
            "suppressed": ("boolean", "true"),
        }.items()
    )

"""The tables, driven without any scan."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from enum import StrEnum
from typing import Any, TypeAlias

import pytest

from gateway.model import AlarmChanged, AlarmState
from rules.alarm import (
    LATCH,
    SERVICE,
    SHELF,
    TRANSITIONS,
    Alarm,
    Deed,
    IllegalMove,
    Input,
    Label,
    LatchState,
    ServiceState,
    ShelfState,
    diagram,
    move,
)

NORMAL, UNACKNOWLEDGED, ACKNOWLEDGED, RETURNED = AlarmState
RAISE, CLEAR, ACKNOWLEDGE, RESET, SHELVE, UNSHELVE, EXPIRE, REMOVE, PLACE = Input
FREE, HELD, LATCHED = LatchState
UNSHELVED, SHELVED = ShelfState
IN_SERVICE, OUT_OF_SERVICE = ServiceState

AnyTable: TypeAlias = Mapping[Any, Mapping[Input, Any]]

LEGAL: list[tuple[AnyTable, type[StrEnum], dict[tuple[StrEnum, Input], StrEnum]]] = [
    (
        TRANSITIONS,
        AlarmState,
        {
            (NORMAL, RAISE): UNACKNOWLEDGED,
            (UNACKNOWLEDGED, CLEAR): RETURNED,
            (UNACKNOWLEDGED, ACKNOWLEDGE): ACKNOWLEDGED,
            (ACKNOWLEDGED, CLEAR): NORMAL,
            (RETURNED, RAISE): UNACKNOWLEDGED,
            (RETURNED, ACKNOWLEDGE): NORMAL,
        },
    ),
    (
        LATCH,
        LatchState,
        {(FREE, RAISE): HELD, (HELD, CLEAR): LATCHED, (LATCHED, RAISE): HELD, (LATCHED, RESET): FREE},
    ),
    (
        SHELF,
        ShelfState,
        {
            (UNSHELVED, SHELVE): SHELVED,
            (SHELVED, SHELVE): SHELVED,
            (SHELVED, UNSHELVE): UNSHELVED,
            (SHELVED, EXPIRE): UNSHELVED,
        },
    ),
    (SERVICE, ServiceState, {(IN_SERVICE, REMOVE): OUT_OF_SERVICE, (OUT_OF_SERVICE, PLACE): IN_SERVICE}),
]
MOVES = [(table, state, given) for table, states, _ in LEGAL for state, given in itertools.product(states, Input)]
FOLLOWING = {(id(table), state, given): to for table, _, legal in LEGAL for (state, given), to in legal.items()}


@pytest.fixture
def alarm() -> Alarm:
    return Alarm(Label("hot", "pump/temperature", "high", "it is hot"))


@pytest.fixture
def latching() -> Alarm:
    return Alarm(Label("hot", "pump/temperature", "high", latches=True))


@pytest.mark.parametrize(("table", "state", "given"), MOVES)
def test_what_is_in_a_table_moves_and_nothing_else(table: AnyTable, state: StrEnum, given: Input) -> None:
    following = FOLLOWING.get((id(table), state, given))
    if following is not None:
        assert move(table, state, given) is following
        return
    with pytest.raises(IllegalMove, match=f"{state} cannot be moved by {given}"):
        move(table, state, given)


@pytest.mark.parametrize(("table", "states"), [(table, states) for table, states, _ in LEGAL])
def test_every_state_is_reached_and_left(table: AnyTable, states: type[StrEnum]) -> None:
    assert set(table) == set(states)
    assert {state for row in table.values() for state in row.values()} == set(states)


def test_an_illegal_move_changes_nothing(alarm: Alarm) -> None:
    alarm.turn(True, 81.5, now=1)
    before = alarm.standing
    with pytest.raises(IllegalMove):
        alarm.turn(True, 99.0, now=2)
    for given in (RESET, UNSHELVE, EXPIRE, PLACE):
        with pytest.raises(IllegalMove):
            alarm.do(Deed(given, "bob"), now=2)
    assert alarm.standing == before
    alarm.turn(False, 70.0, now=3)
    alarm.do(Deed(ACKNOWLEDGE, "ann"), now=4)
    before = alarm.standing
    with pytest.raises(IllegalMove):
        alarm.do(Deed(ACKNOWLEDGE, "bob"), now=5)
    assert alarm.standing == before


def test_each_move_tells_what_happened(alarm: Alarm) -> None:
    raised = alarm.turn(True, 81.5, now=1, command="boot/hot#1")
    assert raised == AlarmChanged(
        time=1,
        alarm="hot",
        tag="pump/temperature",
        state=UNACKNOWLEDGED,
        previous=NORMAL,
        priority="high",
        value=81.5,
        message="it is hot",
        move="raise",
        command="boot/hot#1",
    )
    seen = alarm.do(Deed(ACKNOWLEDGE, "ann", "on my way"), now=2)
    assert (seen.time, seen.previous, seen.state, seen.value) == (2, UNACKNOWLEDGED, ACKNOWLEDGED, 81.5)
    assert (seen.actor, seen.comment, seen.move, seen.command) == ("ann", "on my way", "acknowledge", "")
    cleared = alarm.turn(False, 70.0, now=3)
    assert (cleared.previous, cleared.state, cleared.value, cleared.actor) == (ACKNOWLEDGED, NORMAL, 70.0, "")


def test_status_says_how_it_stands(alarm: Alarm) -> None:
    fresh = alarm.status()
    assert (fresh.state, fresh.active, fresh.value, fresh.since) == (NORMAL, False, None, None)
    alarm.turn(True, 81.5, now=7)
    raised = alarm.status()
    assert (raised.state, raised.active, raised.value, raised.since) == (UNACKNOWLEDGED, True, 81.5, 7)
    alarm.turn(False, 70.0, now=9)
    returned = alarm.status()
    assert (returned.state, returned.active, returned.value, returned.since) == (RETURNED, False, 70.0, 9)


def test_it_says_who_saw_it_until_it_is_raised_again(alarm: Alarm) -> None:
    alarm.turn(True, 81.5, now=1)
    alarm.do(Deed(ACKNOWLEDGE, "ann", "on my way"), now=2)
    alarm.turn(False, 70.0, now=3)
    assert (alarm.status().actor, alarm.status().comment) == ("ann", "on my way")
    alarm.turn(True, 82.0, now=4)
    assert (alarm.status().actor, alarm.status().comment) == ("", "")


def test_what_latches_stays_until_it_is_reset(latching: Alarm) -> None:
    assert latching.turn(True, 81.5, now=1).latched
    assert latching.do(Deed(ACKNOWLEDGE, "ann"), now=2).latched
    with pytest.raises(IllegalMove):
        latching.do(Deed(RESET, "ann"), now=3)  # its condition holds
    assert latching.turn(False, 70.0, now=4).latched
    reset = latching.do(Deed(RESET, "bob", "bearing changed"), now=5)
    assert (reset.state, reset.previous, reset.latched) == (NORMAL, NORMAL, False)
    assert (reset.actor, reset.comment, reset.move) == ("bob", "bearing changed", "reset")
    assert latching.status().since == 4, "a reset is no change of its state"
    with pytest.raises(IllegalMove):
        latching.do(Deed(RESET, "bob"), now=6)


def test_what_nobody_has_seen_is_not_reset(latching: Alarm) -> None:
    latching.turn(True, 81.5, now=1)
    latching.turn(False, 70.0, now=2)
    with pytest.raises(IllegalMove, match="returned cannot be moved by reset"):
        latching.do(Deed(RESET, "ann"), now=3)
    latching.do(Deed(ACKNOWLEDGE, "ann"), now=4)
    assert not latching.do(Deed(RESET, "ann"), now=5).latched


def test_a_latched_alarm_is_raised_again(latching: Alarm) -> None:
    latching.turn(True, 81.5, now=1)
    latching.turn(False, 70.0, now=2)
    assert latching.turn(True, 90.0, now=3).latched
    with pytest.raises(IllegalMove):
        latching.do(Deed(RESET, "ann"), now=4)


def test_a_shelved_alarm_goes_on_unseen(alarm: Alarm) -> None:
    shelved = alarm.do(Deed(SHELVE, "ann", "pump is being serviced", until=100), now=1)
    assert (shelved.state, shelved.previous, shelved.suppressed, shelved.shelved_until) == (NORMAL, NORMAL, True, 100)
    raised = alarm.turn(True, 81.5, now=2)
    assert (raised.state, raised.suppressed, raised.shelved_until) == (UNACKNOWLEDGED, True, 100)
    assert alarm.status().comment == "pump is being serviced"
    again = alarm.do(Deed(SHELVE, "bob", "still is", until=200), now=3)
    assert (again.shelved_until, alarm.status().actor) == (200, "bob")
    back = alarm.do(Deed(EXPIRE, ""), now=200)
    assert (back.state, back.suppressed, back.shelved_until, back.actor) == (UNACKNOWLEDGED, False, 0, "")
    assert alarm.status().since == 2


def test_service_and_shelf_are_apart(alarm: Alarm) -> None:
    alarm.do(Deed(REMOVE, "ann", "sensor is broken"), now=1)
    alarm.do(Deed(SHELVE, "bob", "noise", until=100), now=2)
    assert alarm.do(Deed(PLACE, "ann"), now=3).suppressed, "it is still shelved"
    assert not alarm.do(Deed(UNSHELVE, "bob"), now=4).suppressed
    assert not alarm.status().out_of_service


@pytest.mark.parametrize(("table", "legal"), [(table, legal) for table, _, legal in LEGAL])
def test_a_diagram_shows_every_move(table: AnyTable, legal: dict[tuple[StrEnum, Input], StrEnum]) -> None:
    lines = [line.strip() for line in diagram(table).splitlines()]
    assert lines[:2] == ["stateDiagram-v2", f"[*] --> {next(iter(table))}"]
    assert set(lines[2:]) == {f"{state} --> {after}: {given}" for (state, given), after in legal.items()}

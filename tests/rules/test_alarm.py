"""The table, driven without any scan."""

from __future__ import annotations

import itertools

import pytest

from gateway.model import AlarmChanged, AlarmState
from rules.alarm import TRANSITIONS, Alarm, IllegalMove, Input, diagram, move

NORMAL, UNACKNOWLEDGED, ACKNOWLEDGED, RETURNED = AlarmState
RAISE, CLEAR, ACKNOWLEDGE = Input

LEGAL = {
    (NORMAL, RAISE): UNACKNOWLEDGED,
    (UNACKNOWLEDGED, CLEAR): RETURNED,
    (UNACKNOWLEDGED, ACKNOWLEDGE): ACKNOWLEDGED,
    (ACKNOWLEDGED, CLEAR): NORMAL,
    (RETURNED, RAISE): UNACKNOWLEDGED,
    (RETURNED, ACKNOWLEDGE): NORMAL,
}


@pytest.fixture
def alarm() -> Alarm:
    return Alarm("hot", "pump/temperature", "high", "it is hot")


@pytest.mark.parametrize(("state", "given"), LEGAL)
def test_moves(state: AlarmState, given: Input) -> None:
    assert move(state, given) is LEGAL[state, given]


@pytest.mark.parametrize(("state", "given"), sorted(set(itertools.product(AlarmState, Input)) - set(LEGAL)))
def test_every_other_move_is_illegal(state: AlarmState, given: Input) -> None:
    with pytest.raises(IllegalMove, match=f"{state} cannot be moved by {given}"):
        move(state, given)


def test_every_state_is_reached_and_left() -> None:
    assert set(TRANSITIONS) == set(AlarmState)
    assert {state for row in TRANSITIONS.values() for state in row.values()} == set(AlarmState)


def test_an_illegal_move_changes_nothing(alarm: Alarm) -> None:
    alarm.turn(True, 81.5, now=1)
    before = alarm.status()
    with pytest.raises(IllegalMove):
        alarm.turn(True, 99.0, now=2)
    assert alarm.status() == before
    alarm.turn(False, 70.0, now=3)
    alarm.acknowledge("ann", now=4)
    before = alarm.status()
    with pytest.raises(IllegalMove):
        alarm.acknowledge("bob", now=5)
    assert alarm.status() == before


def test_each_move_tells_what_happened(alarm: Alarm) -> None:
    raised = alarm.turn(True, 81.5, now=1)
    assert raised == AlarmChanged(
        time=1,
        alarm="hot",
        tag="pump/temperature",
        state=UNACKNOWLEDGED,
        previous=NORMAL,
        priority="high",
        value=81.5,
        message="it is hot",
    )
    seen = alarm.acknowledge("ann", now=2)
    assert (seen.time, seen.previous, seen.state, seen.value, seen.actor) == (
        2,
        UNACKNOWLEDGED,
        ACKNOWLEDGED,
        81.5,
        "ann",
    )
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


def test_the_diagram_shows_every_move() -> None:
    lines = [line.strip() for line in diagram().splitlines()]
    assert lines[:2] == ["stateDiagram-v2", "[*] --> normal"]
    assert set(lines[2:]) == {f"{state} --> {after}: {given}" for (state, given), after in LEGAL.items()}

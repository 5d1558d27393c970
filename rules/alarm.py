"""The life of an alarm.

Everything that decides how an alarm moves from one state to the next stands in `TRANSITIONS`. What is not in the table
is not a move: it raises, and nothing has changed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

from gateway.model import AlarmChanged, AlarmState, Value


class Input(StrEnum):
    """What can happen to an alarm: its condition begins or ceases to hold, or somebody acknowledges it."""

    RAISE = "raise"
    CLEAR = "clear"
    ACKNOWLEDGE = "acknowledge"


# ISA-18.2, 5.2: what has been raised is to be seen by somebody, also when it has gone meanwhile.
TRANSITIONS: Mapping[AlarmState, Mapping[Input, AlarmState]] = MappingProxyType(
    {
        AlarmState.NORMAL: {
            Input.RAISE: AlarmState.UNACKNOWLEDGED,
        },
        AlarmState.UNACKNOWLEDGED: {
            Input.CLEAR: AlarmState.RETURNED,
            Input.ACKNOWLEDGE: AlarmState.ACKNOWLEDGED,
        },
        AlarmState.ACKNOWLEDGED: {
            Input.CLEAR: AlarmState.NORMAL,
        },
        AlarmState.RETURNED: {
            Input.RAISE: AlarmState.UNACKNOWLEDGED,
            Input.ACKNOWLEDGE: AlarmState.NORMAL,
        },
    }
)

ACTIVE = frozenset({AlarmState.UNACKNOWLEDGED, AlarmState.ACKNOWLEDGED})


class IllegalMove(LookupError):
    """The table has no such move. The state is what it was."""


def move(state: AlarmState, given: Input) -> AlarmState:
    """The state that follows. Raises IllegalMove."""
    try:
        return TRANSITIONS[state][given]
    except KeyError:
        raise IllegalMove(f"an alarm that is {state} cannot be moved by {given}") from None


@dataclass(frozen=True, slots=True)
class AlarmStatus:
    """How an alarm stands. It is `active` while its condition holds, acknowledged or not. `since` is when it came into
    this state (nanoseconds UTC), and `value` what its tag had when it was last raised or cleared; both are None until
    it is raised for the first time, and `value` also where another tag raised it and this one never had a value."""

    alarm: str
    tag: str
    state: AlarmState
    active: bool
    priority: str
    message: str
    value: Value | None
    since: int | None
    fault: str = ""
    """Why its rule is in quarantine, judged no more; mostly empty."""


class Alarm:
    """One alarm: where it stands, and the event that each move makes."""

    def __init__(self, name: str, tag: str, priority: str, message: str) -> None:
        self.name = name
        self.tag = tag
        self.priority = priority
        self.message = message
        self.state = AlarmState.NORMAL
        self._value: Value | None = None
        self._since: int | None = None

    def turn(self, holds: bool, value: Value | None, now: int) -> AlarmChanged:
        """Raise or clear it. Raises IllegalMove."""
        state = move(self.state, Input.RAISE if holds else Input.CLEAR)
        self._value = value
        return self._enter(state, now)

    def acknowledge(self, actor: str, now: int) -> AlarmChanged:
        """Somebody has seen it. Raises IllegalMove."""
        return self._enter(move(self.state, Input.ACKNOWLEDGE), now, actor)

    @property
    def active(self) -> bool:
        return self.state in ACTIVE

    def status(self, fault: str = "") -> AlarmStatus:
        return AlarmStatus(
            alarm=self.name,
            tag=self.tag,
            state=self.state,
            active=self.active,
            priority=self.priority,
            message=self.message,
            value=self._value,
            since=self._since,
            fault=fault,
        )

    def _enter(self, state: AlarmState, now: int, actor: str = "") -> AlarmChanged:
        previous, self.state, self._since = self.state, state, now
        return AlarmChanged(
            time=now,
            alarm=self.name,
            tag=self.tag,
            state=state,
            previous=previous,
            priority=self.priority,
            value=self._value,
            message=self.message,
            actor=actor,
        )


def diagram() -> str:
    """The table as a Mermaid state diagram, for the documentation."""
    moves = [
        f"    {state} --> {following}: {given}"
        for state, row in TRANSITIONS.items()
        for given, following in row.items()
    ]
    return "\n".join(["stateDiagram-v2", f"    [*] --> {AlarmState.NORMAL}", *moves]) + "\n"

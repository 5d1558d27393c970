"""The life of an alarm.

Everything that decides how an alarm moves stands in four tables, each a small machine of its own: what its condition
and the operator make of it (`TRANSITIONS`), the latch (`LATCH`), the shelf (`SHELF`) and service (`SERVICE`). What is
not in a table is not a move: it raises, and nothing has changed.

An alarm that is suppressed, on the shelf or out of service, goes on being judged, recorded and isolated by; only nobody
is told.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import NamedTuple, TypeAlias, TypeVar

from msgspec.structs import replace

from gateway.model import AlarmChanged, AlarmState, Value
from rules.standing import ACTIVE, Standing, after


class Input(StrEnum):
    """What can happen to an alarm: its condition begins or ceases to hold; the time on the shelf is over; or what a
    person does."""

    RAISE = "raise"
    CLEAR = "clear"
    ACKNOWLEDGE = "acknowledge"
    RESET = "reset"
    SHELVE = "shelve"
    UNSHELVE = "unshelve"
    EXPIRE = "expire"
    REMOVE = "remove"
    PLACE = "place"


class LatchState(StrEnum):
    """OPC UA Part 9, 5.8: what latches stays so until it is reset, and that only once the condition is over."""

    FREE = "free"
    HELD = "held"
    LATCHED = "latched"


class ShelfState(StrEnum):
    """ISA-18.2, 3.1: shelved by a person, for a time."""

    UNSHELVED = "unshelved"
    SHELVED = "shelved"


class ServiceState(StrEnum):
    """ISA-18.2, 3.1: out of service for maintenance, until somebody puts it back."""

    IN_SERVICE = "in_service"
    OUT_OF_SERVICE = "out_of_service"


State = TypeVar("State", bound=StrEnum)
Table: TypeAlias = Mapping[State, Mapping[Input, State]]

# ISA-18.2, 5.2: what has been raised is to be seen by somebody, also when it has gone meanwhile.
TRANSITIONS: Table[AlarmState] = MappingProxyType(
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

LATCH: Table[LatchState] = MappingProxyType(
    {
        LatchState.FREE: {
            Input.RAISE: LatchState.HELD,
        },
        LatchState.HELD: {
            Input.CLEAR: LatchState.LATCHED,
        },
        LatchState.LATCHED: {
            Input.RAISE: LatchState.HELD,
            Input.RESET: LatchState.FREE,
        },
    }
)

# Shelved again, it is shelved for the new time.
SHELF: Table[ShelfState] = MappingProxyType(
    {
        ShelfState.UNSHELVED: {
            Input.SHELVE: ShelfState.SHELVED,
        },
        ShelfState.SHELVED: {
            Input.SHELVE: ShelfState.SHELVED,
            Input.UNSHELVE: ShelfState.UNSHELVED,
            Input.EXPIRE: ShelfState.UNSHELVED,
        },
    }
)

SERVICE: Table[ServiceState] = MappingProxyType(
    {
        ServiceState.IN_SERVICE: {
            Input.REMOVE: ServiceState.OUT_OF_SERVICE,
        },
        ServiceState.OUT_OF_SERVICE: {
            Input.PLACE: ServiceState.IN_SERVICE,
        },
    }
)


class IllegalMove(LookupError):
    """The table has no such move. The state is what it was."""


def move(table: Table[State], state: State, given: Input) -> State:
    """The state that follows. Raises IllegalMove."""
    try:
        return table[state][given]
    except KeyError:
        raise IllegalMove(f"an alarm that is {state} cannot be moved by {given}") from None


class Deed(NamedTuple):
    """What a person does to an alarm, and why. `until` (nanoseconds UTC) goes with SHELVE."""

    given: Input
    actor: str
    comment: str = ""
    until: int = 0


@dataclass(frozen=True, slots=True)
class AlarmStatus:
    """How an alarm stands. It is `active` while its condition holds, acknowledged or not. `since` is when it came into
    this state (nanoseconds UTC), and `value` what its tag had when it was last raised or cleared; both are None until
    it is raised for the first time, and `value` also where another tag raised it and this one never had a value.
    `actor` is who did something to it last since then, and `comment` why. `fault` is why its rule is in quarantine,
    judged no more; mostly empty."""

    alarm: str
    tag: str
    state: AlarmState
    active: bool
    priority: str
    message: str
    value: Value | None
    since: int | None
    latched: bool
    suppressed: bool
    shelved_until: int
    out_of_service: bool
    actor: str
    comment: str
    fault: str = ""


@dataclass(frozen=True, slots=True)
class Label:
    """What does not change of an alarm. `revision` tells one wording of its rule from another."""

    name: str
    tag: str
    priority: str
    message: str = ""
    latches: bool = False
    revision: str = ""


class Alarm:
    """One alarm: where it stands, and the event that each move makes. It stands where its events have led it, and
    nowhere else: so whoever has the events knows how it stands."""

    def __init__(self, label: Label, standing: Standing | None = None) -> None:
        self.label = label
        self.standing = standing or Standing(revision=label.revision)

    @property
    def name(self) -> str:
        return self.label.name

    @property
    def state(self) -> AlarmState:
        return self.standing.state

    def turn(self, holds: bool, value: Value | None, now: int, command: str = "") -> AlarmChanged:
        """Raise or clear it; `command` is what is written at that. Raises IllegalMove."""
        given = Input.RAISE if holds else Input.CLEAR
        state = move(TRANSITIONS, self.state, given)
        latched = self.label.latches and move(LATCH, self._latch(), given) is not LatchState.FREE
        return self._follow(given, replace(self.standing, state=state, value=value, latched=latched, owed=command), now)

    def do(self, deed: Deed, now: int) -> AlarmChanged:
        """What a person does to it, or EXPIRE, which nobody does. Raises IllegalMove."""
        standing = self._effect(deed)
        return self._follow(deed.given, standing, now, deed)

    def _effect(self, deed: Deed) -> Standing:
        given, standing = deed.given, self.standing
        if given is Input.ACKNOWLEDGE:
            return replace(standing, state=move(TRANSITIONS, standing.state, given))
        if given is Input.RESET:
            return replace(standing, latched=self._reset() is not LatchState.FREE)
        if given in (Input.REMOVE, Input.PLACE):
            out = move(SERVICE, self._service(), given) is ServiceState.OUT_OF_SERVICE
            return replace(standing, out_of_service=out)
        shelved = move(SHELF, self._shelf(), given) is ShelfState.SHELVED
        return replace(standing, shelved_until=deed.until if shelved else 0)

    def status(self, fault: str = "") -> AlarmStatus:
        label, standing = self.label, self.standing
        return AlarmStatus(
            alarm=label.name,
            tag=label.tag,
            state=standing.state,
            active=standing.state in ACTIVE,
            priority=label.priority,
            message=label.message,
            value=standing.value,
            since=standing.since,
            latched=standing.latched,
            suppressed=standing.suppressed,
            shelved_until=standing.shelved_until,
            out_of_service=standing.out_of_service,
            actor=standing.actor,
            comment=standing.comment,
            fault=fault,
        )

    def _latch(self) -> LatchState:
        if not self.standing.latched:
            return LatchState.FREE
        return LatchState.HELD if self.standing.active else LatchState.LATCHED

    def _reset(self) -> LatchState:
        """OPC UA Part 9, 5.8: only what is acknowledged, too, is reset."""
        free = move(LATCH, self._latch(), Input.RESET)
        if self.state is not AlarmState.NORMAL:
            raise IllegalMove(f"an alarm that is {self.state} cannot be moved by {Input.RESET}")
        return free

    def _shelf(self) -> ShelfState:
        return ShelfState.SHELVED if self.standing.shelved_until else ShelfState.UNSHELVED

    def _service(self) -> ServiceState:
        return ServiceState.OUT_OF_SERVICE if self.standing.out_of_service else ServiceState.IN_SERVICE

    def _follow(self, given: Input, to: Standing, now: int, deed: Deed | None = None) -> AlarmChanged:
        event = AlarmChanged(
            time=now,
            alarm=self.name,
            tag=self.label.tag,
            state=to.state,
            previous=self.state,
            priority=self.label.priority,
            value=to.value,
            message=self.label.message,
            actor=deed.actor if deed else "",
            comment=deed.comment if deed else "",
            move=given.value,
            latched=to.latched,
            suppressed=to.suppressed,
            shelved_until=to.shelved_until,
            out_of_service=to.out_of_service,
            command=to.owed if given is Input.RAISE else "",
            revision=self.label.revision,
        )
        self.standing = after(self.standing, event)
        return event


def diagram(table: Table[State]) -> str:
    """A table as a Mermaid state diagram, for the documentation. It begins in the table's first state."""
    rows = [(state, given, following) for state, row in table.items() for given, following in row.items()]
    moves = [f"    {state} --> {following}: {given}" for state, given, following in rows]
    return "\n".join(["stateDiagram-v2", f"    [*] --> {next(iter(table))}", *moves]) + "\n"

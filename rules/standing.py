"""Where an alarm stands, as its events tell it. Pure.

An event says how its alarm stands from then on, so that the last ones are enough: after a crash, what is restored is
what the events on disk have led to, and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from gateway.model import AlarmChanged, AlarmState, AnyEvent, CommandDone, Value

ACTIVE = frozenset({AlarmState.UNACKNOWLEDGED, AlarmState.ACKNOWLEDGED})

_ORIGIN = "rule:"


class Standing(msgspec.Struct, frozen=True, omit_defaults=True):
    """`since` is when it came into `state` (nanoseconds UTC). `owed` is the id of the command that was given when it
    was raised, as long as nobody has told how that ended. `actor` and `comment` are those of what a person did last
    since it was raised."""

    revision: str = ""
    state: AlarmState = AlarmState.NORMAL
    since: int | None = None
    value: Value | None = None
    latched: bool = False
    shelved_until: int = 0
    out_of_service: bool = False
    actor: str = ""
    comment: str = ""
    owed: str = ""

    @property
    def active(self) -> bool:
        return self.state in ACTIVE

    @property
    def suppressed(self) -> bool:
        return self.out_of_service or self.shelved_until > 0

    def suppression(self, revision: str) -> Standing:
        """What stays of it when its rule is another one, of that revision: what a person took out of the way."""
        if not self.suppressed:
            return Standing(revision)
        return Standing(
            revision,
            shelved_until=self.shelved_until,
            out_of_service=self.out_of_service,
            actor=self.actor,
            comment=self.comment,
        )


def after(standing: Standing, event: AlarmChanged) -> Standing:
    """Where an alarm stands after its next event."""
    moved = event.state is not event.previous
    turned = moved and not event.actor
    by_hand: AlarmChanged | Standing = event if event.actor else standing
    begins = turned and event.state in ACTIVE and not event.suppressed
    return Standing(
        revision=event.revision,
        state=event.state,
        since=event.time if moved else standing.since,
        value=event.value,
        latched=event.latched,
        shelved_until=event.shelved_until,
        out_of_service=event.out_of_service,
        actor="" if begins else by_hand.actor,
        comment="" if begins else by_hand.comment,
        owed=event.command if turned else standing.owed,
    )


class Standings:
    """Where all alarms stand by the events that are on disk. `pack` and `unpack` are for what keeps it there."""

    def __init__(self) -> None:
        self._standings: dict[str, Standing] = {}

    def follow(self, events: Iterable[AnyEvent]) -> None:
        """The next events on disk."""
        for event in events:
            if isinstance(event, AlarmChanged):
                self._standings[event.alarm] = after(self._standings.get(event.alarm, Standing()), event)
            elif isinstance(event, CommandDone) and event.origin.startswith(_ORIGIN):
                self._settle(event.origin.removeprefix(_ORIGIN), event.command)

    def _settle(self, alarm: str, command: str) -> None:
        standing = self._standings.get(alarm)
        if standing is not None and standing.owed == command:
            self._standings[alarm] = msgspec.structs.replace(standing, owed="")

    def all(self) -> Mapping[str, Standing]:
        return self._standings

    def keep(self, alarms: Iterable[str]) -> None:
        """Forget all others: their rules are gone."""
        known = set(alarms)
        self._standings = {name: standing for name, standing in self._standings.items() if name in known}

    def pack(self) -> bytes:
        return msgspec.json.encode(self._standings)

    def unpack(self, content: bytes) -> None:
        """What `pack` gave. Raises ValueError for anything else."""
        self._standings = msgspec.json.decode(content, type=dict[str, Standing])

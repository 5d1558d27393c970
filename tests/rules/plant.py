"""What the tests of this room are about: groups, scans and rules in few words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from gateway.clock import ManualClock
from gateway.model import AlarmChanged, AlarmState, Scan, StatusCode, Tag, TagGroup, Value, ValueType
from rules.alarm import Deed, Input
from rules.conditions import limit
from rules.engine import Answer, Engine, Moment
from rules.settings import Rule, RuleSettings

SECOND = 1_000_000_000


def group(device: str = "pump", *, stale_after: int = 3600 * SECOND, **types: str) -> TagGroup:
    """A group of tags, `name=type`."""
    tags = [Tag(f"{device}/{name}", ValueType(type_), writable=True) for name, type_ in types.items()]
    return TagGroup(device, "fast", TagGroup.sort(tags), SECOND, stale_after)


def scan(group: TagGroup, status: Mapping[str, int] | None = None, **given: Value) -> Scan:
    """A scan that holds only what is `given`, good unless `status` says otherwise; what is missing is rubbish."""
    values = tuple(np.full_like(plane, np.nan) if plane.dtype.kind == "f" else plane for plane in group.zeros())
    present = np.zeros(len(group.columns), np.bool_)
    codes = np.full(len(group.columns), StatusCode.BAD, np.uint32)
    for name, value in given.items():
        column = group.index[f"{group.device}/{name}"]
        plane = next(i for i, span in enumerate(group.spans) if span.start <= column < span.stop)
        values[plane][column - group.spans[plane].start] = value
        present[column] = True
        codes[column] = (status or {}).get(name, StatusCode.GOOD)
    return Scan(group, 0, 0, values, codes if status else None, None if present.all() else present)


def rule(name: str, condition: Mapping[str, object], **settings: object) -> Rule:
    """A rule with a limit, from what somebody would write."""
    return Rule(name, RuleSettings.model_validate(settings), "limit", limit.Settings.model_validate(condition))


PUMP = group(hot="float64", flow="uint16", run="bool")


class Bench:
    """An engine and a clock: what happens when values come, or when time goes by."""

    def __init__(self, *rules: Rule, groups: Sequence[TagGroup] = (PUMP,)) -> None:
        self.clock = ManualClock()
        self.engine = Engine(rules, groups, prefix="boot-1")
        self.groups = {group.device: group for group in groups}

    def judge(self, status: dict[str, int] | None = None, **values: Value) -> list[Answer]:
        return self.scan(scan(self.groups["pump"], status, **values))

    def scan(self, row: Scan) -> list[Answer]:
        return list(self.engine.judge(row, self.clock.now(), self.clock.monotonic()))

    def tick(self, usable: bool = True) -> list[Answer]:
        return list(self.engine.tick(self.clock.now(), self.clock.monotonic(), lambda tag: usable))

    def wait(self, seconds: float) -> None:
        self.clock.advance(round(seconds * SECOND))

    def do(self, alarm: str, given: Input, actor: str = "ann", comment: str = "", seconds: float = 0) -> AlarmChanged:
        """What a person does to an alarm; `seconds` from now is until when it is shelved."""
        now = self.clock.now()
        deed = Deed(given, actor, comment, now + round(seconds * SECOND) if seconds else 0)
        return self.engine.do(alarm, deed, Moment(now, self.clock.monotonic()))

    def acknowledge(self, alarm: str) -> AlarmChanged:
        return self.do(alarm, Input.ACKNOWLEDGE)

    def state(self, alarm: str) -> AlarmState:
        return next(status.state for status in self.engine.alarms() if status.alarm == alarm)


def states(answers: Sequence[Answer]) -> list[tuple[str, AlarmState]]:
    return [(answer.alarm, answer.state) for answer in answers if isinstance(answer, AlarmChanged)]

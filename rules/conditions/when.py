"""An expression over tags of any device: it holds while `when` is true.

    when: press-1/oil.pressure < 2.5 bar and press-1/running
    until: press-1/oil.pressure > 3 bar or not press-1/running

It begins to hold when `when` is true, and ceases when that is false and `until`, where there is one, is true. While it
is unknown which, because a value is missing, stale or not good, everything stays as it is.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar, Self, TypeAlias

from pydantic import Field, PlainSerializer, PlainValidator, WithJsonSchema
from pydantic_core import PydanticCustomError, PydanticKnownError

from gateway.model import Scan, StatusCode, Tag, TagGroup, Value
from rules import condition
from rules.condition import Flaw, Look, Spot
from rules.expression import Evaluate, Expression, ExpressionError, Kind, Sort, build, parse, settle
from rules.expression.tree import MOST_CHARACTERS

_UNCERTAIN = int(StatusCode.UNCERTAIN)


def _parsed(value: object) -> Expression:
    if isinstance(value, Expression):
        return value
    if not isinstance(value, str):
        raise PydanticKnownError("string_type")
    try:
        return parse(value)
    except ExpressionError as error:
        context = {"problem": error.message, "hint": error.hint, "at": error.at}
        raise PydanticCustomError("expression", "{problem}", context) from None


Written: TypeAlias = Annotated[
    Expression,
    PlainValidator(_parsed),
    PlainSerializer(lambda expression: expression.text, return_type=str),
    WithJsonSchema({"type": "string", "minLength": 1, "maxLength": MOST_CHARACTERS}),
]
"""An expression, parsed. It is of the type `expression` among pydantic's errors."""


class Settings(condition.Settings):
    flat: ClassVar[bool] = True
    wide: ClassVar[bool] = True

    when: Written = Field(
        description="an expression: the condition holds while it is true, such as press-1/oil.pressure < 2.5 bar and "
        "press-1/running"
    )
    until: Written | None = Field(
        default=None, description="an expression: the condition ceases only when this is true, and when is false"
    )

    def tags(self) -> tuple[str, ...]:
        return tuple({tag: None for _, expression in self.expressions() for tag in expression.mentions()})

    def problem(self, tags: Mapping[str, Tag]) -> str | None:
        missing = next((tag for tag in self.tags() if tag not in tags), None)
        if missing is not None:
            return f"there is no tag {missing}"
        return next((flaw.message for flaw in self.flaws(tags)), None)

    def flaws(self, tags: Mapping[str, Tag]) -> Iterator[Flaw]:
        for key, expression in self.expressions():
            try:
                _, kind = settle(expression.tree, tags)
            except ExpressionError as error:
                yield Flaw(error.message, error.hint, Spot(key, error.at))
            else:
                yield from _pointless(key, expression, kind)

    def spot(self, tag: str) -> Spot | None:
        for key, expression in self.expressions():
            at = expression.mentions().get(tag)
            if at is not None:
                return Spot(key, at)
        return None

    def expressions(self) -> Iterator[tuple[str, Expression]]:
        """By their keys."""
        yield "when", self.when
        if self.until is not None:
            yield "until", self.until


def _pointless(key: str, expression: Expression, kind: Kind) -> Iterator[Flaw]:
    if kind.sort is not Sort.TRUTH:
        message = f"an alarm needs what is true or false; this is {kind.sort}"
        yield Flaw(message, "compare it with something", Spot(key, 0))
    elif not expression.mentions():
        yield Flaw("this reads no tag: it is always the same", "name one, such as press-1/oil.pressure", Spot(key, 0))


@dataclass(frozen=True, slots=True)
class _Source:
    """Where in the scans of a group the value of a slot is."""

    slot: int
    column: int
    plane: int
    offset: int


@dataclass(slots=True)
class _Judgement:
    """One rule: its expressions, whether its condition holds, and what its first tag last had."""

    first: int
    when: Evaluate
    until: Evaluate | None
    holds: bool = False
    value: Value | None = None

    def judge(self, row: Sequence[Value | None]) -> bool | None:
        """Whether it holds by these values; None where that is unknown."""
        when = self.when(row)
        if when is None or when:
            return None if when is None else True
        if not self.holds or self.until is None:
            return False
        until = self.until(row)
        return None if until is None else not until


class Condition(condition.WideCondition):
    """All expressions of a cell over one row of values: a slot for each tag that any of them reads."""

    def __init__(self, groups: Sequence[TagGroup], entries: Sequence[tuple[int, Settings]]) -> None:
        tags = {tag.id: tag for group in groups for tag in group.columns}
        read = dict.fromkeys(tag for _, settings in entries for tag in settings.tags())
        self._slots = {tag: slot for slot, tag in enumerate(read)}
        self._row: list[Value | None] = [None] * len(read)
        self._fresh_until: list[float] = [math.inf] * len(read)  # endless where there is nothing that could go stale
        self._next_lapse = math.inf  # or earlier, when a value came again meanwhile
        self._sources = {group: _sources(group, self._slots) for group in groups}
        self._rules = {key: self._judgement(settings, tags) for key, settings in entries}
        homes = {tag: group for group in groups for tag in group.index}
        self._readers: dict[TagGroup, list[int]] = {group: [] for group in groups}
        for key, settings in entries:
            for group in dict.fromkeys(homes[tag] for tag in settings.tags()):
                self._readers[group].append(key)

    def _judgement(self, settings: Settings, tags: Mapping[str, Tag]) -> _Judgement:
        made = {key: build(settle(each.tree, tags)[0], self._slots) for key, each in settings.expressions()}
        return _Judgement(self._slots[settings.tags()[0]], made["when"], made.get("until"))

    def recall(self, look: Look) -> None:
        for tag, slot in self._slots.items():
            reading = look(tag)
            if reading.usable:
                self._put(slot, reading.value, reading.fresh_until)
        for rule in self._rules.values():
            self._note(rule)

    def update(self, scan: Scan, monotonic: int) -> Sequence[int]:
        fresh_until = monotonic + scan.group.stale_after
        for source in self._sources[scan.group]:
            if scan.columns is None or scan.columns[source.column]:
                self._put(source.slot, _value(scan, source), fresh_until)
        return self._readers[scan.group]

    def judge(self, key: int) -> bool | None:
        rule = self._rules[key]
        self._note(rule)
        holds = rule.judge(self._row)
        if holds is not None:
            rule.holds = holds
        return holds

    def lapse(self, monotonic: int) -> None:
        if monotonic <= self._next_lapse:
            return
        for slot, fresh_until in enumerate(self._fresh_until):
            if fresh_until < monotonic:
                self._put(slot, None, math.inf)
        self._next_lapse = min(self._fresh_until, default=math.inf)

    def next_lapse(self) -> int | None:
        self._next_lapse = min(self._fresh_until, default=math.inf)
        return None if self._next_lapse == math.inf else int(self._next_lapse)

    def value(self, key: int) -> Value | None:
        return self._rules[key].value

    def adopt(self, key: int, before: Self, old: int) -> None:
        rule, was = self._rules[key], before._rules[old]
        rule.holds, rule.value = was.holds, was.value

    def resume(self, key: int) -> None:
        self._rules[key].holds = True

    def forget(self, key: int) -> None:
        self._rules[key].holds = False

    def _put(self, slot: int, value: Value | None, fresh_until: float) -> None:
        self._row[slot] = value
        self._fresh_until[slot] = fresh_until if value is not None else math.inf
        self._next_lapse = min(self._next_lapse, self._fresh_until[slot])

    def _note(self, rule: _Judgement) -> None:
        value = self._row[rule.first]
        if value is not None:
            rule.value = value


def _sources(group: TagGroup, slots: Mapping[str, int]) -> list[_Source]:
    return [
        _Source(slots[tag.id], column, plane, column - span.start)
        for plane, span in enumerate(group.spans)
        for column, tag in enumerate(group.columns)
        if span.start <= column < span.stop and tag.id in slots
    ]


def _value(scan: Scan, source: _Source) -> Value | None:
    """None where it is not good, or no number."""
    if scan.status is not None and scan.status[source.column] >= _UNCERTAIN:
        return None
    given = scan.values[source.plane][source.offset]
    value: Value = given if isinstance(given, str) else given.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value

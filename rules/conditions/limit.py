"""A limit: a numeric tag above `high`, or below `low`.

The condition begins to hold when value > high, and ceases to hold when value <= high - deadband; mirrored for `low`.
With both limits it is one condition: it holds outside, and ceases once the value is inside both by the deadband.

Comparisons are made in the type of the tag, so they are exact. On an integer tag a limit with a fraction keeps its
meaning: 80.5 is passed by 81. On a float tag a limit is the nearest value of that type, as a setpoint in the machine
would be: a float32 of 0.1 is not above a limit of 0.1.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import NamedTuple, Self, TypeAlias

import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator

from gateway.model import Mask, Plane, Scan, Span, StatusCode, Tag, TagGroup, Value, ValueType
from rules import condition
from rules.number import Number, Size, exact, reach

Indexes: TypeAlias = npt.NDArray[np.intp]

_UNCERTAIN = int(StatusCode.UNCERTAIN)


class Band(NamedTuple):
    """The values from `low` to `high`, both included; None is an open end."""

    low: Fraction | None
    high: Fraction | None


class Settings(condition.Settings):
    tag: str = Field(description="the tag that is judged")
    high: Number | None = Field(default=None, description="the condition holds above this")
    low: Number | None = Field(default=None, description="the condition holds below this")
    deadband: Size = Field(default=0, description="how far a value must be back inside before the condition ceases")

    @model_validator(mode="after")
    def _limits_have_order(self) -> Settings:
        if self.high is None and self.low is None:
            raise ValueError("give high, low or both")
        if self.high is not None and self.low is not None and not self.low < self.high:
            raise ValueError(f"low must lie below high: {self.low} and {self.high} leave nothing between them")
        return self

    def tags(self) -> tuple[str, ...]:
        return (self.tag,)

    def problem(self, tags: Mapping[str, Tag]) -> str | None:
        tag = tags.get(self.tag)
        if tag is None:
            return f"there is no tag {self.tag}"
        if tag.type in (ValueType.BOOL, ValueType.STRING):
            return f"{self.tag} is {tag.type}; a limit needs a number"
        return self._unreachable(tag) or self._endless(tag)

    def band(self, type_: ValueType, deadband: Fraction) -> Band:
        """The values that are inside by `deadband`. On a tag of whole numbers the ends are whole, too."""
        low = None if self.low is None else exact(self.low) + deadband
        high = None if self.high is None else exact(self.high) - deadband
        if not type_.is_float:
            low = None if low is None else Fraction(math.ceil(low))
            high = None if high is None else Fraction(math.floor(high))
        return Band(low, high)

    def _unreachable(self, tag: Tag) -> str | None:
        bottom, top = reach(tag)
        high_fits = self.high is None or bottom <= exact(self.high) < top
        low_fits = self.low is None or bottom < exact(self.low) <= top
        if high_fits and low_fits:
            return None
        limit = f"low limit of {self.low}" if high_fits else f"high limit of {self.high}"
        return f"a {limit} is always passed or never: {self.tag} goes from {float(bottom):g} to {float(top):g}"

    def _endless(self, tag: Tag) -> str | None:
        bottom, top = reach(tag)
        low, high = self.band(tag.type, exact(self.deadband))
        if (bottom if low is None else low) <= (top if high is None else high):
            return None
        return f"with a deadband of {self.deadband} no value of {self.tag} would end the condition"


class Condition(condition.Condition):
    """The limits on one tag group, plane by plane."""

    def __init__(self, group: TagGroup, entries: Sequence[tuple[int, Settings]]) -> None:
        self._planes: list[_Limits] = []
        self._places: dict[int, tuple[_Limits, int]] = {}
        limits = [_Limit(key, settings, group.index[settings.tag]) for key, settings in entries]
        for plane, span in enumerate(group.spans):
            members = [limit for limit in limits if span.start <= limit.column < span.stop]
            if members:
                self._planes.append(_Limits(plane, span, members))
                self._places |= {limit.key: (self._planes[-1], i) for i, limit in enumerate(members)}

    def judge(self, scan: Scan) -> Sequence[condition.Transition]:
        if len(self._planes) == 1:
            return self._planes[0].judge(scan)
        return [transition for limits in self._planes for transition in limits.judge(scan)]

    def doubtful(self, scan: Scan) -> Sequence[int]:
        return [key for limits in self._planes for key in limits.doubtful(scan)]

    def value(self, key: int) -> Value:
        limits, i = self._places[key]
        return limits.value(i)

    def adopt(self, key: int, before: Self, old: int) -> None:
        limits, i = self._places[key]
        limits.adopt(i, *before._places[old])

    def resume(self, key: int) -> None:
        limits, i = self._places[key]
        limits.resume(i)

    def forget(self, key: int) -> None:
        limits, i = self._places[key]
        limits.forget(i)


class _Limit(NamedTuple):
    key: int
    settings: Settings
    column: int


class _Limits:
    """The limits on one plane: each rule a place in vectors of the plane's own type.

    A condition that does not hold is left alone inside the wide band, between the limits themselves; one that holds, in
    the narrow band, inside by the deadband. `_low` and `_high` are the ends of the band that counts for each rule now,
    so that "outside" compared with "holds" tells the transitions. `_row` is the last good value of each rule: what is
    missing or not good leaves it as it was, and an unchanged value changes nothing.
    """

    def __init__(self, plane: int, span: Span, limits: Sequence[_Limit]) -> None:
        self._plane = plane
        self._is_float = span.type.is_float
        self._keys = [limit.key for limit in limits]
        self._columns = np.array([limit.column for limit in limits], np.intp)
        self._offsets: Indexes = self._columns - span.start
        narrow = [limit.settings.band(span.type, exact(limit.settings.deadband)) for limit in limits]
        self._wide = _ends([limit.settings.band(span.type, Fraction(0)) for limit in limits], span.type)
        self._narrow = _ends(narrow, span.type)
        self._low, self._high = self._wide[0].copy(), self._wide[1].copy()
        self._holds: Mask = np.zeros(len(limits), np.bool_)
        self._inside = np.where([band.high is None for band in narrow], *self._narrow)
        lowest, highest = _ends([Band(None, None)] * len(limits), span.type)
        self._outside = np.where([band.high is None for band in narrow], lowest, highest)
        self._row: Plane = self._inside.copy()

    def judge(self, scan: Scan) -> Sequence[condition.Transition]:
        given = scan.values[self._plane].take(self._offsets)
        fit = self._fit(scan, given)
        if fit is None:
            self._row = given
        else:
            np.copyto(self._row, given, where=fit)
        outside: Mask = np.greater(self._row, self._high) | np.less(self._row, self._low)
        changed = outside ^ self._holds
        if not np.count_nonzero(changed):
            return ()
        return [self._turn(i, bool(outside[i])) for i in np.flatnonzero(changed).tolist()]

    def doubtful(self, scan: Scan) -> Sequence[int]:
        good = self._good(scan, scan.values[self._plane].take(self._offsets))
        if good is None:
            return ()
        doubt = ~good if scan.columns is None else ~good & scan.columns.take(self._columns)
        return [self._keys[i] for i in np.flatnonzero(doubt).tolist()]

    def value(self, i: int) -> Value:
        value: Value = self._row[i].item()
        return value

    def adopt(self, i: int, before: _Limits, old: int) -> None:
        self._turn(i, bool(before._holds[old]))
        self._row[i] = before._row[old]

    def resume(self, i: int) -> None:
        self._turn(i, True)
        self._row[i] = self._outside[i]

    def forget(self, i: int) -> None:
        self._turn(i, False)
        self._row[i] = self._inside[i]

    def _turn(self, i: int, holds: bool) -> condition.Transition:
        low, high = self._narrow if holds else self._wide
        self._low[i], self._high[i], self._holds[i] = low[i], high[i], holds
        return self._keys[i], holds

    def _fit(self, scan: Scan, given: Plane) -> Mask | None:
        """Which values are there and good; None if all."""
        good = self._good(scan, given)
        if scan.columns is None:
            return good
        present: Mask = scan.columns.take(self._columns)
        return present if good is None else present & good

    def _good(self, scan: Scan, given: Plane) -> Mask | None:
        """Which values may be judged, if they are there; None if all."""
        good: Mask | None = None if scan.status is None else scan.status.take(self._columns) < _UNCERTAIN
        if not self._is_float:
            return good
        number = ~np.isnan(given)
        return number if good is None else good & number


def _ends(bands: Sequence[Band], type_: ValueType) -> tuple[Plane, Plane]:
    """The lower and the upper ends, in the type of the plane. An open end is one that no value passes."""
    number: type[int] | type[float] = float if type_.is_float else int
    bottom, top = (-math.inf, math.inf) if type_.is_float else (np.iinfo(type_.value).min, np.iinfo(type_.value).max)
    lows = [bottom if band.low is None else number(band.low) for band in bands]
    highs = [top if band.high is None else number(band.high) for band in bands]
    return np.array(lows, type_.dtype), np.array(highs, type_.dtype)

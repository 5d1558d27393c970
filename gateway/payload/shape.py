"""What documents look like: which values stand where, of which types, and where the time is. Pure.

A number is a float64 unless it is too large for that to be exact: what is 71 now may be 71.5 in a second.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from gateway.model import ValueType
from gateway.payload import moment, path
from gateway.payload.moment import TimeFormat
from gateway.payload.path import Path
from gateway.payload.value import MAX_STRING

MOST_LEAVES: Final = 64
MOST_ITEMS: Final = 8
"""Of an array; what is longer is data that no tags are made of."""
MOST_DEPTH: Final = 8
MOST_KEY: Final = 100

_EXACT: Final = 1 << 53
_TIMES: Final = ("ts", "time", "timestamp", "datetime", "date_time", "utc", "t")
_FORMATS: Final[tuple[TimeFormat, ...]] = ("unix_s", "unix_ms", "unix_us", "unix_ns", "iso8601")


class Time(NamedTuple):
    path: str
    format: TimeFormat


@dataclass(frozen=True, slots=True)
class Leaf:
    """One value of a document. `path` is as people write it, empty for a document that is this value."""

    path: str
    type: ValueType
    example: object = field(default=None, compare=False)

    @property
    def name(self) -> str:
        """What to call it: `axes.2.load` for `axes[2].load`."""
        return ".".join(map(str, path.parse(self.path)))


@dataclass(frozen=True, slots=True)
class Shape:
    """`left_out` counts what stands there and cannot be a tag."""

    leaves: tuple[Leaf, ...]
    time: Time | None = None
    left_out: int = field(default=0, compare=False)


def learn(documents: Sequence[object], now: int) -> Shape:
    """What some documents of one source have in common, or each for itself; `now` is in nanoseconds UTC."""
    seen: dict[Path, list[object]] = {}
    for document in documents:
        for where, value in _leaves(document, ()):
            if where in seen or len(seen) < 2 * MOST_LEAVES:
                seen.setdefault(where, []).append(value)
    time = _time(seen, now)
    leaves = [leaf for where, values in seen.items() if (leaf := _leaf(where, values)) is not None]
    kept = [leaf for leaf in leaves if time is None or leaf.path != time.path][:MOST_LEAVES]
    return Shape(tuple(kept), time, len(seen) - len(kept) - (time is not None))


def spell(where: Path) -> str | None:
    """A path as people write it; None for one that cannot be written."""
    text = "".join(_step(step) for step in where).removeprefix(".")
    if any(isinstance(step, str) and (not step.isprintable() or len(step) > MOST_KEY) for step in where):
        return None
    try:
        return text if path.parse(text) == where else None
    except ValueError:
        return None


def _step(step: str | int) -> str:
    if isinstance(step, int):
        return f"[{step}]"
    plain = step and not any(letter in step for letter in '.[]"')
    return f".{step}" if plain else f'."{step}"'


def _leaves(value: object, where: Path) -> Iterator[tuple[Path, object]]:
    if len(where) > MOST_DEPTH:
        return
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _leaves(inner, (*where, str(key)))
    elif isinstance(value, list):
        for index, inner in enumerate(value[: MOST_ITEMS if len(value) <= MOST_ITEMS else 0]):
            yield from _leaves(inner, (*where, index))
    else:
        yield where, value


def _leaf(where: Path, values: Sequence[object]) -> Leaf | None:
    """None for what has no type, or several, or no path."""
    kinds = {_kind(value) for value in values if value is not None}
    if kinds == {ValueType.INT64, ValueType.FLOAT64}:
        kinds = {ValueType.FLOAT64}
    text = spell(where)
    if len(kinds) != 1 or text is None:
        return None
    kind = kinds.pop()
    return None if kind is None else Leaf(text, kind, next(value for value in values if value is not None))


def _kind(value: object) -> ValueType | None:
    match value:
        case bool():
            return ValueType.BOOL
        case float():
            return ValueType.FLOAT64
        case int():
            return _integer(value)
        case str() if len(value) <= MAX_STRING:
            return ValueType.STRING
    return None


def _integer(value: int) -> ValueType | None:
    if abs(value) <= _EXACT:
        return ValueType.FLOAT64
    if -(1 << 63) <= value < 1 << 63:
        return ValueType.INT64
    return ValueType.UINT64 if 0 <= value < 1 << 64 else None


def _time(seen: dict[Path, list[object]], now: int) -> Time | None:
    """The value nearest to the top that is called like a time and is one, in all documents."""
    named = [where for where in seen if where and str(where[-1]).lower() in _TIMES]
    for where in sorted(named, key=lambda each: (len(each), _TIMES.index(str(each[-1]).lower()))):
        for form in _FORMATS:
            text = spell(where)
            if text is not None and _are_times(seen[where], form, now):
                return Time(text, form)
    return None


def _are_times(values: Iterable[object], form: TimeFormat, now: int) -> bool:
    try:
        return all(moment.read(value, form, now) for value in values)
    except ValueError:
        return False

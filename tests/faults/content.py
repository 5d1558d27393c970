"""What the writer writes: every value follows from the group and the number of its scan, so that whoever reads it back
needs no copy to compare it with. An item is named `(group, number)`; `EVENT` stands for the group of an event."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from gateway.clock import MILLISECOND, SECOND
from gateway.model import (
    AnyEvent,
    DeviceChanged,
    DeviceState,
    Mask,
    Plane,
    Priority,
    Rows,
    Scan,
    Statuses,
    Tag,
    TagGroup,
)
from gateway.model import ValueType as Type

Item: TypeAlias = tuple[int, int]
Numbers: TypeAlias = npt.NDArray[np.int64]

EVENT = 9
_BAD = 0x8007_0000
_LONG = 1500
"""Bytes of a string that does not compress: a chunk of a few does not fit on one page of the file."""


def _group(name: str, priority: Priority, *types: Type) -> TagGroup:
    tags = [Tag(f"press/{name}{i}", type_) for i, type_ in enumerate([Type.INT64, *types])]
    return TagGroup("press", name, TagGroup.sort(tags), SECOND, 3 * SECOND, priority=priority)


GROUPS = (
    _group("hydraulics", Priority.HIGH, Type.FLOAT64, Type.BOOL),
    _group("recipe", Priority.NORMAL, Type.FLOAT32, Type.UINT16, Type.STRING),
    _group("vibration", Priority.LOW, *[Type.FLOAT64] * 12),
    _group("counters", Priority.NORMAL, Type.INT32, Type.INT32, Type.FLOAT64),
)
_GROUP_OF = {group.name: k for k, group in enumerate(GROUPS)}
_SPOTTY = 3
"""The group whose scans are not always whole, and not always good."""


def scan(item: Item, epoch: int) -> Scan:
    """The scan of that name; `epoch` (nanoseconds UTC) is when the number 0 was taken."""
    k, number = item
    rows = _rows(k, (number,))
    planes = tuple(plane[0] for plane in rows.planes)
    time = epoch + int(rows.age[0])
    some = None if bool(rows.present.all()) else rows.present[0]
    return Scan(GROUPS[k], time, time + MILLISECOND, planes, rows.status[0] if rows.status.any() else None, some)


def event(number: int, epoch: int) -> AnyEvent:
    return DeviceChanged(epoch + number, "press", str(number), DeviceState.ONLINE, "x" * (number % 300))


def points(item: Item) -> int:
    k, number = item
    return 1 if k == EVENT else int(np.count_nonzero(_present(k, np.array([number]))))


def items(rows: Rows, epoch: int) -> Iterator[Item]:
    """The names of the scans that these were. Raises ValueError where anything in them is not as it was written."""
    k = _GROUP_OF[rows.schema.group]
    spans = rows.schema.spans
    at = next(i for i, span in enumerate(spans) if span.type is Type.INT64)
    numbers = tuple(rows.values[at][:, 0].tolist())
    meant = _rows(k, numbers)
    present = np.ones_like(meant.present) if rows.present is None else rows.present
    status = np.zeros_like(meant.status) if rows.status is None else rows.status
    times = rows.source_time if rows.source_time.ndim == 1 else rows.source_time[:, 0]
    whole = np.array_equal(present, meant.present) and np.array_equal(times, meant.age + epoch)
    whole = whole and bool((status == meant.status)[present].all())
    for span, plane, found in zip(spans, meant.planes, rows.values, strict=True):
        whole = whole and bool((found == plane)[present[:, span.start : span.stop]].all())
    if not whole:
        raise ValueError(f"scans {numbers} of {rows.schema.group} are not what was written")
    return ((k, number) for number in numbers)


def item_of(event: AnyEvent, epoch: int) -> Item | None:
    """The name of an event; None for one of the journal's own. Raises ValueError as `items` does."""
    if not isinstance(event, DeviceChanged):
        return None
    number = event.time - epoch
    if event.link != str(number) or event.reason != "x" * (number % 300):
        raise ValueError(f"event {number} is not what was written")
    return EVENT, number


class _Rows(NamedTuple):
    """As `Rows` has them; `age` is nanoseconds since the epoch."""

    age: Numbers
    planes: tuple[Plane, ...]
    present: Mask
    status: Statuses


@lru_cache(maxsize=10_000)
def _rows(k: int, numbers: tuple[int, ...]) -> _Rows:
    column = np.array(numbers, np.int64)
    planes = tuple(_plane(span.type, span.stop - span.start, column) for span in GROUPS[k].spans)
    return _Rows(column * 10 * MILLISECOND, planes, _present(k, column), _status(k, column))


def _plane(type_: Type, width: int, numbers: Numbers) -> Plane:
    if type_ is Type.STRING:
        texts = [hashlib.shake_128(b"%d" % n).hexdigest(_LONG) if n % 3 == 0 else str(n) for n in numbers]
        return np.array([[text] * width for text in texts], dtype=object)
    if type_ is Type.INT64:
        return np.repeat(numbers[:, None], width, axis=1)
    mixed = (numbers[:, None] * 2_654_435_761 + np.arange(width) * 40_503) % 10_007
    return (mixed / 7).astype(type_.dtype) if type_.is_float else (mixed % 251).astype(type_.dtype)


def _present(k: int, numbers: Numbers) -> Mask:
    present = np.ones((len(numbers), len(GROUPS[k].columns)), np.bool_)
    if k == _SPOTTY:
        present[numbers % 4 == 1, -1] = False
    return present


def _status(k: int, numbers: Numbers) -> Statuses:
    status = np.zeros((len(numbers), len(GROUPS[k].columns)), np.uint32)
    if k == _SPOTTY:
        status[numbers % 5 == 2, 1] = _BAD
    return status

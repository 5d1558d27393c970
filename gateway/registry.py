"""The type that each field was first sent with, for sinks whose server keeps it for ever: a value that comes with
another type is sent so that the server takes it, and gives back what it was.

A field belongs to a tag group and bears a tag's name, whichever device it comes from: that is where servers look for
conflicts. Five types are told apart, as servers do: boolean, integer, unsigned (64 bits), float and string. A value
goes into the field of its tag where that holds it exactly: small integers in a float field, a uint64 below 2^63 in an
integer field. Otherwise it goes into a field `<tag>.<type>`, such as `temperature.float64`. A float never goes into an
integer field, not even 3.0: that would tear its series apart. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from gateway.journal.books import FieldType
from gateway.model import Column, Mask, Plane, Rows, Schema, ValueType, spans_of

_MOST_PLANS = 4096
_ORDER = list(ValueType)
_EXACT = 2**53
"""Up to here a float64 has every integer."""

Holds: TypeAlias = Callable[[Plane], Mask]


def _kind(type: ValueType) -> ValueType:
    """The widest type that servers do not tell from `type`."""
    if type is ValueType.FLOAT32:
        return ValueType.FLOAT64
    if type in (ValueType.BOOL, ValueType.UINT64, ValueType.FLOAT64, ValueType.STRING):
        return type
    return ValueType.INT64


def _within(least: int, most: int) -> Holds:
    """Tells the integers in a range; whatever their type, they fit an int64."""
    return lambda plane: (plane.astype(np.int64) >= least) & (plane.astype(np.int64) <= most)


def _up_to(most: int) -> Holds:
    return lambda plane: np.asarray(plane <= np.uint64(most))


_I, _U, _F = ValueType.INT64, ValueType.UINT64, ValueType.FLOAT64

_HOLDS: dict[tuple[ValueType, ValueType], Holds] = {
    (_I, _F): _within(-_EXACT, _EXACT),
    (_U, _F): _up_to(_EXACT),
    (_U, _I): _up_to(2**63 - 1),
    (_I, _U): _within(0, 2**63 - 1),
}
"""Which values of the first kind a field of the second holds exactly."""


@dataclass(frozen=True, slots=True)
class _Field:
    """`holds` tells which values it takes; None for all."""

    column: Column
    holds: Holds | None


_Plan: TypeAlias = tuple[tuple[_Field, ...], ...]
"""For each column the fields that its values go to: each value into the first that holds it. The last holds all."""


class Registry:
    def __init__(self, known: Iterable[FieldType]) -> None:
        self._types = {(field.group, field.tag): field.type for field in known}
        self._plans: dict[bytes, _Plan | None] = {}

    def admit(self, schema: Schema) -> list[FieldType]:
        """What rows of `schema` add. It is to be on disk before they are sent."""
        if schema.digest in self._plans:
            return []
        if len(self._plans) >= _MOST_PLANS:
            self._plans.clear()
        before = len(self._types)
        plan = tuple(tuple(self._fields(schema, column)) for column in schema.columns)
        is_plain = [[field.column for field in fields] for fields in plan] == [[column] for column in schema.columns]
        self._plans[schema.digest] = None if is_plain else plan
        added = list(self._types.items())[before:]
        return [FieldType(schema.device, group, tag, type) for (group, tag), type in added]

    def convert(self, rows: Rows) -> Rows:
        """After `admit`."""
        plan = self._plans[rows.schema.digest]
        return rows if plan is None else _convert(rows, plan)

    def _fields(self, schema: Schema, column: Column) -> Iterator[_Field]:
        others = {other.name for other in schema.columns if other is not column}
        kind, name = _kind(column.type), column.name
        while True:
            known = _kind(self._types.setdefault((schema.group, name), column.type))
            if known == kind:
                yield _Field(Column(name, column.type, column.unit), None)
                return
            if (kind, known) in _HOLDS:
                yield _Field(Column(name, known, column.unit), _HOLDS[kind, known])
            name = f"{name}.{column.type}"
            while name in others:
                name += "_"


@dataclass(frozen=True, slots=True)
class _Part:
    """One field's values and which of them are there, both of shape (rows, 1); `origin` is the column they are from."""

    origin: int
    column: Column
    values: Plane
    present: Mask


def _convert(rows: Rows, plan: _Plan) -> Rows:
    parts = sorted(_parts(rows, plan), key=lambda part: _ORDER.index(part.column.type))
    columns = tuple(part.column for part in parts)
    origins = np.array([part.origin for part in parts], np.intp)
    present = np.hstack([part.present for part in parts])
    return Rows(
        Schema(rows.schema.device, rows.schema.group, columns),
        rows.source_time if rows.source_time.ndim == 1 else rows.source_time[:, origins],
        rows.gateway_time,
        tuple(
            np.hstack([part.values for part in parts[span.start : span.stop]])
            for span in spans_of([column.type for column in columns])
        ),
        None if rows.status is None else rows.status[:, origins],
        None if present.all() else present,
    )


def _parts(rows: Rows, plan: _Plan) -> Iterator[_Part]:
    """Field by field; without a further one of a column that gets nothing."""
    everything = np.ones((len(rows.gateway_time), len(plan)), np.bool_)
    present = everything if rows.present is None else rows.present
    for origin, (fields, values) in enumerate(zip(plan, _columns(rows), strict=True)):
        left = present[:, [origin]]
        for number, field in enumerate(fields):
            here = left if field.holds is None else left & field.holds(values)
            left = left & ~here
            if number == 0 or here.any():
                yield _Part(origin, field.column, values.astype(field.column.type.dtype, copy=False), here)


def _columns(rows: Rows) -> Iterator[Plane]:
    """Each column as a plane of its own."""
    for plane in rows.values:
        for number in range(plane.shape[1]):
            yield plane[:, [number]]

"""Fields that keep their type, whatever type the values come with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.journal.books import FieldType
from gateway.model import Rows, Value, ValueType
from gateway.registry import Registry
from tests.gateway.sinks.samples import NOT_CONNECTED, START, rows

B, I16, I64, U64, F32, F64, TEXT = (
    ValueType(name) for name in ("bool", "int16", "int64", "uint64", "float32", "float64", "string")
)


def fit(registry: Registry, batch: Rows) -> Rows:
    registry.admit(batch.schema)
    return registry.convert(batch)


def fields(batch: Rows) -> dict[str, tuple[str, list[Value | None]]]:
    """By name, the type and the values that are there."""
    found = {}
    for span, plane in zip(batch.schema.spans, batch.values, strict=True):
        assert plane.dtype == span.type.dtype
        for number, column in enumerate(batch.schema.columns[span.start : span.stop]):
            there = [True] * len(plane) if batch.present is None else batch.present[:, span.start + number].tolist()
            values = [
                value if is_there else None for value, is_there in zip(plane[:, number].tolist(), there, strict=True)
            ]
            found[column.name] = (column.type.value, values)
    return found


@pytest.mark.parametrize(
    ("first", "then", "values", "expected"),
    [
        (I16, ValueType.INT32, [70_000], {"t": ("int32", [70_000])}),
        (F32, F64, [0.1], {"t": ("float64", [0.1])}),
        (F64, I16, [3, -3], {"t": ("float64", [3.0, -3.0])}),
        (F32, ValueType.UINT32, [2**32 - 1], {"t": ("float64", [2.0**32 - 1])}),
        (I16, F64, [3.0], {"t": ("int64", [None]), "t.float64": ("float64", [3.0])}),
        (F64, I64, [2**53, 2**53 + 1], {"t": ("float64", [2.0**53, None]), "t.int64": ("int64", [None, 2**53 + 1])}),
        (F64, I64, [-(2**53) - 1], {"t": ("float64", [None]), "t.int64": ("int64", [-(2**53) - 1])}),
        (F64, U64, [2**53, 2**64 - 1], {"t": ("float64", [2.0**53, None]), "t.uint64": ("uint64", [None, 2**64 - 1])}),
        (I64, U64, [7, 2**63], {"t": ("int64", [7, None]), "t.uint64": ("uint64", [None, 2**63])}),
        (U64, I16, [7, -7], {"t": ("uint64", [7, None]), "t.int16": ("int16", [None, -7])}),
        (I16, B, [True], {"t.bool": ("bool", [True])}),
        (B, I16, [1], {"t.int16": ("int16", [1])}),
        (F64, TEXT, ["3.5"], {"t.string": ("string", ["3.5"])}),
        (TEXT, F64, [3.5], {"t.float64": ("float64", [3.5])}),
    ],
)
def test_each_value_goes_where_it_is_held_exactly(
    first: ValueType, then: ValueType, values: list[Value], expected: Mapping[str, tuple[str, list[Value]]]
) -> None:
    registry = Registry(())
    zero: Value = "" if first is TEXT else 0
    fit(registry, rows({"t": first}, (zero,)))
    got = fields(fit(registry, rows({"t": then}, *[(value,) for value in values])))
    assert {name: field for name, field in got.items() if set(field[1]) != {None}} == {
        name: field for name, field in expected.items() if set(field[1]) != {None}
    }


def test_what_is_as_it_was_is_the_very_same() -> None:
    registry = Registry(())
    batch = rows({"a": I16, "b": F64}, (1, 2.0))
    assert fit(registry, batch) is batch
    assert registry.admit(batch.schema) == []


def test_what_is_new_is_said_once_and_what_is_known_not_at_all() -> None:
    registry = Registry(())
    first, then = rows({"t": I16}, (1,)), rows({"t": F64}, (1.0,))
    assert registry.admit(first.schema) == [FieldType("press-1", "fast", "t", I16)]
    new = registry.admit(then.schema)
    assert new == [FieldType("press-1", "fast", "t.float64", F64)]
    again = Registry([FieldType("press-1", "fast", "t", I16), *new])
    assert again.admit(then.schema) == []
    assert set(fields(again.convert(then))) == {"t.float64"}


def test_a_field_belongs_to_the_group_whichever_device_it_comes_from() -> None:
    """InfluxDB keeps types by measurement, which is the group."""
    registry = Registry(())
    fit(registry, rows({"t": I16}, (1,), device="one"))
    assert set(fields(fit(registry, rows({"t": F64}, (1.5,), device="two")))) == {"t.float64"}
    assert set(fields(fit(registry, rows({"t": F64}, (1.5,), group="slow")))) == {"t"}


def test_a_tag_that_bears_a_substitutes_name_keeps_its_field() -> None:
    registry = Registry(())
    fit(registry, rows({"t": I16}, (1,)))
    got = fields(fit(registry, rows({"t": F64, "t.float64": F64}, (1.5, 2.5))))
    assert got["t.float64"] == ("float64", [2.5])
    assert got["t.float64_"] == ("float64", [1.5])
    got = fields(fit(registry, rows({"t.float64": I16}, (7,))))
    assert got["t.float64"] == ("float64", [7.0])


def test_times_status_and_presence_go_with_their_column() -> None:
    registry = Registry(())
    fit(registry, rows({"a": F64, "b": I16}, (0, 0)))
    batch = rows(
        {"a": I64, "b": F64, "c": F64},
        (2**60, 2.5, 3.5),
        (4, 5.5, 6.5),
        times=[[START, START + 1, START + 2], [START + 3, START + 4, START + 5]],
        status=[[0, NOT_CONNECTED, 0], [0, 0, NOT_CONNECTED]],
        present=[[True, True, False], [True, True, True]],
    )
    got = fit(registry, batch)
    names = [column.name for column in got.schema.columns]
    place = {name: names.index(name) for name in ("a", "a.int64", "b.float64", "c")}
    assert got.status is not None
    assert got.present is not None
    assert got.source_time[:, place["a"]].tolist() == [START, START + 3]
    assert got.source_time[:, place["a.int64"]].tolist() == [START, START + 3]
    assert got.source_time[:, place["b.float64"]].tolist() == [START + 1, START + 4]
    assert got.status[:, place["b.float64"]].tolist() == [NOT_CONNECTED, 0]
    assert got.present[:, place["a"]].tolist() == [False, True]
    assert got.present[:, place["a.int64"]].tolist() == [True, False]
    assert got.present[:, place["c"]].tolist() == [False, True]
    assert got.points == batch.points
    order = [list(ValueType).index(column.type) for column in got.schema.columns]
    assert order == sorted(order)


def _values(type: ValueType) -> st.SearchStrategy[Value]:
    if type is B:
        return st.booleans()
    if type is TEXT:
        return st.text(max_size=3)
    if type.is_float:
        return st.floats(width=32 if type is F32 else 64, allow_nan=False)
    limits = np.iinfo(type.value)
    edges = [v for v in (0, 2**53, 2**53 + 1, -(2**53) - 1, 2**63 - 1, 2**63) if limits.min <= v <= limits.max]
    return st.integers(int(limits.min), int(limits.max)) | st.sampled_from(edges)


@st.composite
def batches(draw: st.DrawFn) -> list[Rows]:
    """One tag group whose tags change their types again and again."""
    made = []
    for _ in range(draw(st.integers(1, 6))):
        types = sorted(
            draw(st.lists(st.sampled_from(list(ValueType)), min_size=1, max_size=3)), key=list(ValueType).index
        )
        names = draw(st.permutations(["a", "b", "a.float64"]))[: len(types)]
        lines: Sequence[Sequence[Value]] = draw(
            st.lists(st.tuples(*[_values(type) for type in types]), min_size=1, max_size=3)
        )
        made.append(rows(dict(zip(names, types, strict=True)), *lines))
    return made


def _told(batch: Rows) -> Iterator[list[tuple[str, Value]]]:
    """Row by row the values that are there, whatever their field. Python compares an int and a float exactly."""
    by_name = fields(batch)
    for row in range(len(batch.gateway_time)):
        values = [values[row] for _, values in by_name.values()]
        yield sorted((_sort(value), value) for value in values if value is not None)


def _sort(value: Value) -> str:
    return "number" if type(value) in (int, float) else type(value).__name__


@given(batches())
def test_no_value_is_lost_or_changed_and_no_field_changes_its_type(made: list[Rows]) -> None:
    registry = Registry(())
    types: dict[str, ValueType] = {}
    for batch in made:
        got = fit(registry, batch)
        assert got.points == batch.points
        names = [column.name for column in got.schema.columns]
        assert len(set(names)) == len(names)
        assert list(_told(got)) == list(_told(batch))
        for column in got.schema.columns:
            kind = {I16: I64, F32: F64}.get(column.type, column.type)
            kind = I64 if "int" in kind and kind is not U64 else kind
            assert types.setdefault(column.name, kind) is kind

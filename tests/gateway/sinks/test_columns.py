from __future__ import annotations

import json

import numpy as np
import pytest

from gateway.model import (
    AlarmChanged,
    AlarmState,
    AnyEvent,
    CommandDone,
    DataLost,
    DeviceChanged,
    DeviceState,
    Outcome,
    Rows,
    Value,
    ValueType,
)
from gateway.sinks._columns import Cell, event_columns, plain, telemetry_columns
from tests.gateway.sinks.samples import NOT_CONNECTED, START, UNCERTAIN, rows

BAD = 0x8000_0000
VALUES = ("value", "value_int", "value_bool", "value_text")


def lines(batch: Rows, *names: str, largest: int | None = None) -> list[tuple[Cell, ...]]:
    columns = telemetry_columns([batch], largest)
    assert len({len(cells) for cells in columns.values()}) == 1
    return list(zip(*(columns[name] for name in names), strict=True))


def test_a_row_a_value_with_all_that_is_known_of_it() -> None:
    batch = rows({"a": ValueType.FLOAT64, "b": ValueType.FLOAT64}, (1.0, 2.0), device="press-1", group="fast")
    about = ("device", "tag_group", "tag", "time_ns", "gateway_time_ns", "value", "quality")
    assert lines(batch, *about) == [
        ("press-1", "fast", "a", START, START + 1, 1.0, 0),
        ("press-1", "fast", "b", START, START + 1, 2.0, 0),
    ]


@pytest.mark.parametrize(
    ("kind", "value", "cells"),
    [
        (ValueType.BOOL, True, (1.0, None, True, None)),
        (ValueType.INT8, -128, (-128.0, -128, None, None)),
        (ValueType.INT64, -(2**63), (-(2.0**63), -(2**63), None, None)),
        (ValueType.INT64, 2**53 + 1, (2.0**53, 2**53 + 1, None, None)),
        (ValueType.UINT64, 2**64 - 1, (2.0**64, 2**64 - 1, None, None)),
        (ValueType.FLOAT32, 21.3, (float(np.float32(21.3)), None, None, None)),
        (ValueType.FLOAT64, 21.3, (21.3, None, None, None)),
        (ValueType.STRING, "ü", (None, None, None, "ü")),
    ],
)
def test_a_value_stands_where_its_type_says(kind: ValueType, value: Value, cells: tuple[Cell, ...]) -> None:
    (line,) = lines(rows({"x": kind}, (value,)), *VALUES)
    assert line == cells
    assert [type(cell) for cell in line] == [type(cell) for cell in cells]


def test_an_integer_that_does_not_fit_is_spelled() -> None:
    batch = rows({"x": ValueType.UINT64}, (2**63 - 1,), (2**63,))
    assert lines(batch, "value_int", "value_text", largest=2**63 - 1) == [(2**63 - 1, None), (None, str(2**63))]


def test_what_is_not_good_has_its_code_and_what_is_bad_no_value() -> None:
    columns = {"b": ValueType.BOOL, "i": ValueType.INT16, "f": ValueType.FLOAT64, "s": ValueType.STRING}
    values = (True, 7, 1.5, "on")
    bad = lines(rows(columns, values, status=[[NOT_CONNECTED] * 4]), *VALUES, "quality")
    assert bad == [(None, None, None, None, NOT_CONNECTED)] * 4
    uncertain = lines(rows(columns, values, status=[[UNCERTAIN] * 4]), *VALUES, "quality")
    assert [[cell for cell in line if cell is not None] for line in uncertain] == [
        [1.0, True, UNCERTAIN],
        [7.0, 7, UNCERTAIN],
        [1.5, UNCERTAIN],
        ["on", UNCERTAIN],
    ]


@pytest.mark.parametrize("kind", [ValueType.FLOAT32, ValueType.FLOAT64])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_what_is_no_finite_number_is_null_and_bad(kind: ValueType, value: float) -> None:
    assert lines(rows({"x": kind}, (value,)), "value", "quality") == [(None, BAD)]


def test_only_what_is_there_is_told_each_at_its_time() -> None:
    columns = {"a": ValueType.INT16, "b": ValueType.FLOAT64, "c": ValueType.FLOAT64}
    batch = rows(columns, (1, 2.0, 3.0), (4, 5.0, 6.0), times=[[10, 20, 30], [40, 50, 60]])
    there = Rows(
        batch.schema,
        batch.source_time,
        batch.gateway_time,
        batch.values,
        present=np.array([[True, False, True], [False, True, True]]),
    )
    assert set(lines(there, "tag", "time_ns", "value")) == {
        ("a", 10, 1.0),
        ("c", 30, 3.0),
        ("b", 50, 5.0),
        ("c", 60, 6.0),
    }


def test_nothing_gives_nothing() -> None:
    assert lines(rows({"x": ValueType.STRING}, ("a",), present=[[False]]), "tag") == []
    assert set(map(len, telemetry_columns([]).values())) == {0}


def test_the_rows_are_left_as_they_were() -> None:
    batch = rows({"x": ValueType.STRING, "y": ValueType.STRING}, ("a", "b"), status=[[0, NOT_CONNECTED]])
    lines(batch, "value_text")
    assert batch.values[0].tolist() == [["a", "b"]]


@pytest.mark.parametrize(("text", "told"), [("a\0b", "a␀b"), ("\ud800", "?"), ("ü\n\\", "ü\n\\"), ("", "")])
def test_text_is_such_as_a_database_takes(text: str, told: str) -> None:
    assert plain(text) == told
    batch = rows({text: ValueType.STRING}, (text,), device=text, group=text)
    assert lines(batch, "device", "tag_group", "tag", "value_text") == [(told,) * 4]


ALARM = AlarmChanged(
    START, "hot", "pump-1/t", AlarmState.UNACKNOWLEDGED, AlarmState.NORMAL, "high", float("nan"), "too\0hot", "amy"
)


@pytest.mark.parametrize(
    ("event", "told"),
    [
        (ALARM, ("AlarmChanged", "hot", START, "pump-1/t", "unacknowledged", "too␀hot")),
        (
            DeviceChanged(START, "press-1", "bus", DeviceState.OFFLINE, "no answer"),
            ("DeviceChanged", "press-1", START, None, "offline", "no answer"),
        ),
        (
            CommandDone(START, "c-7", "press-1/run", False, "rule:hot", Outcome.DONE),
            ("CommandDone", "c-7", START, "press-1/run", "done", ""),
        ),
        (DataLost(START, 1200, "quota"), ("DataLost", "quota", START, None, "", "quota")),
    ],
)
def test_an_event_is_a_row(event: AnyEvent, told: tuple[Cell, ...]) -> None:
    columns = event_columns([event])
    names = ("type", "subject", "time_ns", "tag", "state", "message")
    assert tuple(columns[name][0] for name in names) == told


def test_all_of_an_event_is_in_its_detail() -> None:
    (detail,) = event_columns([ALARM])["detail"]
    assert json.loads(str(detail)) == {
        "type": "AlarmChanged",
        "time": START,
        "alarm": "hot",
        "tag": "pump-1/t",
        "state": "unacknowledged",
        "previous": "normal",
        "priority": "high",
        "value": None,
        "message": "too␀hot",
        "actor": "amy",
        "comment": "",
        "move": "",
        "latched": False,
        "suppressed": False,
        "shelved_until": 0,
        "out_of_service": False,
        "command": "",
        "revision": "",
    }

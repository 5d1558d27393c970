"""What is exported is what was asked for, with its own time and quality, and harmless for spreadsheets."""

from __future__ import annotations

import csv
import io
import json

import numpy as np
import pytest

from gateway.clock import SECOND
from gateway.export import HEADER, Writer, moment
from gateway.inquiry import Export
from gateway.journal.chunk import Chunk, Stream
from gateway.model import (
    AlarmChanged,
    AlarmState,
    AnyEvent,
    Column,
    DataLost,
    DeviceChanged,
    DeviceState,
    Rows,
    Schema,
    StatusCode,
    ValueType,
)
from tests.gateway.build import NOW

SCHEMA = Schema("press", "fast", (Column("oil.t", ValueType.FLOAT64), Column("label", ValueType.STRING)))
EVENTS: tuple[AnyEvent, ...] = (
    DeviceChanged(NOW, "press", "bus", DeviceState.ONLINE),
    AlarmChanged(NOW + SECOND, "hot", "press/oil.t", AlarmState.UNACKNOWLEDGED, AlarmState.NORMAL, "high", 81.5),
    DataLost(NOW + 2 * SECOND, 5, "the disk did not keep up"),
)


def rows(status: np.ndarray[tuple[int, int], np.dtype[np.uint32]] | None = None) -> Rows:
    """Three rows, a second apart."""
    times = NOW + np.arange(3, dtype=np.int64) * SECOND
    labels = np.array([["=1+1"], ['say "hi", now'], ["ok"]], object)
    return Rows(SCHEMA, times + 7, times, (np.array([[1.5], [np.nan], [3.0]]), labels), status)


def written(request: Export, *events: AnyEvent, of: Rows | None = None) -> tuple[Writer, str]:
    writer = Writer(request, {"site": "plant-1"})
    chunks = [Chunk(Stream.NORMAL, 0, 6, rows=(of or rows(),))]
    if events:
        chunks.append(Chunk(Stream.EVENTS, 0, len(events), events=events))
    return writer, writer.head + "".join(writer.lines(chunks))


def test_csv() -> None:
    status = np.zeros((3, 2), np.uint32)
    status[2, 1] = StatusCode.UNCERTAIN
    writer, text = written(Export(format="csv"), *EVENTS, of=rows(status))
    assert text.startswith(HEADER)
    lines = list(csv.reader(io.StringIO(text, newline="")))[1:]
    first = "2023-11-14T22:13:20.000000007Z"
    assert lines[:2] == [[first, "press/oil.t", "1.5", "good"], [first, "press/label", "'=1+1", "good"]]
    assert [line[2:] for line in lines[2:]] == [
        ["", "bad"],
        ['say "hi", now', "good"],
        ["3.0", "good"],
        ["ok", "uncertain"],
    ]
    assert (writer.points, writer.events) == (6, 0)


def test_json_lines() -> None:
    writer, text = written(Export(), *EVENTS)
    lines = [json.loads(line) for line in text.splitlines()]
    assert [line.get("type", "row") for line in lines] == [
        "row",
        "row",
        "row",
        "DeviceChanged",
        "AlarmChanged",
        "DataLost",
    ]
    assert lines[0] == {
        "time": NOW + 7,
        "gateway_time": NOW,
        "site": "plant-1",
        "device": "press",
        "group": "fast",
        "values": {"oil.t": 1.5, "label": "=1+1"},
        "quality": {},
    }
    assert (writer.points, writer.events) == (6, 3)


@pytest.mark.parametrize(
    ("request_", "points", "kinds"),
    [
        (Export(since=NOW + SECOND), 4, ["AlarmChanged", "DataLost"]),
        (Export(until=NOW + SECOND), 2, ["DeviceChanged"]),
        (Export(since=NOW + SECOND, until=NOW + SECOND), 0, []),
        (Export(tag="press/oil.*"), 3, ["AlarmChanged"]),
        (Export(tag="*"), 6, ["AlarmChanged"]),
        (Export(tag="press/[!o]*"), 3, []),
        (Export(device="press"), 6, ["DeviceChanged", "AlarmChanged"]),
        (Export(device="pres"), 0, []),
        (Export(device="press", tag="pump/*"), 0, []),
    ],
)
def test_selection(request_: Export, points: int, kinds: list[str]) -> None:
    writer, text = written(request_, *EVENTS)
    lines = [json.loads(line) for line in text.splitlines()]
    assert writer.points == points
    assert sum(len(line.get("values", ())) for line in lines) == points
    assert [line["type"] for line in lines if "type" in line] == kinds


def test_values_with_times_of_their_own_and_values_that_are_not_there() -> None:
    plain = rows()
    times = np.stack([plain.source_time, plain.source_time + 1], axis=1)
    present = np.array([[True, False], [False, True], [True, True]])
    of = Rows(SCHEMA, times, plain.gateway_time, plain.values, None, present)
    writer, text = written(Export(format="csv", since=NOW + SECOND), of=of)
    lines = list(csv.reader(io.StringIO(text, newline="")))[1:]
    assert [(line[0][-4:], line[1]) for line in lines] == [
        ("008Z", "press/label"),
        ("007Z", "press/oil.t"),
        ("008Z", "press/label"),
    ]
    assert writer.points == 3


def test_what_is_broken_is_counted() -> None:
    writer = Writer(Export(), {})
    assert list(writer.lines([Chunk(Stream.NORMAL, 0, 12, broken="a chunk was changed")])) == []
    assert (writer.points, writer.lost) == (0, 12)


def test_moment() -> None:
    assert moment(-1) == "1969-12-31T23:59:59.999999999Z"
    assert moment((1 << 63) - 1).startswith("2262-04-11")

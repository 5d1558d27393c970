from __future__ import annotations

from collections import defaultdict

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from drivers.opcua.collect import EARLIEST, LEAD, OVERFLOW, Collector, Sample, pick_time
from drivers.opcua.convert import ARRAY, Kind
from gateway.model import Scan, StatusCode, Tag, TagGroup, ValueType

NOW = 1_700_000_000_000_000_000
TYPES = [ValueType.BOOL, ValueType.INT64, ValueType.UINT64, ValueType.FLOAT64, ValueType.FLOAT64, ValueType.STRING]
KINDS = [Kind.BOOLEAN, Kind.INT64, Kind.UINT64, Kind.DOUBLE, Kind.DOUBLE, Kind.STRING]
GROUP = TagGroup("plc", "values", tuple(Tag(f"plc/{n}", type) for n, type in enumerate(TYPES)), None, 1)
VALUES = [
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.integers(0, 2**64 - 1),
    st.floats(allow_nan=False),
    st.floats(allow_nan=False),
    st.text(max_size=5),
]


@st.composite
def samples(draw: st.DrawFn) -> Sample:
    column = draw(st.integers(0, len(TYPES) - 1))
    time = NOW + draw(st.integers(-3, 3))
    status = draw(st.sampled_from([0, 0, 0x40000000, 0x80050000, OVERFLOW, 0xC0000000]))
    return Sample(column, KINDS[column], draw(VALUES[column]), status, time)


def cells(scan: Scan) -> dict[int, tuple[object, int, int]]:
    """Value, status and time of the columns that are there."""
    row = [value for plane in scan.values for value in plane.tolist()]
    there = range(len(row)) if scan.columns is None else np.flatnonzero(scan.columns).tolist()
    status = np.zeros(len(row), np.uint32) if scan.status is None else scan.status
    times = np.full(len(row), scan.source_time, np.int64)
    return {column: (row[column], int(status[column]), int(times[column])) for column in there}


@given(st.lists(samples(), max_size=30))
def test_the_kth_value_of_a_column_goes_into_the_kth_scan(sent: list[Sample]) -> None:
    scans = Collector(GROUP).scans(sent, NOW)
    queues: dict[int, list[tuple[object, int, int]]] = defaultdict(list)
    for each in sent:
        queues[each.column].append((each.value, each.status, each.time))
    found: dict[int, list[tuple[object, int, int]]] = defaultdict(list)
    for turn, scan in enumerate(scans):
        assert scan.gateway_time == NOW
        for column, cell in cells(scan).items():
            assert len(found[column]) == turn
            found[column].append(cell)
    assert found == queues


def test_what_is_all_good_and_of_one_time_is_a_plain_row() -> None:
    sent = [Sample(i, KINDS[i], value, 0, NOW) for i, value in enumerate([True, -1, 2**64 - 1, 0.5, 1.5, "x"])]
    (scan,) = Collector(GROUP).scans(sent, NOW + 5)
    assert (scan.source_time, scan.gateway_time, scan.status, scan.columns) == (NOW, NOW + 5, None, None)


def test_values_that_do_not_fit_are_dropped_and_their_neighbours_are_not() -> None:
    sent = [
        Sample(0, Kind.BYTE, 1, 0, NOW),
        Sample(3, ARRAY, [1.0], 0x40000000, NOW),
        Sample(4, Kind.NULL, None, 0x80050000, NOW),
        Sample(1, Kind.INT64, 7, 0, NOW),
    ]
    (scan,) = Collector(GROUP).scans(sent, NOW)
    mismatch = StatusCode.BAD_TYPE_MISMATCH
    assert cells(scan) == {
        0: (False, mismatch, NOW),
        1: (7, 0, NOW),
        3: (0.0, mismatch, NOW),
        4: (0.0, 0x80050000, NOW),
    }


def test_a_confirmation_has_a_time_for_each_value() -> None:
    scan = Collector(GROUP).confirm([Sample(0, Kind.BOOLEAN, True, 0, NOW - 9)], NOW)
    assert not isinstance(scan.source_time, int)
    assert int(scan.source_time[0]) == NOW - 9


def test_the_time_of_a_value() -> None:
    assert pick_time(NOW - 1, NOW, NOW + 1) == NOW - 1
    assert pick_time(None, NOW, NOW + 1) == NOW
    assert pick_time(EARLIEST - 1, NOW, NOW + 1) == NOW
    assert pick_time(NOW + LEAD + 1, None, NOW) == NOW
    assert pick_time(EARLIEST, None, NOW) == EARLIEST


def test_overflow_is_seen_whatever_the_severity() -> None:
    assert Sample(0, 1, True, OVERFLOW, NOW).overflowed
    assert Sample(0, 1, True, 0x80050000 | OVERFLOW, NOW).overflowed
    assert not Sample(0, 1, True, 0x80, NOW).overflowed

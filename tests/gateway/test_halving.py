from __future__ import annotations

from dataclasses import replace

import numpy as np

from gateway.halving import halves, pick, singles
from gateway.journal import codec
from gateway.model import Rows
from tests.gateway.build import NOW, group, scan

of = group("uint16", "uint16", "float64", "string")


def rows(count: int = 2) -> Rows:
    status = np.array([0, 0x8000_0000, 0, 0], np.uint32)
    scans = [scan(of, [i, 10 + i, i / 2, f"s{i}"], NOW + i, status) for i in range(count)]
    return codec.decode(of.schema, count, codec.encode(scans))


def test_columns_are_cut_before_rows_and_a_value_is_not_cut() -> None:
    left, right = halves(rows())
    assert [c.name for c in left.schema.columns] == ["t0", "t1"]
    assert [c.name for c in right.schema.columns] == ["t2", "t3"]
    assert right.values[1].tolist() == [["s0"], ["s1"]]
    one = pick(rows(), [1])
    upper, lower = halves(one)
    assert (upper.points, lower.points) == (1, 1)
    assert lower.source_time.tolist() == [NOW + 1]
    assert halves(lower) == ()


def test_picking_keeps_status_and_order() -> None:
    some = pick(rows(), [1, 3])
    assert some.status is not None
    assert some.status.tolist() == [[0x8000_0000, 0]] * 2
    assert [plane.shape for plane in some.values] == [(2, 1), (2, 1)]


def test_singles_are_all_values_that_are_there() -> None:
    ones = list(singles(pick(rows(2), [1, 3])))
    assert [one.values[0].tolist() for one in ones] == [[[10]], [[11]], [["s0"]], [["s1"]]]
    absent = replace(rows(2), present=np.array([[True, False, False, False], [False, False, False, True]]))
    assert [one.values[0].tolist() for one in singles(absent)] == [[[0]], [["s1"]]]

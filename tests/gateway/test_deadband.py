from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from gateway.clock import SECOND
from gateway.deadband import Deadband, deadbands
from gateway.model import Scan, TagGroup, ValueType
from tests.gateway.build import NOW, group, scan


@pytest.fixture
def of() -> TagGroup:
    """t0 is stored on a change of more than 0.5, t1 always."""
    plain = group("float64", "float64")
    return replace(plain, columns=(replace(plain.columns[0], deadband=0.5), plain.columns[1]))


def put(deadband: Deadband, row: Scan) -> Scan | None:
    news = deadband.filter(row)
    if news is not None:
        deadband.stored(news)
    return news


def stored(row: Scan | None) -> list[bool]:
    if row is None:
        return [False, False]
    return [True, True] if row.columns is None else [bool(flag) for flag in row.columns]


def test_only_a_change_larger_than_the_band_is_stored(of: TagGroup) -> None:
    deadband = Deadband(of)
    rows = [put(deadband, scan(of, [value, 0.0], NOW + i)) for i, value in enumerate([1, 1.5, 1.51, 1.2, 0.9])]
    assert [stored(row)[0] for row in rows] == [True, False, True, False, True]
    assert all(stored(row)[1] for row in rows)


def test_slow_drift_is_measured_from_what_was_stored(of: TagGroup) -> None:
    deadband = Deadband(of)
    kept = [stored(put(deadband, scan(of, [i * 0.1, 0.0], NOW + i)))[0] for i in range(20)]
    assert sum(kept) == 4


def test_a_change_of_quality_is_always_stored(of: TagGroup) -> None:
    deadband = Deadband(of)
    bad = np.array([0x8000_0000, 0], np.uint32)
    rows = [scan(of, [1.0, 0.0]), scan(of, [1.0, 0.0], status=bad), scan(of, [1.0, 0.0], status=bad), scan(of, [1, 0])]
    assert [stored(put(deadband, row))[0] for row in rows] == [True, True, False, True]


def test_a_still_signal_is_stored_once_a_minute(of: TagGroup) -> None:
    deadband = Deadband(of)
    kept = [stored(put(deadband, scan(of, [1.0, 0.0], NOW + i * 10 * SECOND)))[0] for i in range(13)]
    assert kept == [True, *[False] * 6, True, *[False] * 5]


def test_nothing_new_is_no_row_and_absent_columns_stay_absent() -> None:
    plain = group("float64", "string")
    of = replace(plain, columns=tuple(replace(tag, deadband=1.0) for tag in plain.columns))
    assert of.columns[1].type is ValueType.STRING
    deadband = Deadband(of)
    assert stored(put(deadband, scan(of, [1.0, "a"]))) == [True, True]
    assert put(deadband, scan(of, [1.0, "a"])) is None
    only_text = np.array([False, True])
    assert put(deadband, scan(of, [9.0, "a"], columns=only_text)) is None


def test_what_could_not_be_stored_is_still_news(of: TagGroup) -> None:
    """The journal was full, and the source sends it again."""
    deadband = Deadband(of)
    put(deadband, scan(of, [1.0, 0.0]))
    assert stored(deadband.filter(scan(of, [2.0, 0.0])))[0]
    assert stored(deadband.filter(scan(of, [2.0, 0.0])))[0]


def test_groups_without_a_deadband_are_left_alone(of: TagGroup) -> None:
    assert list(deadbands([of, group("float64")])) == [of]

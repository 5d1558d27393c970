"""Several values in one nanosecond survive, and what comes again is not taken for another one."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.clock import MILLISECOND, SECOND
from gateway.journal import codec
from gateway.journal.journal import Journal
from gateway.journal.ties import Ties
from gateway.model import Mask, Scan
from tests.gateway.build import NOW, group, scan
from tests.gateway.journal.test_journal import opened, read_times

of = group("float64", "string", "int16")


def place(ties: Ties, value: float, time: int = NOW, columns: Mask | None = None) -> int:
    row = scan(of, [3, value, "x"], time, columns=columns)
    ties.settle(row)
    assert isinstance(row.source_time, int)
    return row.source_time - NOW


def test_each_gets_a_nanosecond_of_its_own() -> None:
    ties = Ties()
    assert [place(ties, value) for value in range(1000)] == list(range(1000))


def test_what_comes_again_gets_the_time_that_it_had() -> None:
    ties = Ties()
    assert [place(ties, value) for value in (1, 2, 3)] == [0, 1, 2]
    assert [place(ties, value) for value in (2, 1, 3, 4)] == [1, 0, 2, 3]


def test_another_time_is_left_alone() -> None:
    ties = Ties()
    times = [NOW, NOW + MILLISECOND, NOW, NOW + MILLISECOND]
    assert [place(ties, i, time) for i, time in enumerate(times)] == [0, MILLISECOND, 0, MILLISECOND]


def test_a_time_that_a_tie_has_taken_is_not_taken_again() -> None:
    ties = Ties()
    assert [place(ties, 1), place(ties, 2), place(ties, 3, NOW + 1)] == [0, 1, 2]


def test_columns_that_do_not_meet_share_a_time() -> None:
    """A topic a tag: each message brings another column of the same moment."""
    ties = Ties()
    one, other = np.array([True, False, False]), np.array([False, True, True])
    assert place(ties, 1, columns=one) == 0
    assert place(ties, 1, columns=other) == 0
    assert place(ties, 2, columns=other) == 1
    assert place(ties, 2, columns=one) == 0


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 3)), max_size=30))
def test_two_rows_of_a_time_never_share_it(rows: list[tuple[int, int]]) -> None:
    """In the order of time, which is how devices speak."""
    ties = Ties()
    taken: dict[int, int] = {}
    for time, value in sorted(rows, key=lambda row: row[0]):
        at = place(ties, value, NOW + time * MILLISECOND)
        assert taken.setdefault(at, value) == value


def test_each_value_of_a_row_is_kept_apart_from_the_one_before() -> None:
    wide = group("float64", "float64")
    ties = Ties()
    placed = []
    for values, times in (([1, 1], [0, 0]), ([2, 1], [0, 0]), ([3, 9], [0, 7]), ([3, 9], [0, 7])):
        row = scan(wide, values, np.array(times, np.int64) + NOW)
        ties.settle(row)
        placed.append((np.asarray(row.source_time) - NOW).tolist())
    assert placed == [[0, 0], [1, 0], [2, 7], [2, 7]]


def test_what_was_stored_before_a_restart_is_remembered() -> None:
    before = Ties()
    rows = [scan(of, [3, value, "x"]) for value in (1, 2, 3)]
    for row in rows:
        before.settle(row)
    after = Ties()
    after.remember(codec.decode(of.schema, 3, codec.encode(rows)))
    assert [place(after, value) for value in (3, 2, 7)] == [2, 1, 3]


async def test_a_redelivery_after_a_restart_overwrites_nothing(tmp_path: Path) -> None:
    small = group("float64")
    async with opened(tmp_path, "cloud") as journal:
        for value in (1, 2):
            journal.append(scan(small, [value]))
    async with opened(tmp_path, "cloud") as journal:
        durable = asyncio.Event()
        journal.append(scan(small, [2]))
        journal.append(scan(small, [3]), durable.set)
        await durable.wait()
        assert [source - NOW for source, _ in await read_times(journal)] == [0, 1, 1, 2]


async def test_a_moment_that_spans_several_commits_and_a_restart_is_one(tmp_path: Path) -> None:
    """A clock of whole seconds: several commits bear one time, and after a restart there is more of it."""
    small = group("float64")
    async with opened(tmp_path, "cloud") as journal:
        for value in (1, 2, 3):
            await keep(journal, scan(small, [value]))
    async with opened(tmp_path, "cloud") as journal:
        for value in (3, 4):
            await keep(journal, scan(small, [value]))
        assert [source - NOW for source, _ in await read_times(journal)] == [0, 1, 2, 2, 3]


def test_more_of_a_time_of_which_only_the_end_is_remembered() -> None:
    """A thousand commits were of this second, and not all of them are looked at after a restart."""
    rows = [scan(of, [3, value, "x"], NOW + 800 + value) for value in (1, 2, 3)]
    after = Ties()
    after.remember(codec.decode(of.schema, 3, codec.encode(rows)))
    assert [place(after, value) for value in (7, 2, 8)] == [804, 802, 805]
    assert place(after, 1, columns=np.array([False, True, False])) == 806
    assert place(after, 9, NOW + SECOND) == SECOND


@pytest.mark.parametrize("earlier", [NOW - MILLISECOND, NOW + 799, NOW - 1000])
def test_a_device_that_looks_back_after_a_restart_keeps_its_time(earlier: int) -> None:
    last = NOW if earlier == NOW - 1000 else NOW + 801
    after = Ties()
    after.remember(codec.decode(of.schema, 1, codec.encode([scan(of, [3, 1, "x"], last)])))
    assert place(after, 2, earlier) == earlier - NOW


async def test_what_is_remembered_lies_in_several_segments(tmp_path: Path) -> None:
    """Of which the older ones may be gone already, because every sink has them."""
    small = group("float64")
    async with opened(tmp_path, "cloud") as journal:
        await keep(journal, scan(small, [1]))
        await read_times(journal)
    for value in (2, 3, 4):
        async with opened(tmp_path, "cloud") as journal:
            await journal.tidy()
            await keep(journal, scan(small, [value], NOW + SECOND))
    async with opened(tmp_path, "cloud") as journal:
        assert [source - NOW - SECOND for source, _ in await read_times(journal)] == [0, 1, 2]


async def keep(journal: Journal, row: Scan) -> None:
    """On disk, in a commit of its own, when this returns."""
    durable = asyncio.Event()
    journal.append(row, durable.set)
    await durable.wait()


@pytest.mark.parametrize("bad", [True, False])
def test_a_row_without_a_status_says_the_same_as_one_that_is_all_good(bad: bool) -> None:
    ties = Ties()
    status = np.array([0x8000_0000 if bad else 0, 0, 0], np.uint32)
    place(ties, 1)
    row = scan(of, [3, 1, "x"], status=status)
    ties.settle(row)
    assert row.source_time == NOW + bad

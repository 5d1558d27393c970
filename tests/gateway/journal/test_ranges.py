from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.journal.ranges import Ranges

spans = st.tuples(st.integers(0, 40), st.integers(0, 40)).map(lambda pair: (min(pair), max(pair)))
steps = st.lists(st.tuples(st.booleans(), spans), max_size=30)


def members(ranges: Ranges) -> set[int]:
    return {number for start, stop in ranges for number in range(start, stop)}


@given(steps)
def test_behaves_like_a_set_of_numbers(moves: list[tuple[bool, tuple[int, int]]]) -> None:
    ranges, model = Ranges(), set[int]()
    for adds, (start, stop) in moves:
        if adds:
            ranges.add(start, stop)
            model |= set(range(start, stop))
        else:
            ranges.remove(start, stop)
            model -= set(range(start, stop))
        assert members(ranges) == model


@given(steps)
def test_ranges_stay_sorted_disjoint_and_apart(moves: list[tuple[bool, tuple[int, int]]]) -> None:
    ranges = Ranges()
    for adds, (start, stop) in moves:
        (ranges.add if adds else ranges.remove)(start, stop)
    edges = [edge for pair in ranges for edge in pair]
    assert edges == sorted(set(edges))


@given(st.lists(spans), spans)
def test_within_is_the_intersection(parts: list[tuple[int, int]], window: tuple[int, int]) -> None:
    ranges = Ranges(parts)
    inside = Ranges(ranges.within(*window))
    assert members(inside) == members(ranges) & set(range(*window))
    first = ranges.first(*window)
    assert (first is None) == (not members(inside))
    assert first is None or first == next(iter(inside))

"""How large writes become, against servers of known cost. Durations are given in, so nothing is waited for."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from gateway.clock import MILLISECOND, SECOND
from gateway.pace import LEAST, MOST, TARGET, Pace

Server = Callable[[int], int]
"""How long it takes for so many points, in nanoseconds."""


def server(fixed_ms: float, point_us: float, noise: float = 0.0) -> Server:
    chance = random.Random(1)
    return lambda points: round((fixed_ms * 1e6 + points * point_us * 1e3) * (1 + noise * chance.random()))


def settle(pace: Pace, server: Server, live: int = 0, writes: int = 200) -> list[int]:
    """The durations of full writes, of which each comes after one of `live` points."""
    durations = []
    for _ in range(writes):
        if live:
            pace.took(live, server(live))
        points = pace.size
        durations.append(server(points))
        pace.took(points, durations[-1])
    return durations


@pytest.mark.parametrize("live", [0, 300])
@pytest.mark.parametrize("point_us", [5.0, 50.0, 500.0])
def test_a_write_takes_about_100_ms(point_us: float, live: int) -> None:
    durations = settle(Pace(), server(2, point_us, noise=0.2), live)
    assert all(TARGET / 2 <= duration <= 1.5 * TARGET for duration in durations[50:])


@pytest.mark.parametrize("live", [0, 300])
def test_a_distant_server_gets_no_smaller_writes(live: int) -> None:
    """300 ms there and back, and 5 us a point: writes of 100 ms there are none."""
    pace = Pace()
    durations = settle(pace, server(300, 5, noise=0.05), live)
    assert max(durations[50:]) <= 600 * MILLISECOND
    sizes = []
    for _ in range(100):
        sizes.append(pace.size)
        pace.took(pace.size, server(300, 5)(pace.size))
    assert sum(sizes) / len(sizes) >= 10_000


def test_the_size_has_bounds() -> None:
    fast, slow = Pace(), Pace()
    settle(fast, server(1, 0.01))
    settle(slow, server(1, 50_000))
    assert (fast.size, slow.size) == (MOST, LEAST)


def test_a_small_write_says_nothing_about_a_large_one() -> None:
    pace = Pace()
    size = pace.size
    for _ in range(100):
        pace.took(3, 20 * MILLISECOND)
    assert pace.size == size


def test_it_follows_a_server_that_gets_slow_and_recovers() -> None:
    pace = Pace()
    settle(pace, server(2, 5))
    settle(pace, server(2, 500), writes=30)
    assert pace.size <= 300
    settle(pace, server(2, 5), writes=60)
    assert pace.size >= 15_000


def test_a_write_that_came_to_nothing_after_long_was_too_much() -> None:
    pace = Pace()
    settle(pace, server(2, 5))
    size = pace.size
    pace.failed(1 * MILLISECOND)
    assert pace.size == size, "refused at once: that says nothing"
    for _ in range(20):
        pace.failed(10 * SECOND)
    assert pace.size == LEAST


def test_what_was_too_large_is_a_bound_that_loosens_slowly() -> None:
    """A server that takes 3,000 points at most, and would be fast enough for more."""
    pace = Pace()
    refusals = 0
    for _ in range(1000):
        points = pace.size
        while points > 3000:
            refusals += 1
            pace.too_large(points)
            points //= 2
        if points < pace.size:
            pace.judged(guilty=False)
        pace.took(points, server(1, 1)(points))
    assert pace.size >= 1500
    assert refusals <= 25


def test_a_value_that_is_too_large_makes_no_write_smaller() -> None:
    pace = Pace()
    size = pace.size
    for points in (5000, 2500, 10, 1):
        pace.too_large(points)
    pace.judged(guilty=True)
    assert pace.size == size

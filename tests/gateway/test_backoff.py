from __future__ import annotations

import random

from gateway.backoff import Backoff
from gateway.clock import SECOND


def test_waits_grow_and_stay_below_the_ceiling() -> None:
    backoff = Backoff(SECOND, 60 * SECOND, chance=random.Random(1))
    waits = [backoff.fail() for _ in range(40)]
    assert all(SECOND // 2 <= wait <= min(60 * SECOND, SECOND << number + 1) for number, wait in enumerate(waits))
    assert max(waits) > 30 * SECOND


def test_gateways_do_not_come_back_in_the_same_second() -> None:
    """A1: a thousand of them, after the same outage."""
    seconds = [0] * 60
    for seed in range(1000):
        backoff = Backoff(chance=random.Random(seed))
        for _ in range(10):
            wait = backoff.fail()
        seconds[min(59, wait // SECOND)] += 1
    assert max(seconds) <= 2 * 1000 / 60


def test_only_a_lasting_success_counts() -> None:
    backoff = Backoff(chance=random.Random(1))
    for _ in range(5):
        backoff.fail(lasted=59 * SECOND)
    assert backoff.failures == 5
    backoff.fail(lasted=60 * SECOND)
    assert backoff.failures == 1

from __future__ import annotations

import pytest

from gateway.clock import MILLISECOND, SECOND
from gateway.share import LEAST, MOST, Share


def contend(share: Share, live_ms: int, backlog_ms: int, age: int, turns: int = 4000) -> float:
    """Both sides always wait. Returns the backlog's part of the time."""
    spent = {True: 0, False: 0}
    for _ in range(turns):
        live = not share.is_backlogs_turn
        duration = (live_ms if live else backlog_ms) * MILLISECOND
        share.spend(duration, live)
        spent[live] += duration
        if live:
            share.arrived(age)
    return spent[False] / (spent[True] + spent[False])


@pytest.mark.parametrize(("live_ms", "backlog_ms"), [(100, 100), (10, 100), (100, 10)])
def test_late_live_data_leaves_the_backlog_a_fifth(live_ms: int, backlog_ms: int) -> None:
    assert contend(Share(), live_ms, backlog_ms, 5 * SECOND) == pytest.approx(LEAST, abs=0.02)


@pytest.mark.parametrize(("live_ms", "backlog_ms"), [(100, 100), (10, 100), (100, 10)])
def test_fresh_live_data_leaves_it_four_fifths(live_ms: int, backlog_ms: int) -> None:
    assert contend(Share(), live_ms, backlog_ms, SECOND // 10) == pytest.approx(MOST, abs=0.02)


def test_live_goes_first() -> None:
    assert not Share().is_backlogs_turn


def test_the_share_falls_at_once_and_grows_slowly() -> None:
    share = Share()
    share.arrived(2 * SECOND)
    assert share.backlog == 0.25
    for _ in range(4):
        share.arrived(0)
    assert share.backlog == pytest.approx(0.45)


def test_a_long_write_is_not_held_against_the_backlog_for_ever() -> None:
    share = Share()
    for _ in range(20):
        share.arrived(5 * SECOND)
    share.spend(3600 * SECOND, live=False)
    waited = 0
    while not share.is_backlogs_turn:
        share.spend(100 * MILLISECOND, live=True)
        waited += 100
    assert waited <= 2500

"""On-delay: how long a condition must hold, in good values, before its alarm is raised."""

from __future__ import annotations

import math

import pytest

from gateway.model import AlarmChanged, AlarmState, StatusCode
from rules.engine import Engine
from tests.rules.plant import PUMP, SECOND, Bench, group, rule, scan, states

UNACKNOWLEDGED, RETURNED = AlarmState.UNACKNOWLEDGED, AlarmState.RETURNED

BRIEF = group(stale_after=SECOND, hot="float64", flow="uint16")
SLOW = rule("slow", {"tag": "pump/hot", "high": 80, "deadband": 5}, on_delay="2s")


def test_an_on_delay_is_over_with_a_scan() -> None:
    bench = Bench(SLOW)
    assert bench.judge(hot=90.0) == []
    assert not bench.engine.alarms()[0].active
    bench.wait(1.999)
    assert bench.judge(hot=91.0) == []
    bench.wait(0.001)
    [raised] = bench.judge(hot=92.0)
    assert isinstance(raised, AlarmChanged)
    assert (raised.time, raised.value) == (bench.clock.now(), 92.0)
    assert bench.engine.next_due() is None


def test_an_on_delay_is_over_without_a_scan() -> None:
    bench = Bench(SLOW)
    bench.judge(hot=90.0)
    assert bench.engine.next_due() == 2 * SECOND
    bench.wait(1.999)
    assert bench.tick() == []
    bench.wait(0.001)
    assert states(bench.tick()) == [("slow", UNACKNOWLEDGED)]
    assert bench.tick() == []
    assert bench.engine.next_due() is None
    bench.wait(5)
    assert bench.judge(hot=90.0) == []


def test_a_value_that_returns_in_time_raises_nothing() -> None:
    bench = Bench(SLOW)
    bench.judge(hot=90.0)
    bench.wait(1)
    assert bench.judge(hot=70.0) == []
    assert bench.engine.next_due() is None
    bench.wait(5)
    assert bench.tick() == []
    bench.judge(hot=90.0)
    assert bench.engine.next_due() == 8 * SECOND, "the delay starts anew"


def test_within_the_deadband_the_delay_goes_on() -> None:
    bench = Bench(SLOW)
    bench.judge(hot=81.0)
    bench.wait(2)
    assert states(bench.judge(hot=76.0)) == [("slow", UNACKNOWLEDGED)]


def test_clearing_has_no_delay() -> None:
    bench = Bench(SLOW)
    bench.judge(hot=81.0)
    bench.wait(2)
    bench.tick()
    assert states(bench.judge(hot=75.0)) == [("slow", RETURNED)]


@pytest.mark.parametrize(
    ("status", "value"), [(StatusCode.BAD, 90.0), (StatusCode.UNCERTAIN, 90.0), (StatusCode.GOOD, math.nan)]
)
def test_a_value_that_is_not_good_starts_the_delay_anew(status: int, value: float) -> None:
    bench = Bench(SLOW)
    bench.judge(hot=90.0)
    bench.wait(1)
    assert bench.judge({"hot": status}, hot=value) == []
    assert bench.engine.next_due() is None
    bench.wait(1)
    assert bench.judge(hot=90.0) == []
    assert bench.engine.next_due() == 4 * SECOND
    bench.wait(2)
    assert states(bench.tick()) == [("slow", UNACKNOWLEDGED)]


def test_after_a_bad_value_the_deadband_does_not_count() -> None:
    bench = Bench(SLOW)
    bench.judge(hot=90.0)
    bench.judge({"hot": StatusCode.BAD}, hot=90.0)
    bench.judge(hot=78.0)
    assert bench.engine.next_due() is None


def test_a_bad_value_does_not_raise_even_when_the_delay_is_over() -> None:
    bench = Bench(SLOW)
    bench.judge(hot=90.0)
    bench.wait(3)
    assert bench.judge({"hot": StatusCode.BAD}, hot=90.0) == []
    assert bench.tick() == []


def test_a_missing_column_says_nothing_about_the_delay() -> None:
    bench = Bench(SLOW)
    bench.judge(hot=90.0)
    bench.wait(2)
    assert bench.judge(flow=1) == [], "only a value, or a tick, may end the delay"
    assert bench.judge({"flow": StatusCode.BAD}, flow=1) == []
    assert states(bench.tick()) == [("slow", UNACKNOWLEDGED)]


def test_a_tag_that_is_not_usable_drops_the_delay() -> None:
    bench = Bench(SLOW)
    bench.judge(hot=90.0)
    bench.wait(2)
    assert bench.tick(usable=False) == []
    assert bench.engine.next_due() is None
    assert bench.tick(usable=True) == []
    assert bench.judge(hot=90.0) == []
    bench.wait(2)
    assert states(bench.tick()) == [("slow", UNACKNOWLEDGED)]


def test_fresh_values_keep_the_delay_going() -> None:
    bench = Bench(SLOW, groups=(BRIEF,))
    bench.judge(hot=90.0)
    bench.wait(1)
    assert bench.judge(hot=90.0) == []
    assert bench.engine.next_due() == 2 * SECOND
    bench.wait(1)
    assert states(bench.judge(hot=90.0)) == [("slow", UNACKNOWLEDGED)]


def test_a_gap_in_which_the_value_went_stale_starts_the_delay_anew() -> None:
    bench = Bench(SLOW, groups=(BRIEF,))
    bench.judge(hot=90.0)
    bench.wait(1.5)
    assert bench.judge(hot=90.0) == []
    assert bench.engine.next_due() == round(3.5 * SECOND)


def test_scans_without_the_value_do_not_keep_it_fresh() -> None:
    bench = Bench(SLOW, groups=(BRIEF,))
    bench.judge(hot=90.0)
    bench.wait(0.9)
    bench.judge(flow=1)
    bench.wait(0.9)
    bench.judge(flow=1)
    assert bench.engine.next_due() is None


def test_delays_are_over_in_the_order_in_which_they_fall_due() -> None:
    tank = group("tank", level="float32")
    late = rule("late", {"tag": "pump/hot", "high": 80}, on_delay="3s")
    level = rule("level", {"tag": "tank/level", "low": 1}, on_delay="1s")
    bench = Bench(late, SLOW, level, groups=(PUMP, tank))
    bench.judge(hot=90.0)
    bench.scan(scan(tank, level=0.5))
    assert bench.engine.next_due() == SECOND
    bench.wait(3)
    assert [name for name, _ in states(bench.tick())] == ["level", "slow", "late"]


def test_the_wall_clock_may_step_during_a_delay() -> None:
    engine = Engine([SLOW], [PUMP], prefix="")
    engine.judge(scan(PUMP, hot=90.0), now=10**18, monotonic=0)
    assert not engine.tick(10**18 + 3600 * SECOND, SECOND, lambda tag: True)
    [raised] = engine.tick(5, 2 * SECOND, lambda tag: True)
    assert isinstance(raised, AlarmChanged)
    assert raised.time == 5

"""An engine that goes on where another one stands, rule by rule."""

from __future__ import annotations

import pytest

from gateway.model import AlarmState, Command, StatusCode, TagGroup
from rules.engine import Engine
from rules.settings import Rule
from tests.rules.plant import PUMP, Bench, group, rule, states

HOT = rule("hot", {"tag": "pump/hot", "high": 80, "deadband": 5}, write={"tag": "pump/run", "value": False})
SLOW = rule("slow", {"tag": "pump/hot", "high": 90}, on_delay="10s")
FLOW = rule("flow", {"tag": "pump/flow", "low": 5})


def succeed(bench: Bench, *rules: Rule, groups: tuple[TagGroup, ...] = (PUMP,)) -> None:
    """Another engine with these rules takes over."""
    engine = Engine(rules, groups, prefix="boot-2")
    engine.adopt(bench.engine)
    bench.engine = engine


def test_an_alarm_stands_where_it_stood() -> None:
    bench = Bench(HOT)
    bench.judge(hot=81)
    bench.acknowledge("hot")
    before = bench.engine.alarms()
    succeed(bench, FLOW, SLOW, HOT)
    assert bench.engine.alarms()[2:] == before
    assert bench.judge(hot=82) == [], "it is not raised again, and nothing is written again"
    assert bench.judge(hot=76) == [], "the deadband counts from where it stood"
    assert states(bench.judge(hot=75)) == [("hot", AlarmState.NORMAL)]
    first, *_ = bench.judge(hot=81)
    assert isinstance(first, Command)
    assert first.id == "boot-2/hot#1"


def test_acknowledging_goes_on() -> None:
    bench = Bench(HOT)
    bench.judge(hot=81)
    succeed(bench, HOT)
    bench.acknowledge("hot")
    assert bench.state("hot") is AlarmState.ACKNOWLEDGED


def test_what_is_missing_leaves_the_last_value_as_it_was() -> None:
    bench = Bench(HOT)
    bench.judge(hot=81)
    succeed(bench, HOT)
    assert bench.judge(flow=3) == []
    assert bench.judge({"hot": StatusCode.BAD}, hot=20) == []
    assert bench.state("hot") is AlarmState.UNACKNOWLEDGED


@pytest.mark.parametrize("others", [(), (FLOW, HOT)])
def test_an_on_delay_runs_on(others: tuple[Rule, ...]) -> None:
    bench = Bench(SLOW)
    bench.judge(hot=91)
    bench.wait(6)
    succeed(bench, *others, SLOW)
    bench.wait(3)
    assert bench.tick() == []
    bench.wait(1)
    assert states(bench.tick()) == [("slow", AlarmState.UNACKNOWLEDGED)]
    assert bench.engine.next_due() is None


def test_an_on_delay_that_runs_on_ends_with_a_bad_value() -> None:
    bench = Bench(SLOW)
    bench.judge(hot=91)
    succeed(bench, SLOW)
    bench.judge({"hot": StatusCode.BAD}, hot=91)
    assert bench.engine.next_due() is None


def test_a_rule_that_changed_starts_anew() -> None:
    bench = Bench(HOT)
    bench.judge(hot=90)
    succeed(bench, rule("hot", {"tag": "pump/hot", "high": 85, "deadband": 5}))
    assert bench.state("hot") is AlarmState.NORMAL
    assert states(bench.judge(hot=90)) == [("hot", AlarmState.UNACKNOWLEDGED)]


def test_a_rule_on_another_group_starts_anew() -> None:
    bench = Bench(HOT, SLOW)
    bench.judge(hot=95)
    other = group(hot="float64", flow="uint16", run="bool")
    succeed(bench, HOT, SLOW, groups=(other,))
    assert bench.state("hot") is AlarmState.NORMAL
    assert bench.engine.next_due() is None
    bench.groups["pump"] = other
    assert states(bench.judge(hot=81)) == [("hot", AlarmState.UNACKNOWLEDGED)]


def test_a_rule_that_is_gone() -> None:
    bench = Bench(HOT, SLOW)
    bench.judge(hot=95)
    succeed(bench, FLOW)
    assert [status.alarm for status in bench.engine.alarms()] == ["flow"]
    assert bench.engine.next_due() is None
    bench.wait(60)
    assert bench.tick() == []

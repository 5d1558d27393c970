"""A bug in one rule costs that rule, and no other. There is none that we know of, so these are made."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from gateway.bus import Outcome
from gateway.model import AlarmState, Command, RuleFailed, Scan, Value
from rules.condition import Transition
from rules.conditions import limit, when
from rules.expression.compiler import Row
from rules.settings import Rule
from tests.rules import plant, test_when
from tests.rules.plant import PUMP, SECOND, group, rule, states

UNACKNOWLEDGED = AlarmState.UNACKNOWLEDGED
PRESS = group("press", run="bool")

BROKEN = rule("broken", {"tag": "pump/hot", "high": 50}, on_delay="2s")
HOT = rule("hot", {"tag": "pump/hot", "high": 80}, write={"tag": "press/run", "value": False})
FLOW = rule("flow", {"tag": "pump/flow", "low": 5}, on_delay="2s")


class Bug(Exception):
    """As it would not be expected."""


def break_limit(monkeypatch: pytest.MonkeyPatch, key: int) -> None:
    """From now on the rule with this key cannot be judged."""
    judge = limit.Condition.judge

    def broken(self: limit.Condition, scan: Scan) -> Sequence[Transition]:
        if key in self._places:
            raise Bug("on purpose")
        return judge(self, scan)

    monkeypatch.setattr(limit.Condition, "judge", broken)


def failures(answers: Sequence[Outcome]) -> list[str]:
    return [answer.rule for answer in answers if isinstance(answer, RuleFailed)]


def faults(bench: plant.Bench | test_when.Bench) -> dict[str, str]:
    return {status.alarm: status.fault for status in bench.engine.alarms() if status.fault}


def test_the_other_limits_of_a_group_are_judged_on_the_same_scan(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = plant.Bench(FLOW, BROKEN, HOT, groups=(PUMP, PRESS))
    bench.judge(hot=60.0, flow=3)
    break_limit(monkeypatch, key=1)
    bench.wait(1)
    answers = bench.judge(hot=90.0, flow=3)
    assert failures(answers) == ["broken"]
    assert states(answers) == [("hot", UNACKNOWLEDGED)]
    assert [answer.tag for answer in answers if isinstance(answer, Command)] == ["press/run"]
    assert faults(bench) == {"broken": "Bug: on purpose"}
    bench.wait(1)
    assert states(bench.tick()) == [("flow", UNACKNOWLEDGED)], "its delay went on, and that of the broken rule ended"
    assert states(bench.judge(hot=70.0, flow=9)) == [("flow", AlarmState.RETURNED), ("hot", AlarmState.RETURNED)]
    assert failures(bench.judge(hot=90.0, flow=3)) == [], "it is told once"


def test_a_limit_that_is_alone_is_quarantined(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = plant.Bench(HOT, groups=(PUMP, PRESS))
    bench.judge(hot=90.0)
    break_limit(monkeypatch, key=0)
    assert failures(bench.judge(hot=20.0)) == ["hot"]
    assert bench.judge(hot=20.0) == []
    assert bench.state("hot") is UNACKNOWLEDGED, "nobody knows, so it stays"


def break_expression(bench: test_when.Bench, name: str) -> None:
    watch = next(watch for watch in bench.engine._watches if watch.alarm.name == name)
    assert isinstance(watch.condition, when.Condition)

    def broken(row: Row) -> Value | None:
        raise Bug("on purpose")

    watch.condition._rules[watch.key].when = broken


def expressions() -> list[Rule]:
    return [
        test_when.when("broken", "pump/hot > 50", on_delay="2s"),
        test_when.when("dry", "pump/hot > 80 and press/run"),
    ]


def test_the_other_expressions_are_judged_on_the_same_scan() -> None:
    bench = test_when.Bench(*expressions())
    bench.press(run=True)
    bench.pump(hot=60.0)
    break_expression(bench, "broken")
    answers = bench.pump(hot=90.0)
    assert failures(answers) == ["broken"]
    assert states(answers) == [("dry", UNACKNOWLEDGED)]
    assert faults(bench) == {"broken": "Bug: on purpose"}
    assert bench.engine.next_due() is None, "its on-delay has ended"
    assert states(bench.pump(hot=60.0)) == [("dry", AlarmState.RETURNED)]


def test_an_expression_that_fails_when_a_value_goes_stale() -> None:
    bench = test_when.Bench(*expressions())
    bench.pump(hot=60.0)
    break_expression(bench, "broken")
    bench.wait(2)
    assert failures(bench.tick()) == ["broken"]
    assert bench.tick() == []


def test_what_is_read_anew_is_judged_anew() -> None:
    bench = test_when.Bench(*expressions())
    break_expression(bench, "broken")
    bench.pump(hot=60.0)
    bench.succeed(*expressions())
    assert faults(bench) == {}
    bench.pump(hot=60.0)
    assert bench.engine.next_due() == 2 * SECOND

from __future__ import annotations

import math

import pytest

from gateway.errors import CommandRefused, ConfigError
from gateway.model import AlarmChanged, AlarmState, Command, StatusCode
from rules.engine import Engine
from rules.settings import Rule
from tests.rules.plant import PUMP, SECOND, Bench, group, rule, scan, states

NORMAL, UNACKNOWLEDGED, ACKNOWLEDGED, RETURNED = AlarmState

HOT = rule("hot", {"tag": "pump/hot", "high": 80, "deadband": 5}, priority="high", message="the pump is hot")


def test_an_alarm_is_raised_acknowledged_and_cleared() -> None:
    bench = Bench(HOT)
    assert bench.judge(hot=80.0) == []
    bench.wait(1)
    assert bench.judge(hot=81.5) == [
        AlarmChanged(
            time=bench.clock.now(),
            alarm="hot",
            tag="pump/hot",
            state=UNACKNOWLEDGED,
            previous=NORMAL,
            priority="high",
            value=81.5,
            message="the pump is hot",
            move="raise",
            revision=HOT.revision(),
        )
    ]
    assert bench.judge(hot=99.0) == []
    seen = bench.acknowledge("hot")
    assert (seen.previous, seen.state, seen.actor) == (UNACKNOWLEDGED, ACKNOWLEDGED, "ann")
    assert bench.judge(hot=76.0) == []
    assert states(bench.judge(hot=75.0)) == [("hot", NORMAL)]


def test_an_alarm_that_went_by_itself_is_still_to_be_seen() -> None:
    bench = Bench(HOT)
    bench.judge(hot=90.0)
    assert states(bench.judge(hot=20.0)) == [("hot", RETURNED)]
    assert states(bench.judge(hot=90.0)) == [("hot", UNACKNOWLEDGED)]
    bench.judge(hot=20.0)
    assert bench.acknowledge("hot").state is NORMAL


def test_what_cannot_be_acknowledged_is_refused_and_changes_nothing() -> None:
    bench = Bench(HOT)
    before = bench.engine.alarms()
    with pytest.raises(CommandRefused, match="there is no alarm hto"):
        bench.acknowledge("hto")
    with pytest.raises(CommandRefused, match="alarm hot is normal: there is nothing to acknowledge"):
        bench.acknowledge("hot")
    assert bench.engine.alarms() == before


def test_alarms_stand_in_the_order_of_the_rules() -> None:
    tank = group("tank", level="float32")
    level = rule("level", {"tag": "tank/level", "low": 1})
    flow = rule("flow", {"tag": "pump/flow", "low": 5})
    bench = Bench(flow, level, HOT, groups=(PUMP, tank))
    bench.judge(hot=90.0, flow=9)
    assert [(each.alarm, each.active, each.value) for each in bench.engine.alarms()] == [
        ("flow", False, None),
        ("level", False, None),
        ("hot", True, 90.0),
    ]


def test_each_scan_is_judged_by_the_rules_of_its_group_only() -> None:
    tank = group("tank", level="float32")
    other = group("other", level="float32")
    bench = Bench(HOT, rule("level", {"tag": "tank/level", "low": 1}), groups=(PUMP, tank, other))
    assert states(bench.scan(scan(tank, level=0.5))) == [("level", UNACKNOWLEDGED)]
    assert bench.scan(scan(other, level=0.5)) == []
    assert states(bench.judge(hot=90.0)) == [("hot", UNACKNOWLEDGED)]


def test_several_rules_may_read_one_tag() -> None:
    hotter = rule("hotter", {"tag": "pump/hot", "high": 95})
    assert states(Bench(HOT, hotter).judge(hot=96.0)) == [("hot", UNACKNOWLEDGED), ("hotter", UNACKNOWLEDGED)]


@pytest.mark.parametrize("status", [StatusCode.BAD, StatusCode.UNCERTAIN, 0xC000_0000])
def test_quality_comes_first(status: int) -> None:
    bench = Bench(HOT)
    assert bench.judge({"hot": status}, hot=99.0) == []
    assert bench.state("hot") is NORMAL
    bench.judge(hot=90.0)
    assert bench.judge({"hot": status}, hot=0.0) == []
    assert bench.judge(hot=math.nan) == []
    assert bench.judge(flow=1) == []
    assert bench.state("hot") is UNACKNOWLEDGED


STOP = rule(
    "stop",
    {"tag": "pump/hot", "high": 80},
    on_delay="2s",
    write={"tag": "press/run", "value": False, "expires_after": "1s"},
)
PRESS = group("press", run="bool")


def test_isolation_writes_when_the_alarm_is_raised_and_at_no_other_time() -> None:
    bench = Bench(STOP, groups=(PUMP, PRESS))
    assert bench.judge(hot=90.0) == []
    bench.wait(2)
    command, event = bench.tick()
    assert command == Command("boot-1/stop#1", "press/run", False, "rule:stop", 3 * SECOND)
    assert isinstance(event, AlarmChanged)
    bench.acknowledge("stop")
    assert states(bench.judge(hot=90.0)) == []
    assert [type(answer) for answer in bench.judge(hot=20.0)] == [AlarmChanged]
    bench.judge(hot=90.0)
    bench.wait(2)
    again, _ = bench.judge(hot=90.0)
    assert isinstance(again, Command)
    assert again.id == "boot-1/stop#2"


def test_isolation_writes_again_for_an_alarm_that_nobody_has_seen() -> None:
    stop = rule("stop", {"tag": "pump/hot", "high": 80}, write={"tag": "press/run", "value": False})
    bench = Bench(stop, groups=(PUMP, PRESS))
    ids = [answer.id for hot in (90.0, 70.0, 90.0) for answer in bench.judge(hot=hot) if isinstance(answer, Command)]
    assert ids == ["boot-1/stop#1", "boot-1/stop#2"]


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (rule("a", {"tag": "pump/cold", "high": 1}), "rule a: there is no tag pump/cold"),
        (rule("b", {"tag": "pump/run", "high": 1}), "rule b: pump/run is bool; a limit needs a number"),
        (rule("c", {"tag": "pump/hot", "high": 1}, write={"tag": "pump/run", "value": 0}), "rule c: 0 is not a value"),
    ],
)
def test_a_rule_that_does_not_suit_its_tags_is_refused(broken: Rule, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Engine([HOT, broken], [PUMP], prefix="")

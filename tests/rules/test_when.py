"""Expressions as conditions: over several groups, by the last values of all that they read."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.clock import ManualClock
from gateway.errors import ConfigError
from gateway.image import Image
from gateway.model import AlarmChanged, AlarmState, Command, Scan, StatusCode, TagGroup, Value
from rules.conditions.when import Settings
from rules.engine import Answer, Engine, Moment
from rules.settings import Rule, RuleSettings
from rules.standing import Standings
from tests.rules.plant import SECOND, group, rule, scan, states

NORMAL, UNACKNOWLEDGED, ACKNOWLEDGED, RETURNED = AlarmState

PUMP = group("pump", stale_after=3 * SECOND, hot="float64", flow="uint16")
PRESS = group("press", stale_after=60 * SECOND, run="bool", mode="string")


def when(name: str, text: str, until: str | None = None, **settings: object) -> Rule:
    condition = Settings.model_validate({"when": text, "until": until} if until else {"when": text})
    return Rule(name, RuleSettings.model_validate(settings), "when", condition)


class Bench:
    """An engine, an image and a clock."""

    def __init__(self, *rules: Rule, groups: tuple[TagGroup, ...] = (PUMP, PRESS)) -> None:
        self.clock = ManualClock()
        self.image = Image(groups)
        self.engine = Engine(rules, groups, prefix="boot-1")

    def succeed(self, *rules: Rule, groups: tuple[TagGroup, ...] = (PUMP, PRESS)) -> None:
        """Another configuration comes into force."""
        image, engine = Image(groups), Engine(rules, groups, prefix="boot-2")
        image.adopt(self.image)
        engine.adopt(self.engine)
        engine.recall(lambda tag: image.read(tag, self.clock.monotonic()))
        self.image, self.engine = image, engine

    def pump(self, status: dict[str, int] | None = None, **values: Value) -> list[Answer]:
        return self.scan(scan(PUMP, status, **values))

    def press(self, status: dict[str, int] | None = None, **values: Value) -> list[Answer]:
        return self.scan(scan(PRESS, status, **values))

    def scan(self, row: Scan) -> list[Answer]:
        self.image.update(row, self.clock.monotonic())
        return list(self.engine.judge(row, self.clock.now(), self.clock.monotonic()))

    def tick(self) -> list[Answer]:
        monotonic = self.clock.monotonic()
        usable = lambda tag: self.image.read(tag, monotonic).usable  # noqa: E731
        return list(self.engine.tick(self.clock.now(), monotonic, usable))

    def wait(self, seconds: float) -> None:
        self.clock.advance(round(seconds * SECOND))

    def state(self, alarm: str) -> AlarmState:
        return next(status.state for status in self.engine.alarms() if status.alarm == alarm)


DRY = when("dry", "pump/hot > 80 and press/run")


def test_it_is_judged_with_each_scan_of_any_group_that_it_reads() -> None:
    bench = Bench(DRY)
    assert bench.pump(hot=90.0) == []
    raised = bench.press(run=True)
    assert states(raised) == [("dry", UNACKNOWLEDGED)]
    assert isinstance(raised[0], AlarmChanged)
    assert (raised[0].tag, raised[0].value) == ("pump/hot", 90.0), "the alarm is about the tag that is named first"
    assert states(bench.pump(hot=70.0)) == [("dry", RETURNED)]
    assert states(bench.pump(hot=81.0)) == [("dry", UNACKNOWLEDGED)]
    assert states(bench.press(run=False)) == [("dry", RETURNED)]


def test_a_scan_of_another_group_judges_nothing() -> None:
    other = group("other", level="float32")
    bench = Bench(DRY, groups=(PUMP, PRESS, other))
    bench.press(run=True)
    assert bench.scan(scan(other, level=90.0)) == []
    assert states(bench.pump(hot=90.0)) == [("dry", UNACKNOWLEDGED)]


def test_a_value_that_is_missing_from_a_scan_stands() -> None:
    bench = Bench(DRY)
    bench.press(run=True)
    bench.pump(hot=90.0)
    assert bench.pump(flow=1) == []
    assert bench.press(mode="auto") == []
    assert bench.state("dry") is UNACKNOWLEDGED


@pytest.mark.parametrize("status", [StatusCode.BAD, StatusCode.UNCERTAIN, 0xC000_0000])
def test_unknown_neither_raises_nor_clears(status: int) -> None:
    bench = Bench(when("idle", "not (pump/hot > 80 and press/run)"), DRY)
    assert bench.pump(hot=90.0) == []
    assert bench.press({"run": status}, run=True) == []
    assert bench.press({"run": status}, run=False) == []
    assert states(bench.press(run=True)) == [("dry", UNACKNOWLEDGED)]
    assert bench.press({"run": status}, run=False) == []
    assert bench.pump(hot=math.nan) == []
    assert bench.pump(hot=math.inf) == []
    assert [bench.state("idle"), bench.state("dry")] == [NORMAL, UNACKNOWLEDGED]


def test_false_and_unknown_is_false_and_clears() -> None:
    bench = Bench(DRY)
    bench.pump(hot=90.0)
    bench.press(run=True)
    bench.press({"run": StatusCode.BAD}, run=True)
    assert states(bench.pump(hot=20.0)) == [("dry", RETURNED)]


def test_true_or_unknown_is_true_and_raises_though_its_first_tag_never_had_a_value() -> None:
    bench = Bench(when("any", "pump/hot > 80 or press/run"))
    raised = bench.press(run=True)
    assert states(raised) == [("any", UNACKNOWLEDGED)]
    assert isinstance(raised[0], AlarmChanged)
    assert raised[0].value is None


def test_a_stale_value_is_unknown() -> None:
    bench = Bench(DRY)
    bench.pump(hot=90.0)
    bench.wait(3.1)
    assert bench.press(run=True) == [], "the heat is too old to say anything"
    assert states(bench.pump(hot=90.0)) == [("dry", UNACKNOWLEDGED)]
    bench.wait(30)
    assert bench.press(run=True) == []
    assert bench.state("dry") is UNACKNOWLEDGED


def test_until_keeps_the_alarm() -> None:
    bench = Bench(when("hot", "pump/hot > 80 and press/run", until="pump/hot < 60"))
    bench.press(run=True)
    assert states(bench.pump(hot=81.0)) == [("hot", UNACKNOWLEDGED)]
    assert bench.pump(hot=70.0) == []
    assert bench.press(run=False) == []
    assert bench.pump({"hot": StatusCode.BAD}, hot=50.0) == []
    assert states(bench.pump(hot=59.0)) == [("hot", RETURNED)]


def test_what_still_holds_is_not_cleared_by_until() -> None:
    bench = Bench(when("both", "pump/hot > 80 or press/run", until="pump/flow > 5"))
    bench.press(run=True)
    assert bench.pump(hot=20.0, flow=9) == []
    bench.press({"run": StatusCode.BAD}, run=False)
    assert bench.pump(hot=20.0, flow=9) == [], "nobody knows"
    assert states(bench.press(run=False)) == [("both", RETURNED)]


SLOW = when("slow", "pump/hot > 80 and press/run", on_delay="2s")


def test_an_on_delay_runs_while_it_holds() -> None:
    bench = Bench(SLOW)
    bench.press(run=True)
    assert bench.pump(hot=90.0) == []
    bench.wait(1)
    assert bench.pump(hot=95.0) == []
    bench.wait(1)
    assert states(bench.pump(hot=91.0)) == [("slow", UNACKNOWLEDGED)]
    assert bench.engine.next_due() is None


def test_an_on_delay_is_over_without_a_scan() -> None:
    bench = Bench(SLOW)
    bench.press(run=True)
    bench.pump(hot=90.0)
    assert bench.engine.next_due() == 2 * SECOND
    bench.wait(2)
    assert states(bench.tick()) == [("slow", UNACKNOWLEDGED)]


def test_an_on_delay_ends_when_it_no_longer_holds() -> None:
    bench = Bench(SLOW)
    bench.press(run=True)
    bench.pump(hot=90.0)
    bench.wait(1)
    assert bench.press(run=False) == []
    assert bench.engine.next_due() is None
    bench.press(run=True)
    assert bench.engine.next_due() == 3 * SECOND


def test_a_bad_value_ends_an_on_delay() -> None:
    bench = Bench(SLOW)
    bench.press(run=True)
    bench.pump(hot=90.0)
    bench.press({"run": StatusCode.BAD}, run=True)
    assert bench.engine.next_due() is None
    bench.wait(2)
    assert bench.tick() == []
    bench.press(run=True)
    bench.pump(hot=90.0)
    assert bench.engine.next_due() == 4 * SECOND, "the delay starts anew"


def test_a_value_that_goes_stale_ends_an_on_delay() -> None:
    bench = Bench(when("slow", "pump/hot > 80 and press/run", on_delay="10s"))
    bench.press(run=True)
    bench.pump(hot=90.0)
    assert bench.engine.next_due() == 3 * SECOND + 1, "somebody has to look when the heat goes stale"
    bench.wait(3.1)
    assert bench.tick() == []
    assert bench.engine.next_due() is None
    bench.wait(7)
    assert bench.tick() == []
    assert bench.state("slow") is NORMAL


def test_a_gap_that_no_tick_saw_ends_an_on_delay_too() -> None:
    bench = Bench(when("slow", "pump/hot > 80 and press/run", on_delay="5s"))
    bench.press(run=True)
    bench.pump(hot=90.0)
    bench.wait(5)
    assert bench.pump(hot=90.0) == [], "it was stale for two seconds"
    bench.wait(2)
    bench.pump(hot=90.0)
    bench.wait(3)
    assert states(bench.pump(hot=90.0)) == [("slow", UNACKNOWLEDGED)]


def test_an_on_delay_goes_on_until_the_end_is_known_and_ends_when_it_is_not() -> None:
    bench = Bench(when("slow", "pump/hot > 80", until="pump/hot < 60 and not press/run", on_delay="2s"))
    bench.press(run=True)
    bench.pump(hot=90.0)
    bench.pump(hot=50.0)
    assert bench.engine.next_due() == 2 * SECOND, "it still holds, as a limit does within its deadband"
    bench.press({"run": StatusCode.BAD}, run=True)
    assert bench.engine.next_due() is None


def test_an_on_delay_does_not_depend_on_what_decides_nothing() -> None:
    bench = Bench(when("slow", "pump/hot > 80 or press/run", on_delay="10s"))
    bench.pump(hot=20.0)
    bench.press(run=True)
    bench.wait(9)
    assert bench.tick() == [], "the heat is stale, and the press still runs"
    bench.wait(1)
    assert states(bench.tick()) == [("slow", UNACKNOWLEDGED)]


def test_it_writes_to_another_device() -> None:
    write = {"tag": "press/run", "value": False, "expires_after": "1s"}
    bench = Bench(when("stop", 'pump/hot > 80 and press/mode == "auto"', write=write))
    bench.press(mode="auto", run=True)
    command, event = bench.pump(hot=90.0)
    assert command == Command("boot-1/stop#1", "press/run", False, "rule:stop", SECOND)
    assert isinstance(event, AlarmChanged)


def test_limits_and_expressions_live_side_by_side() -> None:
    hot = rule("limit", {"tag": "pump/hot", "high": 80})
    bench = Bench(DRY, hot)
    bench.press(run=True)
    assert sorted(states(bench.pump(hot=90.0))) == [("dry", UNACKNOWLEDGED), ("limit", UNACKNOWLEDGED)]
    assert [each.alarm for each in bench.engine.alarms()] == ["dry", "limit"]


def test_another_configuration_goes_on_with_alarms_and_values() -> None:
    bench = Bench(DRY)
    bench.press(run=True)
    bench.pump(hot=90.0)
    new = when("new", "press/run and pump/flow > 5")
    bench.succeed(DRY, new)
    assert bench.state("dry") is UNACKNOWLEDGED
    assert states(bench.pump(flow=9)) == [("new", UNACKNOWLEDGED)], "that the press runs is known from before"
    assert states(bench.press(run=False)) == [("dry", RETURNED), ("new", RETURNED)]


def test_another_configuration_goes_on_with_an_on_delay() -> None:
    bench = Bench(SLOW)
    bench.press(run=True)
    bench.pump(hot=90.0)
    bench.wait(1)
    bench.succeed(SLOW)
    bench.wait(1)
    assert states(bench.tick()) == [("slow", UNACKNOWLEDGED)]


def test_a_rule_that_was_read_again_is_the_same() -> None:
    assert when("dry", "press/run", until="pump/hot < 5") == when("dry", "press/run", until="pump/hot < 5")
    assert when("dry", "press/run") != when("dry", "not press/run")
    assert when("dry", "press/run") != when("dry", "press/run", until="not press/run")


def test_a_rule_whose_text_changed_starts_anew() -> None:
    bench = Bench(DRY)
    bench.press(run=True)
    bench.pump(hot=90.0)
    bench.succeed(when("dry", "pump/hot > 85 and press/run"))
    assert bench.state("dry") is NORMAL
    assert states(bench.press(run=True)) == [("dry", UNACKNOWLEDGED)]


def test_a_group_that_changed_is_unknown_until_it_is_read() -> None:
    bench = Bench(DRY)
    bench.press(run=True)
    bench.pump(hot=90.0)
    changed = group("press", stale_after=60 * SECOND, run="bool", mode="string", more="bool")
    bench.succeed(DRY, groups=(PUMP, changed))
    assert bench.state("dry") is NORMAL
    assert bench.pump(hot=95.0) == []
    assert states(bench.scan(scan(changed, run=True))) == [("dry", UNACKNOWLEDGED)]


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (when("a", "pump/cold > 1"), "rule a: there is no tag pump/cold"),
        (when("b", "pump/hot"), "rule b: an alarm needs what is true or false; this is a number"),
        (when("c", "press/run", until="press/mode"), "rule c: an alarm needs what is true or false; this is a text"),
    ],
)
def test_a_rule_that_does_not_suit_its_tags_is_refused(broken: Rule, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Engine([broken], [PUMP, PRESS], prefix="")


Plain = Callable[[float, bool], bool]


class Reference:
    """One rule at a time, in whole seconds: what may be true by all that the two tags may be, at every second."""

    def __init__(self, begins: Plain, ends: Plain, on_delay: int) -> None:
        self.begins = begins
        self.ends = ends
        self.on_delay = on_delay
        self.heat: float | None = None
        self.run: bool | None = None
        self.heat_until = self.run_until = 0
        self.now = 0
        self.active = False
        self.since: int | None = None

    def wait(self, seconds: int) -> None:
        """A second at a time, and what is stale is gone."""
        for _ in range(seconds):
            self.now += 1
            self.heat = None if self.now > self.heat_until else self.heat
            self.run = None if self.now > self.run_until else self.run
            self.doubt()

    def pump(self, heat: float | None) -> None:
        self.heat, self.heat_until = heat, self.now + 3
        self.judge()

    def press(self, run: bool | None) -> None:
        self.run, self.run_until = run, self.now + 6
        self.judge()

    def judge(self) -> None:
        holds = self.holds()
        if holds is True and not self.active and self.since is None:
            self.since = self.now
        if holds is False:
            self.active, self.since = False, None
        self.doubt()
        self.tick()

    def tick(self) -> None:
        if self.since is not None and self.now >= self.since + self.on_delay:
            self.active, self.since = True, None

    def doubt(self) -> None:
        if self.holds() is None:
            self.since = None

    def holds(self) -> bool | None:
        heats = [50.0, 70.0, 90.0] if self.heat is None else [self.heat]
        runs = [True, False] if self.run is None else [self.run]
        begins = {self.begins(*each) for each in itertools.product(heats, runs)}
        ends = {self.ends(*each) for each in itertools.product(heats, runs)}
        if begins == {True}:
            return True
        if len(begins) > 1:
            return None
        if not self.active and self.since is None:
            return False
        return None if len(ends) > 1 else True not in ends


CASES: list[tuple[Rule, Plain, Plain]] = [
    (DRY, lambda heat, run: heat > 80 and run, lambda heat, run: True),
    (
        when("or", "pump/hot > 80 or press/run", on_delay="4s"),
        lambda heat, run: heat > 80 or run,
        lambda heat, run: True,
    ),
    (
        when("slow", "pump/hot > 80 and press/run", on_delay="2s"),
        lambda heat, run: heat > 80 and run,
        lambda heat, run: True,
    ),
    (
        when("until", "pump/hot > 80", until="pump/hot < 60 and not press/run", on_delay="2s"),
        lambda heat, run: heat > 80,
        lambda heat, run: heat < 60 and not run,
    ),
]
SHORT = group("press", stale_after=6 * SECOND, run="bool", mode="string")

steps = st.one_of(
    st.tuples(st.just("pump"), st.sampled_from([50.0, 70.0, 90.0, 90.0, None])),
    st.tuples(st.just("press"), st.sampled_from([True, True, False, None])),
    st.tuples(st.just("wait"), st.integers(1, 4)),
    st.tuples(st.just("tick"), st.none()),
)


@given(st.lists(steps, max_size=40))
def test_the_engine_agrees_with_one_rule_and_one_second_at_a_time(script: list[tuple[str, object]]) -> None:
    bench = Bench(*(rule for rule, _, _ in CASES), groups=(PUMP, SHORT))
    references = [Reference(begins, ends, rule.settings.on_delay // SECOND) for rule, begins, ends in CASES]
    for name, given_ in script:
        bad = {"hot": StatusCode.BAD, "run": StatusCode.BAD} if given_ is None else None
        match name, given_:
            case "pump", (float() | None) as heat:
                bench.scan(scan(PUMP, bad, hot=99.0 if heat is None else heat))
            case "press", (bool() | None) as run:
                bench.scan(scan(SHORT, bad, run=run is not False))
            case "wait", int() as seconds:
                bench.wait(seconds)
            case _:
                bench.tick()
        for reference in references:
            getattr(reference, name)(*([] if name == "tick" else [given_]))
        assert [status.active for status in bench.engine.alarms()] == [each.active for each in references]


# After a restart


def test_an_expression_goes_on_after_a_restart() -> None:
    hot = when("hot", "pump/hot > 80", until="pump/hot < 70", write={"tag": "press/run", "value": False})
    bench = Bench(hot)
    command, *raised = bench.pump(hot=81.0)
    standings = Standings()
    standings.follow(answer for answer in raised if isinstance(answer, AlarmChanged))
    bench.engine = Engine([hot], [PUMP, PRESS], prefix="boot-2")
    bench.engine.restore(standings.all(), Moment(bench.clock.now(), bench.clock.monotonic()))
    assert bench.pump({"hot": StatusCode.BAD}, hot=20.0) == []
    (again,) = bench.pump(hot=75.0)
    assert isinstance(again, Command)
    assert isinstance(command, Command)
    assert again.id == command.id, "it still holds, and nobody had told how its command ended"
    assert bench.pump(hot=75.0) == []
    assert states(bench.pump(hot=69.0)) == [("hot", AlarmState.RETURNED)]
    assert states(bench.pump(hot=81.0)) == [("hot", AlarmState.UNACKNOWLEDGED)]


def test_an_expression_has_a_revision_of_its_own() -> None:
    assert when("hot", "pump/hot > 80").revision() == when("hot", "pump/hot > 80").revision()
    assert when("hot", "pump/hot > 80").revision() != when("hot", "pump/hot > 81").revision()

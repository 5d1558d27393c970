"""Alarms that go on after a restart, from nothing but the events that were on disk."""

from __future__ import annotations

import pytest

from gateway.model import AlarmState, AnyEvent, Command, CommandDone, Outcome, StatusCode
from rules.alarm import Input
from rules.engine import Answer, Engine, Moment
from rules.settings import Rule
from rules.standing import Standings
from tests.rules.plant import PUMP, SECOND, Bench, rule, states

NORMAL, UNACKNOWLEDGED, ACKNOWLEDGED, RETURNED = AlarmState
HOUR = 3600

HOT = rule("hot", {"tag": "pump/hot", "high": 80, "deadband": 5}, write={"tag": "pump/run", "value": False})
LOW = rule("low", {"tag": "pump/flow", "low": 5, "deadband": 2})
LATCHED = rule("hot", {"tag": "pump/hot", "high": 80}, latched=True)


class Life(Bench):
    """A bench whose events are on disk, and which dies and lives again."""

    def __init__(self, *rules: Rule) -> None:
        super().__init__(*rules)
        self.rules = rules
        self.disk: list[AnyEvent] = []

    def see(self, **values: float) -> list[Answer]:
        answers = self.judge(**values)
        self.disk += [answer for answer in answers if not isinstance(answer, Command)]
        return answers

    def hand(self, given: Input, comment: str = "", seconds: float = 0) -> None:
        self.disk.append(self.do("hot", given, "ann", comment, seconds))

    def end(self, command: Answer, outcome: Outcome = Outcome.DONE) -> None:
        """A command ended, and that is on disk."""
        assert isinstance(command, Command)
        self.disk.append(CommandDone(self.clock.now(), command.id, command.tag, False, command.origin, outcome))

    def restart(self, *rules: Rule, forgotten: int = 0) -> None:
        """As another process, which finds all on disk but the last `forgotten` events."""
        self.rules = rules or self.rules
        del self.disk[len(self.disk) - forgotten :]
        standings = Standings()
        standings.follow(self.disk)
        again = Standings()
        again.unpack(standings.pack())
        self.engine = Engine(self.rules, [PUMP], prefix=f"boot-{id(again)}")
        self.engine.restore(again.all(), Moment(self.clock.now(), self.clock.monotonic()))


def test_an_alarm_that_still_stands_is_not_raised_again() -> None:
    life = Life(HOT)
    command, _ = life.see(hot=81)
    life.end(command)
    life.wait(5)
    life.hand(Input.ACKNOWLEDGE, "on my way")
    before = life.engine.alarms()
    life.restart()
    assert life.engine.alarms() == before, "its state, since, value, who saw it and why"
    assert life.see(hot=82) == []
    assert life.see(hot=76) == [], "within the deadband it goes on"
    assert states(life.see(hot=75)) == [("hot", NORMAL)]
    assert states(life.see(hot=81)) == [("hot", UNACKNOWLEDGED)]


def test_one_that_returned_meanwhile_clears_once() -> None:
    life = Life(HOT, LOW)
    life.see(hot=81)
    life.see(flow=4)
    life.restart()
    assert life.engine.alarms()[0].active
    assert states(life.see(hot=20)) == [("hot", RETURNED)]
    assert life.see(hot=20) == []
    assert life.see(flow=6) == []
    assert states(life.see(flow=7)) == [("low", RETURNED)]


def test_what_is_not_good_says_nothing_after_a_restart_either() -> None:
    life = Life(HOT)
    life.see(hot=81)
    life.restart()
    assert life.judge({"hot": StatusCode.BAD}, hot=20) == []
    assert life.judge(hot=float("nan")) == []
    assert life.see(flow=3) == []
    assert life.engine.alarms()[0].active


def test_one_that_was_seen_when_it_had_gone() -> None:
    life = Life(HOT)
    life.see(hot=81)
    life.see(hot=20)
    life.restart()
    assert life.state("hot") is RETURNED
    assert life.see(hot=20) == []
    life.hand(Input.ACKNOWLEDGE)
    life.restart()
    assert life.state("hot") is NORMAL


def test_isolation_is_not_repeated_once_its_end_is_told() -> None:
    for outcome in Outcome:
        life = Life(HOT)
        command, _ = life.see(hot=81)
        life.end(command, outcome)
        life.restart()
        assert life.see(hot=82) == []


def test_isolation_whose_end_nobody_has_told_is_done_on_a_good_value() -> None:
    life = Life(HOT)
    command, _ = life.see(hot=81)
    life.restart()
    assert life.see(flow=50) == [], "nothing is known of the heat yet"
    assert life.judge({"hot": StatusCode.BAD}, hot=82) == []
    (again,) = life.see(hot=82)
    assert isinstance(again, Command)
    assert isinstance(command, Command)
    assert (again.id, again.tag, again.value, again.origin) == (command.id, "pump/run", False, "rule:hot")
    assert again.expires == life.clock.monotonic() + 10 * SECOND
    assert life.see(hot=83) == [], "once"
    life.end(again)
    life.restart()
    assert life.see(hot=82) == []


def test_isolation_lapses_with_its_alarm() -> None:
    life = Life(HOT)
    life.see(hot=81)
    life.restart()
    assert states(life.see(hot=20)) == [("hot", RETURNED)]
    assert life.see(hot=20) == []
    life.restart()
    assert life.see(hot=20) == []


def test_the_end_of_an_earlier_command_settles_nothing() -> None:
    life = Life(HOT)
    first, _ = life.see(hot=81)
    life.see(hot=20)
    second, _ = life.see(hot=90)
    life.end(first)
    life.restart()
    assert [answer.id for answer in life.see(hot=90) if isinstance(answer, Command)] == [second.id]  # type: ignore[union-attr]


def test_an_edge_that_did_not_reach_the_disk_comes_again() -> None:
    life = Life(HOT)
    life.see(hot=81)
    life.restart(forgotten=1)
    assert life.state("hot") is NORMAL
    assert states(life.see(hot=81)) == [("hot", UNACKNOWLEDGED)]


@pytest.mark.parametrize("reset", [False, True])
def test_a_latch_stays(reset: bool) -> None:
    life = Life(LATCHED)
    life.see(hot=81)
    life.hand(Input.ACKNOWLEDGE)
    life.see(hot=20)
    if reset:
        life.hand(Input.RESET)
    life.restart()
    assert life.engine.alarms()[0].latched is not reset


def test_the_shelf_is_for_a_time() -> None:
    life = Life(HOT)
    life.hand(Input.SHELVE, "noise", HOUR)
    life.wait(HOUR / 2)
    life.restart()
    assert life.tick() == []
    assert life.engine.alarms()[0].suppressed
    command, raised = life.see(hot=81)
    assert isinstance(command, Command), "what is suppressed isolates all the same"
    assert states([raised]) == [("hot", UNACKNOWLEDGED)]
    life.wait(HOUR / 2 - 1)
    assert life.tick() == []
    life.wait(1)
    (back,) = life.tick()
    assert states([back]) == [("hot", UNACKNOWLEDGED)]
    assert not life.engine.alarms()[0].suppressed
    assert life.engine.next_due() is None


def test_a_shelving_that_ended_meanwhile_ends() -> None:
    life = Life(HOT)
    life.hand(Input.SHELVE, "noise", HOUR)
    life.wait(2 * HOUR)
    life.restart()
    assert life.engine.next_due() is not None
    assert len(life.tick()) == 1
    assert not life.engine.alarms()[0].suppressed


def test_a_clock_that_is_set_back_shelves_nothing_for_ever() -> None:
    life = Life(HOT)
    life.hand(Input.SHELVE, "noise", HOUR)
    standings = Standings()
    standings.follow(life.disk)
    engine = Engine([HOT], [PUMP], prefix="boot-2")
    engine.restore(standings.all(), Moment(life.clock.now() - 10**18, 7))
    assert engine.next_due() == 7 + 24 * HOUR * SECOND


def test_another_rule_starts_anew_but_stays_out_of_service() -> None:
    life = Life(HOT)
    life.see(hot=90)
    life.hand(Input.REMOVE, "sensor is broken")
    life.restart(rule("hot", {"tag": "pump/hot", "high": 85}))
    (status,) = life.engine.alarms()
    assert (status.state, status.value, status.out_of_service, status.comment) == (
        NORMAL,
        None,
        True,
        "sensor is broken",
    )
    (raised,) = life.see(hot=90)
    assert states([raised]) == [("hot", UNACKNOWLEDGED)]


def test_alarms_of_rules_that_are_gone_are_forgotten() -> None:
    life = Life(HOT, LOW)
    life.see(hot=81)
    life.see(flow=4)
    standings = Standings()
    standings.follow(life.disk)
    standings.keep(["low"])
    assert list(standings.all()) == ["low"]


@pytest.mark.parametrize("content", [b"", b"[]", b'{"hot": {"state": "burning"}}', b'{"hot": 1}'])
def test_what_was_not_packed_is_not_unpacked(content: bytes) -> None:
    with pytest.raises(ValueError):
        Standings().unpack(content)


def test_a_revision_is_that_of_the_wording() -> None:
    assert (
        HOT.revision()
        == rule(
            "hot",
            {"tag": "pump/hot", "high": 80, "deadband": 5},
            write={"tag": "pump/run", "value": False},
            priority="medium",
        ).revision()
    )
    others = [LATCHED, rule("hot", {"tag": "pump/hot", "high": 80, "deadband": 4})]
    assert len({each.revision() for each in [HOT, *others]}) == 3

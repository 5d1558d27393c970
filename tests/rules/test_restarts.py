"""An alarm against a model of its promises, in any order of values, people, commits, crashes and restarts.

No edge is lost and none comes twice; what a person did stays done; and what the alarm writes is written at least once,
and again only where nobody had told how it ended.
"""

from __future__ import annotations

from itertools import pairwise

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from gateway.clock import ManualClock
from gateway.errors import CommandRefused
from gateway.model import AlarmChanged, AnyEvent, Command, CommandDone, Outcome
from rules.alarm import AlarmStatus, Deed, Input
from rules.engine import Answer, Engine, Moment
from rules.standing import Standings
from tests.rules.plant import PUMP, SECOND, scan
from tests.rules.plant import rule as written

HIGH, NARROW = 80, 75
HOT = written(
    "hot", {"tag": "pump/hot", "high": HIGH, "deadband": 5}, latched=True, write={"tag": "pump/run", "value": False}
)
VALUES = st.sampled_from([20.0, 75.0, 76.0, 80.0, 81.0, 95.0])


class Model(RuleBasedStateMachine):
    """`log` are the events, of which the first `durable` are on disk. `holds` is what the edges among them say of the
    condition, with the values that came since; `pending` are the commands that are under way."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = ManualClock()
        self.log: list[AnyEvent] = []
        self.durable = 0
        self.checkpoint = 0, Standings().pack()
        self.lives = 0
        self.holds = False
        self.pending: list[Command] = []
        self.given: set[str] = set()
        self.live()

    def live(self) -> None:
        self.lives += 1
        standings = Standings()
        seq, content = self.checkpoint
        standings.unpack(content)
        standings.follow(self.log[seq:])
        self.engine = Engine([HOT], [PUMP], prefix=f"life-{self.lives}")
        self.engine.restore(standings.all(), self.moment())
        self.holds = self.status.active
        self.pending = []
        self.given = set()

    def moment(self) -> Moment:
        return Moment(self.clock.now(), self.clock.monotonic())

    @property
    def status(self) -> AlarmStatus:
        return self.engine.alarms()[0]

    def ended(self) -> set[str]:
        return {event.command for event in self.log if isinstance(event, CommandDone)}

    def take(self, answers: list[Answer]) -> None:
        for answer in answers:
            if isinstance(answer, Command):
                assert answer.id not in self.given, "one command is given once in a life"
                assert answer.id not in self.ended(), "what has ended is not done again"
                self.given.add(answer.id)
                self.pending.append(answer)
            else:
                self.log.append(answer)

    # What happens

    @rule(value=VALUES)
    def value(self, value: float) -> None:
        self.clock.advance(SECOND)
        before = len(self.log)
        self.take(list(self.engine.judge(scan(PUMP, hot=value), *self.moment())))
        held, self.holds = self.holds, value > (NARROW if self.holds else HIGH)
        edges = [event for event in self.log[before:] if isinstance(event, AlarmChanged)]
        assert [edge.move for edge in edges] == [["clear", "raise"][self.holds]] * (held is not self.holds)
        if self.holds:
            raised = next(e for e in reversed(self.log) if isinstance(e, AlarmChanged) and e.move == "raise")
            assert raised.command in self.ended() | self.given, "the isolation of an alarm that stands is not lost"

    @rule(given=st.sampled_from([Input.ACKNOWLEDGE, Input.RESET, Input.UNSHELVE, Input.REMOVE, Input.PLACE]))
    def person(self, given: Input) -> None:
        self.hand(Deed(given, "ann", "so it is"))

    @rule(seconds=st.integers(1, 100))
    def shelve(self, seconds: int) -> None:
        self.hand(Deed(Input.SHELVE, "bob", "noise", self.clock.now() + seconds * SECOND))

    def hand(self, deed: Deed) -> None:
        before = self.status
        try:
            self.log.append(self.engine.do("hot", deed, self.moment()))
        except CommandRefused:
            assert self.status == before

    @rule(seconds=st.integers(1, 60))
    def wait(self, seconds: int) -> None:
        self.clock.advance(seconds * SECOND)
        self.take(list(self.engine.tick(*self.moment(), lambda tag: True)))
        until = self.status.shelved_until
        assert not until or until > self.clock.now()

    @precondition(lambda self: self.pending)
    @rule(outcome=st.sampled_from(Outcome))
    def finish(self, outcome: Outcome) -> None:
        command = self.pending.pop(0)
        self.log.append(CommandDone(self.clock.now(), command.id, command.tag, False, command.origin, outcome))

    @rule()
    def commit(self) -> None:
        self.durable = len(self.log)

    @rule(share=st.floats(0, 1))
    def note(self, share: float) -> None:
        """A checkpoint, of not more than is on disk; what it was made of may go."""
        seq = max(self.checkpoint[0], round(self.durable * share))
        standings = Standings()
        standings.follow(self.log[:seq])
        self.checkpoint = seq, standings.pack()

    @rule()
    def crash(self) -> None:
        del self.log[self.durable :]
        self.live()

    @rule()
    def restart(self) -> None:
        self.durable = len(self.log)
        before = self.status
        self.live()
        assert self.status == before

    # What is true at any moment

    @invariant()
    def edges_take_turns(self) -> None:
        edges = [e.move for e in self.log if isinstance(e, AlarmChanged) and e.move in ("raise", "clear")]
        assert edges == [["raise", "clear"][i % 2] for i in range(len(edges))]

    @invariant()
    def the_events_tell_how_it_stands(self) -> None:
        changes = [event for event in self.log if isinstance(event, AlarmChanged)]
        for before, event in pairwise(changes):
            assert event.previous is before.state
        if changes:
            last, status = changes[-1], self.status
            assert (status.state, status.latched, status.suppressed) == (last.state, last.latched, last.suppressed)
            assert (status.shelved_until, status.out_of_service) == (last.shelved_until, last.out_of_service)

    @invariant()
    def a_latch_is_held_while_it_stands(self) -> None:
        assert self.status.latched or not self.status.active


Model.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
TestModel = Model.TestCase

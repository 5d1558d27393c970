"""Orders that come twice, late, early, for the wrong tag or in the wrong moment."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import cast

import pytest
from sqlalchemy.exc import OperationalError

from gateway import orders as module
from gateway.clock import SECOND, ManualClock
from gateway.commands import Commands
from gateway.contracts import Orders, Sink
from gateway.errors import ConnectionLost, SinkHeld
from gateway.fields import CommandSettings
from gateway.journal.journal import Journal
from gateway.journal.keys import KeyRing
from gateway.model import AnyEvent, Command, CommandDone, Order, Outcome, Rows
from gateway.orders import Listener
from gateway.site import JournalSettings

JOURNAL = JournalSettings.model_validate({"commit_interval": "2ms"})


class Ear(Sink):
    """Listens as the test says: each entry of `sessions` is what ends one, the last goes on for ever."""

    commands = CommandSettings.model_validate({"tags": ["press/run", "press/s*"], "max_age": "30s"})

    def __init__(self) -> None:
        self.sessions: list[Exception] = []
        self.listened = 0
        self.is_deaf = False

    async def write(self, rows: Sequence[Rows]) -> None: ...

    async def report(self, events: Sequence[AnyEvent]) -> None: ...

    async def listen(self, orders: Orders) -> None:
        self.listened += 1
        if self.is_deaf:
            return
        if self.sessions:
            raise self.sessions.pop(0)
        orders.ready()
        await asyncio.Event().wait()


class Machine:
    """Stands in for the commands: takes its time until `gate` is open."""

    def __init__(self, clock: ManualClock) -> None:
        self.clock = clock
        self.executed: list[Command] = []
        self.gate = asyncio.Event()
        self.gate.set()

    async def execute(self, command: Command) -> CommandDone:
        self.executed.append(command)
        await self.gate.wait()
        return CommandDone(self.clock.now(), command.id, command.tag, command.value, command.origin, Outcome.DONE)


class Rig:
    def __init__(self, listener: Listener, ear: Ear, machine: Machine, journal: Journal, clock: ManualClock) -> None:
        self.listener, self.ear, self.machine, self.journal, self.clock = listener, ear, machine, journal, clock
        self.durable: list[str] = []
        self.answers: list[CommandDone] = []
        self.running = asyncio.create_task(listener.run())

    def order(self, id_: str = "o-1", tag: str = "press/run", age: float = 0, ttl: float | None = None) -> None:
        issued = self.clock.now() - round(age * SECOND)
        expires = None if ttl is None else issued + round(ttl * SECOND)
        order = Order(id_, tag, True, issued, expires)
        self.listener.submit(order, lambda: self.durable.append(id_), self.answers.append)

    async def wait(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(5):
            while not holds():
                await asyncio.sleep(0)

    async def ask(self, *arguments: object, **more: object) -> CommandDone:
        before = len(self.answers)
        self.order(*arguments, **more)  # type: ignore[arg-type]
        await self.wait(lambda: len(self.answers) > before)
        assert len(self.durable) == len(self.answers), "each is acknowledged once"
        return self.answers[-1]


@asynccontextmanager
async def rig(folder: Path, clock: ManualClock | None = None) -> AsyncIterator[Rig]:
    clock = clock or ManualClock()
    journal = Journal(folder, KeyRing(b"k" * 32), clock, JOURNAL)
    await journal.open(["cloud"])
    journaling = asyncio.create_task(journal.run())
    machine, ear = Machine(clock), Ear()
    made = Rig(Listener("cloud", ear, cast(Commands, machine), journal), ear, machine, journal, clock)
    try:
        await made.wait(lambda: ear.listened > 0)
        yield made
    finally:
        made.running.cancel()
        await asyncio.wait((made.running,))
        journal.stop()
        await journaling
        await journal.close()


async def test_an_order_is_executed_and_answered(tmp_path: Path) -> None:
    async with rig(tmp_path) as made:
        done = await made.ask("o-1", ttl=10)
        assert (done.command, done.origin, done.outcome) == ("o-1", "sink:cloud", Outcome.DONE)
        (command,) = made.machine.executed
        assert command == Command("o-1", "press/run", True, "sink:cloud", made.clock.monotonic() + 10 * SECOND)


@pytest.mark.parametrize(
    ("order", "outcome", "reason"),
    [
        ({"tag": "press/danger"}, Outcome.REFUSED, "not among those"),
        ({"tag": "xpress/run"}, Outcome.REFUSED, "not among those"),
        ({"age": 30}, Outcome.EXPIRED, r"30\.0 s ago"),
        ({"age": 30, "ttl": 3600}, Outcome.EXPIRED, r"30\.0 s ago"),
        ({"age": 2, "ttl": 2}, Outcome.EXPIRED, r"2\.0 s ago"),
        ({"age": -5.1}, Outcome.REFUSED, r"5\.1 s from now"),
        ({"age": 1.7e9}, Outcome.EXPIRED, "has expired"),
    ],
)
async def test_what_is_not_even_tried(tmp_path: Path, order: dict[str, object], outcome: Outcome, reason: str) -> None:
    async with rig(tmp_path) as made:
        done = await made.ask(**order)
        assert done.outcome is outcome
        assert re.search(reason, done.reason)
        assert made.machine.executed == []
        assert made.listener.refused == 1


@pytest.mark.parametrize("order", [{"age": 29.9}, {"age": -4.9}, {"tag": "press/speed"}, {"age": 1.9, "ttl": 2}])
async def test_what_is_just_good_enough(tmp_path: Path, order: dict[str, object]) -> None:
    async with rig(tmp_path) as made:
        assert (await made.ask(**order)).outcome is Outcome.DONE


async def test_a_repeat_gets_the_former_outcome(tmp_path: Path) -> None:
    async with rig(tmp_path) as made:
        first = await made.ask()
        made.clock.advance(60 * SECOND)
        assert await made.ask() is first, "also where a new one of that age would be refused"
        assert len(made.machine.executed) == 1


async def test_a_repeat_waits_while_the_first_is_at_work(tmp_path: Path) -> None:
    async with rig(tmp_path) as made:
        made.machine.gate.clear()
        made.order()
        await made.wait(lambda: len(made.machine.executed) == 1)
        made.order()
        await made.wait(lambda: made.durable == ["o-1", "o-1"])
        assert made.answers == []
        made.machine.gate.set()
        await made.wait(lambda: len(made.answers) == 2)
        assert made.answers[0] is made.answers[1]
        assert len(made.machine.executed) == 1


async def test_a_repeat_after_a_restart_is_known_from_the_disk(tmp_path: Path) -> None:
    clock = ManualClock()
    async with rig(tmp_path, clock) as made:
        await made.ask("o-1")
    async with rig(tmp_path, clock) as made:
        done = await made.ask("o-1")
        assert (done.outcome, made.machine.executed) == (Outcome.REFUSED, [])
        assert "taken before" in done.reason
        assert (await made.ask("o-2")).outcome is Outcome.DONE


async def test_it_is_on_disk_before_it_is_acknowledged_or_executed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with rig(tmp_path) as made:
        asked, gate = asyncio.Event(), asyncio.Event()
        remember = made.journal.remember

        async def slow(order: str, expires: int) -> bool:
            asked.set()
            await gate.wait()
            return await remember(order, expires)

        monkeypatch.setattr(made.journal, "remember", slow)
        made.order()
        await asked.wait()
        assert (made.durable, made.machine.executed) == ([], [])
        gate.set()
        await made.wait(lambda: len(made.answers) == 1)
        assert made.answers[0].outcome is Outcome.DONE


async def test_a_disk_that_cannot_remember_executes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with rig(tmp_path) as made:

        async def sick(order: str, expires: int) -> bool:
            raise OperationalError("insert", {}, Exception("disk I/O error"))

        monkeypatch.setattr(made.journal, "remember", sick)
        done = await made.ask()
        assert done.outcome is Outcome.FAILED
        assert "disk I/O error" in done.reason
        assert made.machine.executed == []


async def test_the_ids_of_another_sink_are_others(tmp_path: Path) -> None:
    async with rig(tmp_path) as made:
        assert await made.journal.remember("other/o-1", made.clock.now() + SECOND)
        assert (await made.ask("o-1")).outcome is Outcome.DONE


async def test_only_so_many_are_at_work(tmp_path: Path) -> None:
    async with rig(tmp_path) as made:
        made.machine.gate.clear()
        for number in range(300):
            made.order(f"o-{number}")
        await made.wait(lambda: len(made.answers) == 300 - module._MOST_AT_WORK)
        assert {done.outcome for done in made.answers} == {Outcome.REFUSED}
        made.machine.gate.set()
        await made.wait(lambda: len(made.answers) == 300)
        assert len(made.machine.executed) == module._MOST_AT_WORK


async def test_what_is_cut_off_before_it_is_durable_is_not_acknowledged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It comes again after the restart."""
    async with rig(tmp_path) as made:
        asked = asyncio.Event()

        async def hang(order: str, expires: int) -> bool:
            asked.set()
            await asyncio.Event().wait()
            return True

        monkeypatch.setattr(made.journal, "remember", hang)
        made.order()
        await asked.wait()
        made.running.cancel()
        await asyncio.wait((made.running,))
        assert (made.durable, made.answers, made.machine.executed) == ([], [], [])


async def test_repeats_of_what_is_at_work_are_bounded_too(tmp_path: Path) -> None:
    async with rig(tmp_path) as made:
        made.machine.gate.clear()
        for _ in range(300):
            made.order("o-1")
        await made.wait(lambda: len(made.answers) == 300 - module._MOST_AT_WORK)
        made.machine.gate.set()
        await made.wait(lambda: len(made.answers) == 300)
        assert len(made.machine.executed) == 1


async def test_stopping_lets_what_is_at_work_end(tmp_path: Path) -> None:
    async with rig(tmp_path) as made:
        made.machine.gate.clear()
        made.order()
        await made.wait(lambda: len(made.machine.executed) == 1)
        made.listener.stop()
        made.machine.gate.set()
        async with asyncio.timeout(5):
            await made.running
        assert [done.outcome for done in made.answers] == [Outcome.DONE]


async def test_a_sink_that_does_not_listen_is_left_alone(tmp_path: Path) -> None:
    ear = Ear()
    ear.is_deaf = True
    async with rig(tmp_path) as made:
        listener = Listener("files", ear, cast(Commands, made.machine), made.journal)
        async with asyncio.timeout(5):
            await listener.run()
    assert ear.listened == 1


async def test_it_listens_again_after_a_pause(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    ear = Ear()
    ear.sessions = [ConnectionLost("gone"), SinkHeld("not you"), ExceptionGroup("tasks", [ConnectionLost("gone")])]

    async with rig(tmp_path) as made:
        listener = Listener("cloud", ear, cast(Commands, made.machine), made.journal)
        sleep = asyncio.sleep

        async def note(seconds: float) -> None:
            if seconds:
                pauses.append(seconds)
            await sleep(0)

        monkeypatch.setattr(asyncio, "sleep", note)
        running = asyncio.create_task(listener.run())
        assert listener.reason == "not tried yet"
        await made.wait(lambda: not listener.reason)
        running.cancel()
        await asyncio.wait((running,))
    assert ear.listened == 4
    assert len(pauses) == 3
    assert pauses[1] >= 30
    assert max(pauses[0], pauses[2]) <= 60

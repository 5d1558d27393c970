from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import cast

import pytest

from gateway.bus import Bus
from gateway.clock import SECOND
from gateway.commands import Commands, fit
from gateway.errors import CommandRefused, ConfigError, ConnectionLost, DeviceSilent, NotConnected
from gateway.image import Image
from gateway.link import LinkSupervisor
from gateway.model import AnyEvent, Command, CommandDone, Device, Link, Outcome, Tag, Value, ValueType
from tests.gateway.build import group
from tests.virtual import LoopClock, run

of = group("float32", "uint16", "bool", "string")
of = replace(of, columns=tuple(replace(tag, range=(0, 100)) if tag.type.is_float else tag for tag in of.columns))
by_type = {tag.type: tag for tag in of.columns}


@pytest.mark.parametrize(
    ("kind", "value", "written"),
    [
        ("float32", 5, 5.0),
        ("uint16", 5.0, 5),
        ("bool", True, True),
        ("string", "on", "on"),
        ("uint16", 65535, 65535),
    ],
)
def test_a_value_that_fits_is_written_as_the_tags_type(kind: str, value: Value, written: Value) -> None:
    fitted = fit(by_type[ValueType(kind)], value)
    assert (fitted, type(fitted)) == (written, type(written))


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("float32", "5"),
        ("float32", True),
        ("float32", float("nan")),
        ("float32", 100.1),
        ("float32", 10**400),
        ("uint16", 0.5),
        ("uint16", -1),
        ("uint16", 65536),
        ("uint16", float("inf")),
        ("bool", 1),
        ("string", 1),
    ],
)
def test_a_value_that_does_not_fit_is_refused_in_words(kind: str, value: Value) -> None:
    with pytest.raises(CommandRefused, match="press/t"):
        fit(by_type[ValueType(kind)], value)


def test_a_tag_that_is_not_writable_is_refused() -> None:
    with pytest.raises(CommandRefused, match="not writable"):
        fit(replace(of.columns[0], writable=False), 1)


class FakeLink:
    """Stands in for the supervisor."""

    def __init__(self, write: Callable[[Tag, Value], Awaitable[None]]) -> None:
        self.link = Link("bus", "fake", (Device("press", (of,)),))
        self.reason = "the cable is out"
        self._write = write

    async def write(self, tag: Tag, value: Value) -> Value:
        await self._write(tag, value)
        return value

    async def wait_up(self) -> None:
        return


class Ears:
    """Stands in for the bus."""

    def __init__(self) -> None:
        self.events: list[AnyEvent] = []

    def emit(self, event: AnyEvent) -> None:
        self.events.append(event)


def execute(write: Callable[[Tag, Value], Awaitable[None]], tag: str = "press/t1") -> CommandDone:
    ears = Ears()

    async def main() -> CommandDone:
        clock = LoopClock()
        links = {"bus": cast("LinkSupervisor", FakeLink(write))}
        commands = Commands(links, Image([of]), cast("Bus", ears), clock)
        return await commands.execute(Command("c", tag, 7, "rule:r", clock.monotonic() + 2 * SECOND))

    done = run(main)
    assert ears.events == [done]
    return done


def test_what_was_written_is_done() -> None:
    async def write(tag: Tag, value: Value) -> None:
        assert (tag.id, value) == ("press/t1", 7)

    assert execute(write).outcome is Outcome.DONE


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (CommandRefused("no"), Outcome.REFUSED),
        (DeviceSilent("nobody"), Outcome.FAILED),
        (ConfigError("wrong"), Outcome.FAILED),
        (ZeroDivisionError("a bug"), Outcome.FAILED),
        (OSError("gone"), Outcome.FAILED),
    ],
)
def test_whatever_a_driver_raises_ends_the_command_and_nothing_else(error: Exception, outcome: Outcome) -> None:
    async def write(tag: Tag, value: Value) -> None:
        raise error

    done = execute(write)
    assert (done.outcome, done.reason) == (outcome, str(error))


class Down(FakeLink):
    """A link that comes up after some seconds."""

    def __init__(self, write: Callable[[Tag, Value], Awaitable[None]], seconds: float) -> None:
        super().__init__(write)
        self.seconds = seconds

    async def wait_up(self) -> None:
        await asyncio.sleep(max(0.0, self.seconds - asyncio.get_running_loop().time()))


def carried_out(link: FakeLink, *values: Value) -> list[CommandDone]:
    """Commands for one tag, ordered one after the other without waiting."""

    async def main() -> list[CommandDone]:
        clock = LoopClock()
        commands = Commands({"bus": cast("LinkSupervisor", link)}, Image([of]), cast("Bus", Ears()), clock)
        expires = clock.monotonic() + 2 * SECOND
        return await asyncio.gather(
            *(commands.execute(Command(str(i), "press/t1", v, "rule:r", expires)) for i, v in enumerate(values))
        )

    return run(main)


def test_a_link_that_is_down_is_waited_for_until_the_command_expires() -> None:
    async def write(tag: Tag, value: Value) -> None:
        raise AssertionError("written after it expired")

    (done,) = carried_out(Down(write, 10), 7)
    assert done.outcome is Outcome.EXPIRED
    assert "the cable is out" in done.reason


def test_a_link_that_comes_back_in_time_gets_the_latest_and_nothing_older() -> None:
    written: list[Value] = []

    async def write(tag: Tag, value: Value) -> None:
        written.append(value)

    results = carried_out(Down(write, 1), 10, 20, 30)
    assert written == [30]
    assert [done.outcome for done in results] == [Outcome.REFUSED, Outcome.REFUSED, Outcome.DONE]


def test_what_may_have_been_written_is_not_written_again() -> None:
    written: list[Value] = []

    async def write(tag: Tag, value: Value) -> None:
        written.append(value)
        raise ConnectionLost("reset while writing")

    (done,) = carried_out(FakeLink(write), 7)
    assert written == [7]
    assert (done.outcome, done.reason) == (Outcome.FAILED, "reset while writing")


def test_what_was_not_sent_is_sent_when_the_link_is_back() -> None:
    written: list[Value] = []

    async def write(tag: Tag, value: Value) -> None:
        written.append(value)
        if len(written) < 3:
            raise NotConnected("it went down just now")

    (done,) = carried_out(FakeLink(write), 7)
    assert (len(written), done.outcome) == (3, Outcome.DONE)


def test_a_tag_that_does_not_exist_is_refused() -> None:
    async def write(tag: Tag, value: Value) -> None:
        raise AssertionError

    assert execute(write, "press/nope").outcome is Outcome.REFUSED

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import cast

import pytest

from gateway.bus import Bus
from gateway.clock import SECOND
from gateway.commands import Commands, fit
from gateway.errors import CommandRefused, ConfigError, ConnectionLost, DeviceSilent
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
        self.write = write


def execute(write: Callable[[Tag, Value], Awaitable[None]], tag: str = "press/t1") -> CommandDone:
    events: list[AnyEvent] = []

    class Ears:
        def emit(self, event: AnyEvent) -> None:
            events.append(event)

    async def main() -> CommandDone:
        clock = LoopClock()
        links = {"bus": cast("LinkSupervisor", FakeLink(write))}
        commands = Commands(links, Image([of]), cast("Bus", Ears()), clock)
        return await commands.execute(Command("c", tag, 7, "rule:r", clock.monotonic() + 2 * SECOND))

    done = run(main)
    assert events == [done]
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


def test_a_link_that_is_down_is_waited_for_until_the_command_expires() -> None:
    tries = 0

    async def write(tag: Tag, value: Value) -> None:
        nonlocal tries
        tries += 1
        raise ConnectionLost("down")

    done = execute(write)
    assert done.outcome is Outcome.EXPIRED
    assert "the cable is out" in done.reason
    assert tries > 10


def test_a_link_that_comes_back_in_time_gets_it() -> None:
    async def write(tag: Tag, value: Value) -> None:
        if asyncio.get_running_loop().time() < 1:
            raise ConnectionLost("down")

    assert execute(write).outcome is Outcome.DONE


def test_a_tag_that_does_not_exist_is_refused() -> None:
    async def write(tag: Tag, value: Value) -> None:
        raise AssertionError

    assert execute(write, "press/nope").outcome is Outcome.REFUSED

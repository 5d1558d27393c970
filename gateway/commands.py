"""The one way to write to a device, for rules and for people alike: guarded, with one result for each command."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping

from gateway.bus import Bus
from gateway.clock import SECOND, Clock
from gateway.errors import CommandRefused, ConnectionLost, DeviceSilent
from gateway.image import Image
from gateway.link import LinkSupervisor
from gateway.model import Command, CommandDone, Outcome, Tag, Value, ValueType

_RETRY_SECONDS = 0.1

_INTEGER_BITS = {
    ValueType.INT8: (-(1 << 7), (1 << 7) - 1),
    ValueType.UINT8: (0, (1 << 8) - 1),
    ValueType.INT16: (-(1 << 15), (1 << 15) - 1),
    ValueType.UINT16: (0, (1 << 16) - 1),
    ValueType.INT32: (-(1 << 31), (1 << 31) - 1),
    ValueType.UINT32: (0, (1 << 32) - 1),
    ValueType.INT64: (-(1 << 63), (1 << 63) - 1),
    ValueType.UINT64: (0, (1 << 64) - 1),
}


def fit(tag: Tag, value: Value) -> Value:
    """`value` as the tag's type. Raises CommandRefused when it does not fit the tag, exactly and within its range."""
    if not tag.writable:
        raise CommandRefused(f"{tag.id} is not writable")
    if tag.type is ValueType.BOOL or tag.type is ValueType.STRING:
        wanted = bool if tag.type is ValueType.BOOL else str
        if not isinstance(value, wanted):
            raise CommandRefused(f"{tag.id} takes a {tag.type}, not {value!r}")
        return value
    number = _number(tag, value)
    if tag.range is not None and not tag.range[0] <= number <= tag.range[1]:
        raise CommandRefused(f"{number:g} is outside the range of {tag.id}, {tag.range[0]:g} to {tag.range[1]:g}")
    return number


def _number(tag: Tag, value: Value) -> int | float:
    if isinstance(value, bool | str) or not math.isfinite(value):
        raise CommandRefused(f"{tag.id} takes a number, not {value!r}")
    if tag.type.is_float:
        return float(value)
    if value != int(value):
        raise CommandRefused(f"{tag.id} takes a whole number, not {value!r}")
    low, high = _INTEGER_BITS[tag.type]
    if not low <= value <= high:
        raise CommandRefused(f"{value} does not fit {tag.id}, which is {tag.type}")
    return int(value)


class Commands:
    """Carries commands to the links. A command whose link is down is tried until it expires."""

    def __init__(self, links: Mapping[str, LinkSupervisor], image: Image, bus: Bus, clock: Clock) -> None:
        self._link_of = {device.id: link for link in links.values() for device in link.link.devices}
        self._image = image
        self._bus = bus
        self._clock = clock

    async def execute(self, command: Command) -> CommandDone:
        """Never raises: how it ended is in the result, which is also an event."""
        try:
            value = await self._write(command)
            outcome, reason = Outcome.DONE, ""
        except CommandRefused as error:
            value, outcome, reason = command.value, Outcome.REFUSED, str(error)
        except (ConnectionLost, DeviceSilent) as error:
            value, outcome, reason = command.value, Outcome.FAILED, str(error)
        except TimeoutError:
            value, outcome, reason = command.value, Outcome.EXPIRED, "it could not be written in time"
        done = CommandDone(self._clock.now(), command.id, command.tag, value, command.origin, outcome, reason)
        self._bus.emit(done)
        return done

    async def _write(self, command: Command) -> Value:
        try:
            tag = self._image.tag(command.tag)
        except KeyError:
            raise CommandRefused(f"there is no tag {command.tag}") from None
        value = fit(tag, command.value)
        link = self._link_of[tag.device]
        async with asyncio.timeout(self._left(command) / SECOND):
            while True:
                try:
                    await link.write(tag, value)
                except ConnectionLost:
                    await asyncio.sleep(_RETRY_SECONDS)
                else:
                    return value

    def _left(self, command: Command) -> int:
        return max(0, command.expires - self._clock.monotonic())

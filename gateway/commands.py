"""The one way to write to a device, for rules and for people alike: guarded, with one result for each command."""

from __future__ import annotations

import asyncio
import contextlib
import math
import sys
from collections.abc import Mapping

from gateway.bus import Bus
from gateway.clock import SECOND, Clock
from gateway.errors import CommandRefused, NotConnected
from gateway.image import Image
from gateway.link import LinkSupervisor
from gateway.model import Command, CommandDone, Outcome, Tag, Value, ValueType

_LOOK_SECONDS = 0.25
_MOST_FLOAT = sys.float_info.max

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
            raise CommandRefused(f"{tag.id} takes a {tag.type}, not {type(value).__name__}")
        return value
    number = _number(tag, value)
    if tag.range is not None and not tag.range[0] <= number <= tag.range[1]:
        raise CommandRefused(f"the value is outside the range of {tag.id}, {tag.range[0]:g} to {tag.range[1]:g}")
    return number


def _number(tag: Tag, value: Value) -> int | float:
    if isinstance(value, bool | str) or (isinstance(value, float) and not math.isfinite(value)):
        raise CommandRefused(f"{tag.id} takes a number, not {type(value).__name__}")
    if tag.type.is_float:
        if abs(value) > _MOST_FLOAT:
            raise CommandRefused(f"{tag.id} cannot hold a number of that size")
        return float(value)
    if value != int(value):
        raise CommandRefused(f"{tag.id} takes a whole number, not {type(value).__name__}")
    low, high = _INTEGER_BITS[tag.type]
    if not low <= value <= high:
        raise CommandRefused(f"the value does not fit {tag.id}, which is {tag.type}")
    return int(value)


class Commands:
    """Carries commands to the links. While a link is down a tag's latest command waits for it, until it expires; older
    ones are superseded, so that nothing old is written after something new."""

    def __init__(self, links: Mapping[str, LinkSupervisor], image: Image, bus: Bus, clock: Clock) -> None:
        self._bus = bus
        self.clock = clock
        self._latest: dict[str, str] = {}
        self.serve(links, image)

    def serve(self, links: Mapping[str, LinkSupervisor], image: Image) -> None:
        """From now on these, also for a command that waits."""
        self._link_of = {device.id: link for link in links.values() for device in link.link.devices}
        self._image = image

    async def execute(self, command: Command) -> CommandDone:
        """Never raises, whatever a driver does: how it ended is in the result, which is also an event."""
        value, outcome, reason = command.value, Outcome.DONE, ""
        try:
            value = await self._write(command)
        except CommandRefused as error:
            outcome, reason = Outcome.REFUSED, str(error)
        except TimeoutError:
            outcome, reason = Outcome.EXPIRED, self._why_late(command)
        except Exception as error:
            outcome, reason = Outcome.FAILED, str(error) or type(error).__name__
        done = CommandDone(self.clock.now(), command.id, command.tag, value, command.origin, outcome, reason)
        self._bus.emit(done)
        return done

    async def _write(self, command: Command) -> Value:
        fit(self._tag(command), command.value)
        self._latest[command.tag] = command.id
        while True:
            async with asyncio.timeout(self._left(command) / SECOND):
                link = await self._reach(command)
            if self._latest[command.tag] != command.id:
                raise CommandRefused("a newer command for the same tag came before the link was back")
            tag = self._tag(command)
            value = fit(tag, command.value)
            try:
                return await link.write(tag, value)  # bounded there: once it is on the wire it is not called back
            except NotConnected:
                continue

    async def _reach(self, command: Command) -> LinkSupervisor:
        """The tag's link, once it is up. Looked up anew now and then, because a reload may have made another one."""
        while True:
            link = self._link_of[self._tag(command).device]
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LOOK_SECONDS):
                    await link.wait_up()
                    return link

    def _tag(self, command: Command) -> Tag:
        try:
            return self._image.tag(command.tag)
        except KeyError:
            raise CommandRefused(f"there is no tag {command.tag}") from None

    def _why_late(self, command: Command) -> str:
        try:
            link = self._link_of[self._tag(command).device]
        except CommandRefused as error:
            return str(error)
        return f"the link was down until the command expired: {link.reason}"

    def _left(self, command: Command) -> int:
        return max(0, command.expires - self.clock.monotonic())

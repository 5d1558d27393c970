"""A link that asks: groups are resources of one server, polled or observed, and commands are PUT or POST."""

from __future__ import annotations

import asyncio
import math
from functools import partial
from typing import cast

import msgspec
import numpy as np

from drivers.coap import routes
from drivers.coap.code import Code, status_of, words
from drivers.coap.message import Response
from drivers.coap.observation import Observation
from drivers.coap.requester import Broken, Requester
from drivers.coap.resource import show
from drivers.coap.routes import Route
from drivers.coap.settings import LinkSettings
from gateway.clock import SECOND
from gateway.contracts import Receiver
from gateway.errors import CommandRefused, DeviceSilent
from gateway.model import Link, Scan, StatusCode, Tag, TagGroup, Value
from gateway.payload.decoder import Refused

MAX_COMMAND = 1024
"""Bytes of a command's payload: what fits into one block (RFC 7252, 4.6)."""

_TEXT_PLAIN, _JSON = 0, 50


class Client:
    """Made fresh for every session. A response without a usable payload becomes a scan that is bad throughout, and a
    refusal that says why."""

    def __init__(self, link: Link, receiver: Receiver) -> None:
        self._link = link
        self._receiver = receiver
        self._settings = cast(LinkSettings, link.settings)
        self._polled = routes.polled(link)
        self._commands = routes.commands(link)
        self._requester = Requester(self._settings, partial(receiver.refuse, link.id))

    async def open(self) -> None:
        await self._requester.open()

    async def run(self) -> None:
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._requester.wait())
                for route in routes.observed(self._link):
                    refuse = partial(self._receiver.refuse, route.group.id)
                    observation = Observation(self._requester, route.path, partial(self._deliver, route), refuse)
                    tasks.create_task(observation.run(self._settings.margin / SECOND))
        except ExceptionGroup as errors:  # what ended the first of them ended the others
            raise errors.exceptions[0] from None

    async def read(self, group: TagGroup) -> Scan:
        route = self._polled[group.id]
        try:
            return self._scan(route, await self._requester.get(route.path))
        except Broken as error:
            return self._bad(route, StatusCode.BAD_DECODING_ERROR, str(error))

    async def write(self, tag: Tag, value: Value) -> None:
        """Send one value. Done is what the device answers with 2.xx."""
        route = self._commands.get(tag.id)
        if route is None:
            raise CommandRefused(f"{tag.id} has no command")
        if isinstance(value, float) and not math.isfinite(value):
            raise CommandRefused("the value cannot be written as JSON")
        plain = route.is_text and isinstance(value, str)
        payload = str(value).encode() if plain else msgspec.json.encode(value)
        if len(payload) > MAX_COMMAND:
            raise CommandRefused(f"{tag.id}: {len(payload)} bytes do not fit into one request")
        content_format = _TEXT_PLAIN if route.is_text else _JSON
        try:
            response = await self._requester.send(route.method, route.path, payload, content_format)
        except DeviceSilent as error:
            raise DeviceSilent(f"{tag.id}: {error}; whether it was written is not known") from None
        if response.code >> 5 != 2:
            raise CommandRefused(f"{tag.id}: {show(route.path)} answers {words(response.code, response.payload)}")

    async def close(self) -> None:
        await self._requester.close()

    def _deliver(self, route: Route, response: Response) -> None:
        """A response to an observation. Raises JournalFull."""
        scan = self._scan(route, response)
        if response.code == Code.CONTENT and response.observe is None:
            self._receiver.refuse(route.group.id, f"{show(route.path)} cannot be observed: give its group an interval")
        self._receiver.publish(scan)

    def _scan(self, route: Route, response: Response) -> Scan:
        if response.code != Code.CONTENT:
            return self._bad(route, status_of(response.code), words(response.code, response.payload))
        try:
            scan, doubt = route.decoder.decode(response.payload, self._receiver.clock.now())
        except Refused as error:
            return self._bad(route, StatusCode.BAD_DECODING_ERROR, str(error))
        if doubt:
            self._receiver.refuse(f"{route.group.id} time", f"{show(route.path)}: {doubt}")
        return scan

    def _bad(self, route: Route, status: StatusCode, reason: str) -> Scan:
        group, now = route.group, self._receiver.clock.now()
        self._receiver.refuse(group.id, f"{show(route.path)}: {reason}")
        return Scan(group, now, now, group.zeros(), np.full(len(group.columns), status, np.uint32))

"""The driver itself: messages to scans, commands to messages."""

from __future__ import annotations

import asyncio
import math
from functools import partial
from typing import cast

import msgspec
from paho.mqtt.client import MQTTMessage

from drivers.mqtt import routes
from drivers.mqtt.client import Connection
from drivers.mqtt.routes import Route
from drivers.mqtt.settings import LinkSettings
from drivers.mqtt.topic import Router
from gateway import contracts
from gateway.contracts import Receiver
from gateway.errors import CommandRefused
from gateway.model import Link, Scan, Tag, Value
from gateway.mqtt.inbox import Inbox
from gateway.payload.decoder import Refused


class Driver(contracts.Driver):
    """A session with a broker.

    Messages of QoS 1 are acknowledged in their order, each when all that was made of it is on disk. QoS 2 is not
    offered: its first half, PUBREC, has to be sent before that. What is published at QoS 2 comes to us at QoS 1.

    What cannot be used is refused under the id of its group, or of the link where no group wants it. A doubt about the
    time of values that are kept goes under `GROUP time`.
    """

    def __init__(self, link: Link, receiver: Receiver) -> None:
        super().__init__(link, receiver)
        settings = cast(LinkSettings, link.settings)
        self._max_payload = settings.max_payload
        self._router = Router(routes.routes(link))
        self._commands = routes.commands(link)
        usual = "-".join(filter(None, ("edgeward", link.owner, link.id)))
        self._connection = Connection(settings, settings.client_id or usual, self._take)
        self._inbox = Inbox(self._connection.acknowledge)
        self._heard = asyncio.Event()
        self._subscribing: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Until all is subscribed, or until values come. A session that goes on sends what it kept before it confirms
        any subscription, which after a long absence takes longer than opening may."""
        await self._connection.open()
        filters = list(routes.subscriptions(self.link).items())
        self._subscribing = asyncio.create_task(self._connection.subscribe(filters))
        hearing = asyncio.create_task(self._heard.wait())
        try:
            await asyncio.wait((self._subscribing, hearing), return_when=asyncio.FIRST_COMPLETED)
        finally:
            hearing.cancel()
        if self._subscribing.done():
            self._subscribing.result()

    async def run(self) -> None:
        assert self._subscribing is not None, "run comes after open"
        await asyncio.gather(self._subscribing, self._connection.wait())

    async def write(self, tag: Tag, value: Value) -> None:
        """Publish one value to the tag's command topic. It is the broker that confirms it, not the device."""
        route = self._commands.get(tag.id)
        if route is None:
            raise CommandRefused(f"{tag.id} has no command_topic")
        if isinstance(value, float) and not math.isfinite(value):
            raise CommandRefused("the value cannot be written as JSON")
        plain = route.is_text and isinstance(value, str)
        await self._connection.publish(route.topic, str(value).encode() if plain else msgspec.json.encode(value))

    async def close(self) -> None:
        if self._subscribing is not None:
            self._subscribing.cancel()
        self._connection.close()

    def _take(self, message: MQTTMessage) -> None:
        """Publish the scans of a message. Where that raises, it stays unacknowledged and will come again."""
        self._heard.set()
        scans = self._scans(message)
        if message.qos == 0:
            for scan in scans:
                self.receiver.publish(scan)
            return
        entry = self._inbox.add(message.mid, message.qos, len(scans))
        durable = partial(self._inbox.done, entry)
        for scan in scans:
            self.receiver.publish(scan, durable)

    def _scans(self, message: MQTTMessage) -> list[Scan]:
        """What the groups that take the topic make of the payload. One that cannot use it refuses it for itself."""
        try:
            name = message.topic
        except UnicodeDecodeError:
            self.receiver.refuse(self.link.id, "a topic is not UTF-8")
            return []
        found = self._router.find(name)
        if not found:
            self.receiver.refuse(self.link.id, f"no tag group takes the topic {_short(name)}")
        now = self.receiver.clock.now()
        return [scan for route in found if (scan := self._scan(route, message, name, now)) is not None]

    def _scan(self, route: Route, message: MQTTMessage, name: str, now: int) -> Scan | None:
        group, decoder, column = route
        try:
            if len(message.payload) > self._max_payload:
                raise Refused(f"the payload has {len(message.payload)} bytes, max_payload is {self._max_payload}")
            scan, doubt = decoder.decode(message.payload, now, column=column, retained=message.retain)
        except Refused as error:
            self.receiver.refuse(group.id, f"{_short(name)}: {error}")
            return None
        if doubt:
            self.receiver.refuse(f"{group.id} time", f"{_short(name)}: {doubt}")
        return scan


def _short(name: str) -> str:
    return name if len(name) <= 80 else name[:80] + "…"

"""The driver itself: a client or a server, whichever the link is."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from drivers.coap.settings import LinkSettings
from gateway import contracts
from gateway.contracts import Receiver
from gateway.errors import CommandRefused, ConnectionLost
from gateway.model import Link, Scan, Tag, TagGroup, Value

if TYPE_CHECKING:
    from drivers.coap.client import Client
    from drivers.coap.server import Server


class Driver(contracts.Driver):
    """aiocoap is loaded here when the link opens, so that who only checks a configuration need not have it."""

    def __init__(self, link: Link, receiver: Receiver) -> None:
        super().__init__(link, receiver)
        self._client: Client | None = None
        self._server: Server | None = None

    async def open(self) -> None:
        if cast(LinkSettings, self.link.settings).listen is not None:
            from drivers.coap.server import Server

            self._server = Server(self.link, self.receiver)
            await self._server.open()
        else:
            from drivers.coap.client import Client

            self._client = Client(self.link, self.receiver)
            await self._client.open()

    async def run(self) -> None:
        if self._server is not None:
            await self._server.run()
        else:
            await self._connected().run()

    async def read(self, group: TagGroup) -> Scan:
        if group.interval is None:
            return await super().read(group)
        return await self._connected().read(group)

    async def write(self, tag: Tag, value: Value) -> None:
        if self._server is not None:
            raise CommandRefused(f"{tag.id}: over a link that listens nothing can be written")
        await self._connected().write(tag, value)

    async def close(self) -> None:
        for session in (self._client, self._server):
            if session is not None:
                await session.close()

    def _connected(self) -> Client:
        if self._client is None:
            raise ConnectionLost("not connected")
        return self._client

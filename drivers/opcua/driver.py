"""The OPC UA driver: one session with one server, its subscriptions, its reads and its writes."""

from __future__ import annotations

import asyncio
import importlib
from typing import TYPE_CHECKING

from gateway import contracts
from gateway.contracts import Receiver
from gateway.errors import ConnectionLost
from gateway.model import Link, Scan, Tag, TagGroup, Value

if TYPE_CHECKING:
    from drivers.opcua.conversation import Conversation


class Driver(contracts.Driver):
    """Notifications are acknowledged as they come, which only lets the server forget them: a session that was lost
    takes its subscriptions along, and the next one begins with the values of its own moment.

    asyncua is large, so it is loaded by the first session, and in a thread: neither does a cell without OPC UA pay for
    it, nor do the other links wait.
    """

    def __init__(self, link: Link, receiver: Receiver) -> None:
        super().__init__(link, receiver)
        self._conversation: Conversation | None = None

    async def open(self) -> None:
        await asyncio.to_thread(importlib.import_module, "drivers.opcua.conversation")
        from drivers.opcua.conversation import Conversation

        self._conversation = Conversation(self.link, self.receiver)
        await self._conversation.open()

    async def run(self) -> None:
        await self._connected().run()

    async def read(self, group: TagGroup) -> Scan:
        return await self._connected().read(group)

    async def write(self, tag: Tag, value: Value) -> None:
        await self._connected().write(tag, value)

    async def close(self) -> None:
        if self._conversation is not None:
            await self._conversation.close()

    def _connected(self) -> Conversation:
        if self._conversation is None:
            raise ConnectionLost("not connected")
        return self._conversation

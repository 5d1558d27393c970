"""All that goes on in one session side by side: subscriptions, reads, writes, and the watch over them."""

from __future__ import annotations

import asyncio
from typing import Final, cast

from asyncua import ua

from drivers.opcua import expiry
from drivers.opcua.reader import Reader
from drivers.opcua.refusal import NoRoom
from drivers.opcua.session import Session
from drivers.opcua.settings import GroupSettings, LinkSettings
from drivers.opcua.subscription import Subscription
from drivers.opcua.writer import Writer
from gateway.clock import SECOND
from gateway.contracts import Receiver
from gateway.errors import ConnectionLost
from gateway.model import Link, Scan, Tag, TagGroup, Value

MOST_WAITING: Final = 5
"""Publish requests that wait at the server at a time: one for each subscription and one more, but no more than this."""

LOOK_AHEAD_S: Final = 3_600.0


class Conversation:
    def __init__(self, link: Link, receiver: Receiver) -> None:
        self._settings = settings = cast(LinkSettings, link.settings)
        self._receiver = receiver
        self._keepalive = settings.keepalive
        self._session = Session(settings, receiver.clock)
        self._writer = Writer(self._session)
        self._acknowledgements: list[ua.SubscriptionAcknowledgement] = []
        self._subscriptions: dict[int, Subscription] = {}
        self._pushed: list[Subscription] = []
        self._readers: dict[str, Reader] = {}
        self._refused: dict[TagGroup, str] = {}
        for group in (group for device in link.devices for group in device.groups):
            if group.interval is None:
                self._pushed.append(Subscription(group, self._session, receiver, settings.keepalive))
            else:
                self._readers[group.id] = Reader(group, self._session, receiver.clock)

    async def open(self) -> None:
        await self._session.open()
        for subscription in tuple(self._pushed):
            try:
                await subscription.open()
            except NoRoom as error:
                self._pushed.remove(subscription)
                self._refused[subscription.group] = str(error)
                continue
            self._subscriptions[subscription.id] = subscription

    async def run(self) -> None:
        """Until the session is lost. Raises ConnectionLost, ConfigError, JournalFull."""
        waiting = min(len(self._pushed) + 1, MOST_WAITING) if self._pushed else 0
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._session.wait_lost())
                tasks.create_task(self._watch())
                tasks.create_task(self._session.renew())
                tasks.create_task(self._look_ahead())
                for subscription in self._pushed:
                    tasks.create_task(subscription.tend())
                for group in self._refused:
                    tasks.create_task(self._read_instead(group))
                for _ in range(waiting):
                    tasks.create_task(self._publish())
        except ExceptionGroup as group:
            raise group.exceptions[0] from None

    async def read(self, group: TagGroup) -> Scan:
        return await self._readers[group.id].read()

    async def write(self, tag: Tag, value: Value) -> None:
        await self._writer.write(tag, value)

    async def close(self) -> None:
        await self._session.close()

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(self._keepalive / SECOND)
            for subscription in self._pushed:
                subscription.check()
            await self._session.probe()

    async def _look_ahead(self) -> None:
        """A session may last longer than the certificate that opened it."""
        known = [
            f"no subscription for {group.id}, which is read instead: {why}" for group, why in self._refused.items()
        ]
        while True:
            soon = await asyncio.to_thread(expiry.caution, self._settings, self._receiver.clock.now())
            self._receiver.caution("; ".join([*known, soon] if soon else known))
            await asyncio.sleep(LOOK_AHEAD_S)

    async def _read_instead(self, group: TagGroup) -> None:
        """As often as the server would have sent what has changed."""
        reader = Reader(group, self._session, self._receiver.clock)
        while True:
            self._receiver.publish(await reader.read())
            await asyncio.sleep(cast(GroupSettings, group.settings).publishing_interval / SECOND)

    async def _publish(self) -> None:
        """One of several requests that wait at the server for something to say."""
        while True:
            acknowledgements, self._acknowledgements = self._acknowledgements, []
            result = await self._session.publish(acknowledgements)
            if result is None:
                self._acknowledgements += acknowledgements
                return  # those that wait already must do
            self._take(result)

    def _take(self, result: ua.PublishResult) -> None:
        subscription = self._subscriptions.get(result.SubscriptionId)
        if subscription is None:
            raise ConnectionLost(f"{self._session.where} speaks of a subscription that we do not have")
        message = result.NotificationMessage
        if message.NotificationData:
            self._acknowledgements.append(ua.SubscriptionAcknowledgement(result.SubscriptionId, message.SequenceNumber))
        subscription.take(message)

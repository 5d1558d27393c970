"""One session with one server: its services, each bounded, its errors translated, in requests that it can bear."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, TypeVar, cast

from asyncua import ua
from asyncua.ua.attribute_ids import AttributeIds
from asyncua.ua.object_ids import ObjectIds
from asyncua.ua.uaerrors import BadTooManyPublishRequests, UaStatusCodeError

from drivers.opcua.address import Address, Identifier
from drivers.opcua.login import log_in
from drivers.opcua.refusal import GONE, NO_ROOM, NoRoom, translated, words
from drivers.opcua.settings import LinkSettings
from drivers.opcua.transport import make_client
from gateway.clock import MILLISECOND, SECOND, Clock
from gateway.errors import ConnectionLost, GatewayError

BATCH: Final = 200
"""Nodes in one request. More gain little, and small controllers take much longer for them."""
CLOSE_S: Final = 2.0
RENEW_AT: Final = 0.75
"""Of the lifetime of a channel's security token (OPC UA Part 4, 5.5.2.1)."""
LEAST_RENEWAL_S: Final = 0.5
CHANNEL_MS: Final = 3_600_000

T = TypeVar("T")


def _node(identifier: Identifier, namespace: int = 0) -> ua.NodeId:
    return ua.NodeId(cast("ua.Int32", identifier), ua.Int16(namespace))


_NAMESPACES: Final = _node(ObjectIds.Server_NamespaceArray)
_STATE: Final = _node(ObjectIds.Server_ServerStatus_State)
_LIMITS: Final = (
    _node(ObjectIds.Server_ServerCapabilities_OperationLimits_MaxNodesPerRead),
    _node(ObjectIds.Server_ServerCapabilities_OperationLimits_MaxMonitoredItemsPerCall),
)
_VALUE: Final = AttributeIds.Value


@dataclass(frozen=True, slots=True)
class Rhythm:
    """How a subscription is to go: its publishing and sampling interval and the time between two signs of life of a
    quiet one, in nanoseconds."""

    publishing: int
    sampling: int
    keepalive: int
    queue_size: int
    on_timestamp: bool


class Granted(NamedTuple):
    """What the server made of a rhythm: the subscription's id, its publishing interval and the time between two signs
    of life, in nanoseconds."""

    id: int
    publishing: int
    keepalive: int


class Item(NamedTuple):
    """What the server made of a monitored item: its status code, and its sampling interval in nanoseconds."""

    status: int
    sampling: int


class Session:
    """Made fresh for every session of the link: `open` once, then the rest, at last `close`."""

    def __init__(self, settings: LinkSettings, clock: Clock) -> None:
        self.where = settings.url
        self.namespaces: list[str] = []
        self._settings = settings
        self._clock = clock
        self._timeout = settings.timeout / SECOND
        self._client, self._transport = make_client(settings.url, self._timeout)
        self._client.secure_channel_timeout = CHANNEL_MS
        self._batch = BATCH

    async def open(self) -> None:
        """Raises ConfigError, ConnectionLost."""
        with translated(self.where):
            await log_in(self._client, self._settings, self._clock.now())
        self.namespaces, limits = await self._look()
        self._batch = min([BATCH, *limits])

    def resolve(self, address: Address) -> ua.NodeId | None:
        """The node's id in this session; None where the server does not know its namespace."""
        if isinstance(address.namespace, int):
            return _node(address.identifier, address.namespace)
        if address.namespace not in self.namespaces:
            return None
        return _node(address.identifier, self.namespaces.index(address.namespace))

    async def read(self, nodes: Sequence[ua.NodeId], attribute: AttributeIds = _VALUE) -> list[ua.DataValue]:
        """One value a node, in their order; a node that cannot be read has a bad status."""
        found: list[ua.DataValue] = []
        for batch in self._batches(nodes):
            wanted = [ua.ReadValueId(NodeId=node, AttributeId=attribute) for node in batch]
            parameters = ua.ReadParameters(0.0, ua.TimestampsToReturn.Both, wanted)
            with translated(self.where):
                values = await self._transport.read(parameters)
            found += self._complete(values, batch)
        return found

    async def write(self, node: ua.NodeId, value: ua.Variant) -> int:
        """Returns the status code, of the write or of the whole request where the server refuses that. A time or a
        quality is not written: many servers take none."""
        item = ua.WriteValue(node, _VALUE, None, ua.DataValue(value, None))
        with translated(self.where):
            try:
                statuses = await self._transport.write(ua.WriteParameters([item]))
            except UaStatusCodeError as fault:
                if fault.code in GONE:
                    raise
                return int(fault.code)
        return int(self._complete(statuses, [item])[0].value)

    async def subscribe(self, rhythm: Rhythm) -> Granted:
        """A subscription without items. The server may go slower than it is asked to. Raises NoRoom."""
        keepalive = max(1, rhythm.keepalive // rhythm.publishing)
        parameters = ua.CreateSubscriptionParameters(
            RequestedPublishingInterval=rhythm.publishing / MILLISECOND,
            RequestedLifetimeCount=10 * keepalive,
            RequestedMaxKeepAliveCount=keepalive,
            MaxNotificationsPerPublish=10_000,
            PublishingEnabled=True,
        )
        with translated(self.where):
            try:
                revised = await self._transport.create_subscription(parameters, _ignore)
            except UaStatusCodeError as fault:
                if fault.code in NO_ROOM:
                    raise NoRoom(words(fault.code)) from fault
                raise
            publishing = max(round(revised.RevisedPublishingInterval * MILLISECOND), rhythm.publishing)
        count = int(revised.RevisedMaxKeepAliveCount)
        return Granted(int(revised.SubscriptionId), publishing, max(publishing * count, rhythm.keepalive))

    async def monitor(self, subscription: int, items: Sequence[tuple[int, ua.NodeId]], rhythm: Rhythm) -> list[Item]:
        """Add nodes, each under a handle of ours, to a subscription. What became of each, in their order."""
        made: list[Item] = []
        for batch in self._batches(items):
            wanted = [_item(handle, node, rhythm) for handle, node in batch]
            parameters = ua.CreateMonitoredItemsParameters(subscription, ua.TimestampsToReturn.Both, wanted)
            with translated(self.where):
                results = await self._transport.create_monitored_items(parameters)
                made += [_made(result) for result in self._complete(results, batch)]
        return made

    async def publish(self, acknowledgements: list[ua.SubscriptionAcknowledgement]) -> ua.PublishResult | None:
        """What the server has to say next; it may take its time, which is for the caller to notice. None where it does
        not let so many requests wait."""
        with translated(self.where):
            try:
                response = await self._transport.publish(acknowledgements)
                response.ResponseHeader.ServiceResult.check()
            except BadTooManyPublishRequests:
                return None
        result: ua.PublishResult = response.Parameters
        return result

    async def probe(self) -> None:
        """Make sure that the server still answers and means to stay, and learn of new namespaces."""
        state, namespaces = await self.read([_STATE, _NAMESPACES])
        if state.Value is not None and state.Value.Value == ua.ServerState.Shutdown:
            raise ConnectionLost(f"the server {self.where} is shutting down")
        now_there = _texts(namespaces) or self.namespaces
        if now_there[: len(self.namespaces)] != self.namespaces:
            raise ConnectionLost(f"the namespaces of {self.where} have moved")
        self.namespaces = now_there

    async def wait_lost(self) -> None:
        """Until the socket is closed, by whomever. Raises ConnectionLost."""
        await self._transport.lost.wait()
        raise ConnectionLost(f"the connection to {self.where} was lost")

    async def renew(self) -> None:
        """Keep the secure channel's keys fresh, for as long as it lasts."""
        while True:
            await asyncio.sleep(max(LEAST_RENEWAL_S, self._client.secure_channel_timeout / 1_000 * RENEW_AT))
            with translated(self.where):
                await self._client.open_secure_channel(renew=True)
                self._transport.revolve_security_token()

    async def close(self) -> None:
        """Say goodbye, as far as the server listens. Never raises."""
        if self._transport.alive:
            with contextlib.suppress(GatewayError, TimeoutError):
                await self._say_goodbye()
        self._transport.abort()
        await asyncio.sleep(0)  # the loop's turn to let go of the socket

    async def _say_goodbye(self) -> None:
        async with asyncio.timeout(CLOSE_S):
            with translated(self.where):
                await self._client.close_session()
                await self._client.close_secure_channel()

    async def _look(self) -> tuple[list[str], list[int]]:
        """The namespaces, and those limits on one request that the server has."""
        namespaces, *limits = await self.read([_NAMESPACES, *_LIMITS])
        values = [each.Value.Value for each in limits if each.Value is not None]
        return _texts(namespaces), [value for value in values if isinstance(value, int) and value > 0]

    def _batches(self, items: Sequence[T]) -> Iterator[Sequence[T]]:
        return (items[start : start + self._batch] for start in range(0, len(items), self._batch))

    def _complete(self, results: list[T] | None, asked: Sequence[object]) -> list[T]:
        if results is None or len(results) != len(asked):
            raise ConnectionLost(f"{self.where} answered {len(results or ())} of {len(asked)} questions")
        return results


def _item(handle: int, node: ua.NodeId, rhythm: Rhythm) -> ua.MonitoredItemCreateRequest:
    parameters = ua.MonitoringParameters(
        ClientHandle=handle,
        SamplingInterval=rhythm.sampling / MILLISECOND,
        QueueSize=rhythm.queue_size,
        DiscardOldest=True,
    )
    if rhythm.on_timestamp:
        parameters.Filter = ua.DataChangeFilter(ua.DataChangeTrigger.StatusValueTimestamp)
    wanted = ua.ReadValueId(NodeId=node, AttributeId=_VALUE)
    return ua.MonitoredItemCreateRequest(wanted, ua.MonitoringMode.Reporting, parameters)


def _made(result: ua.MonitoredItemCreateResult) -> Item:
    return Item(int(result.StatusCode.value), round(result.RevisedSamplingInterval * MILLISECOND))


def _texts(data: ua.DataValue) -> list[str]:
    found = data.Value.Value if data.Value is not None else None
    return [text for text in found if isinstance(text, str)] if isinstance(found, list) else []


def _ignore(result: ua.PublishResult) -> None:
    """asyncua would call it from a publishing loop of its own, which never runs here."""

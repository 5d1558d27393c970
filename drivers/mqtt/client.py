"""One MQTT session: connect, subscribe, publish, acknowledge. paho speaks the protocol; see `pump` for how it runs."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from paho.mqtt.client import (
    MQTT_CLEAN_START_FIRST_ONLY,
    Client,
    ConnectFlags,
    DisconnectFlags,
    MQTTMessage,
)
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from drivers.mqtt.pump import Pump
from drivers.mqtt.settings import LinkSettings
from gateway.clock import SECOND
from gateway.errors import CommandRefused, ConfigError, ConnectionLost, DeviceSilent, GatewayError

if TYPE_CHECKING:
    from paho.mqtt.client import SocketLike

RECEIVE_MAXIMUM = 65_535
"""How many messages the broker may send before the first is acknowledged. With fewer, it would drop some meanwhile."""
WRITE_TIMEOUT_S = 5
FILTERS = 64
"""Subscriptions in one packet."""

# MQTT 5.0, 3.2.2.2: refusals that waiting does not change, and what to look at. paho maps the codes of 3.1.1 to these.
_PERMANENT = {
    132: "set version: 3.1.1 if the broker knows no MQTT 5",
    133: "set another client_id",
    134: "look at username and password",
    135: "look at username and password, and at what the broker allows",
    138: "the broker has banned this client",
    140: "look at username and password",
    157: "the broker has moved, look at host",
}
_NO_SUBSCRIBER = 16
_TAKEN_OVER = 142
_CONNACK = 0
"""Where the CONNACK is waited for, among the answers to packets; no packet has this identifier."""


class Connection:
    """Made fresh for every session: `open` once, then the rest, at last `close`."""

    def __init__(self, settings: LinkSettings, client_id: str, deliver: Callable[[MQTTMessage], None]) -> None:
        """`deliver` is given each message. What it raises ends the session, and comes out of `wait`."""
        self._settings = settings
        self._where = f"{settings.host}:{settings.port}"
        self._is_v5 = settings.version == 5
        self._answers: dict[int, asyncio.Future[list[ReasonCode]]] = {}
        self._error: GatewayError | None = None
        self._lost = asyncio.Event()
        self._paho = self._client(client_id, deliver)
        self._pump: Pump | None = None

    async def open(self) -> None:
        """Connect and wait until the broker accepts the session. Raises ConfigError, ConnectionLost."""
        self._authenticate()
        self._pump = Pump(self._paho, self._fail)
        await self._connect()
        self._pump.start()
        (reason,) = await self._answer(_CONNACK)
        if reason.value in _PERMANENT:
            raise ConfigError(f"the broker {self._where} refuses us: {reason}; {_PERMANENT[reason.value]}")
        if reason.is_failure:
            raise ConnectionLost(f"the broker {self._where} refuses us: {reason}")

    async def subscribe(self, filters: Sequence[tuple[str, int]]) -> None:
        """Subscribe to pairs of a topic filter and a QoS. Raises ConfigError for one that the broker does not grant."""
        for start in range(0, len(filters), FILTERS):
            batch = filters[start : start + FILTERS]
            self._check()
            _, mid = self._paho.subscribe(self._subscriptions(batch))
            for (text, qos), reason in zip(batch, await self._answer(mid), strict=False):
                if reason.is_failure:
                    raise ConfigError(f"the broker {self._where} refuses the subscription to {text!r}: {reason}")
                if reason.value < qos:
                    raise ConfigError(f"the broker {self._where} grants {text!r} at QoS 0 only: set qos: 0")

    async def wait(self) -> None:
        """Stay until the session ends, then raise why: ConnectionLost, or what `deliver` raised."""
        period = min(1.0, self._settings.keepalive / SECOND / 4)
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(period):
                    await self._lost.wait()
            if self._error is not None:
                raise self._error
            if self._pump is not None:
                self._pump.probe()

    async def publish(self, topic: str, payload: bytes) -> None:
        """Publish at QoS 1, never retained, and return when the broker has it.

        Raises CommandRefused where the broker says no, DeviceSilent where it knows that nobody subscribes to the topic
        or does not answer (then the outcome is unknown), and ConnectionLost.
        """
        self._check()
        info = self._paho.publish(topic, payload, qos=1, retain=False, properties=self._expiry())
        try:
            async with asyncio.timeout(WRITE_TIMEOUT_S):
                (reason,) = await self._answer(info.mid)
        except TimeoutError:
            raise DeviceSilent(f"the broker did not acknowledge {topic} within {WRITE_TIMEOUT_S} s") from None
        if reason.is_failure:
            raise CommandRefused(f"the broker refuses {topic}: {reason}")
        if reason.value == _NO_SUBSCRIBER:
            raise DeviceSilent(f"nobody subscribes to {topic}")

    def acknowledge(self, mid: int, qos: int) -> None:
        """Let the broker forget a message. Nothing happens once the session has ended: the message comes again."""
        if self._error is None:
            self._paho.ack(mid, qos)

    def close(self) -> None:
        """Say goodbye, as far as the socket takes it. The broker keeps the session. Never raises."""
        if self._error is None and self._paho.is_connected():
            self._paho.disconnect()
            self._paho.loop_write()
        self._fail(ConnectionLost("the session was closed"))
        if self._pump is not None:
            self._pump.stop()

    def _client(self, client_id: str, deliver: Callable[[MQTTMessage], None]) -> Client:
        client = Client(
            CallbackAPIVersion.VERSION2,
            client_id,
            clean_session=None if self._is_v5 else self._settings.session_expiry == 0,
            protocol=MQTTProtocolVersion.MQTTv5 if self._is_v5 else MQTTProtocolVersion.MQTTv311,
            reconnect_on_failure=False,
            manual_ack=True,
        )
        client.connect_timeout = self._settings.open_timeout / SECOND
        client.on_socket_open = self._on_open
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_subscribe = lambda _client, _data, mid, reasons, _properties: self._answered(mid, reasons)
        client.on_publish = lambda _client, _data, mid, reason, _properties: self._answered(mid, [reason])
        client.on_message = lambda _client, _data, message: deliver(message)
        return client

    def _authenticate(self) -> None:
        settings = self._settings
        try:
            if settings.username is not None:
                password = settings.password.reveal() if settings.password else None
                self._paho.username_pw_set(settings.username, password)
            if settings.tls is not None:
                self._paho.tls_set_context(settings.tls.context())
        except (LookupError, OSError) as error:
            raise ConfigError(f"cannot log in to {self._where}: {error}") from error

    async def _connect(self) -> None:
        try:
            await asyncio.to_thread(self._dial)
        except ssl.SSLCertVerificationError as error:
            raise ConfigError(f"the certificate of {self._where} is not trusted: {error.verify_message}") from error
        except (OSError, ValueError) as error:
            raise ConnectionLost(f"no connection to {self._where}: {error}") from error

    def _dial(self) -> None:
        """Blocks: paho resolves the name, connects and shakes hands, the last two within `connect_timeout` each."""
        settings = self._settings
        properties = None
        if self._is_v5:
            properties = _properties(
                PacketTypes.CONNECT,
                SessionExpiryInterval=min(settings.session_expiry // SECOND, 0xFFFF_FFFF),
                ReceiveMaximum=RECEIVE_MAXIMUM,
                MaximumPacketSize=settings.max_packet,
            )
        self._paho.connect(
            settings.host,
            settings.port,
            settings.keepalive // SECOND,
            clean_start=False if self._is_v5 else MQTT_CLEAN_START_FIRST_ONLY,
            properties=properties,
        )

    def _subscriptions(self, batch: Sequence[tuple[str, int]]) -> Any:
        if not self._is_v5:
            return list(batch)
        # noLocal: what we publish is a command, and must not come back as a measurement.
        return [(text, SubscribeOptions(qos=qos, noLocal=True)) for text, qos in batch]

    def _expiry(self) -> Properties | None:
        """A command that its device has not fetched in time is worth nothing."""
        return _properties(PacketTypes.PUBLISH, MessageExpiryInterval=WRITE_TIMEOUT_S) if self._is_v5 else None

    async def _answer(self, mid: int | None) -> list[ReasonCode]:
        """What the broker answers to the packet `mid`. Raises ConnectionLost if the session ends first."""
        if mid is None:
            raise ConnectionLost(f"the connection to {self._where} is closed")
        answer: asyncio.Future[list[ReasonCode]] = asyncio.get_running_loop().create_future()
        self._answers[mid] = answer
        try:
            return await answer
        finally:
            del self._answers[mid]

    def _answered(self, mid: int, reasons: list[ReasonCode]) -> None:
        answer = self._answers.get(mid)
        if answer is not None and not answer.done():
            answer.set_result(reasons)

    def _check(self) -> None:
        """Whatever ended the session, to whoever wants something from it the connection is lost."""
        if self._error is not None:
            raise ConnectionLost(str(self._error)) from self._error

    def _fail(self, error: GatewayError) -> None:
        """The session has ended; the first reason counts."""
        if self._error is not None:
            return
        self._error = error
        self._lost.set()
        for answer in self._answers.values():
            if not answer.done():
                answer.set_exception(ConnectionLost(str(error)))

    def _on_open(self, _client: Client, _data: object, sock: SocketLike) -> None:
        """In the connecting thread, before CONNECT leaves. Whoever waited may have given up: then this session must not
        take the client id away from the next one."""
        if self._error is not None:
            sock.close()
            raise ConnectionLost("given up while connecting")
        if isinstance(sock, socket.socket):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def _on_connect(
        self, _client: Client, _data: object, _flags: ConnectFlags, reason: ReasonCode, _properties: Properties | None
    ) -> None:
        self._answered(_CONNACK, [reason])

    def _on_disconnect(
        self, _client: Client, _data: object, flags: DisconnectFlags, reason: ReasonCode, _properties: Properties | None
    ) -> None:
        if not flags.is_disconnect_packet_from_server:
            self._fail(ConnectionLost(f"the connection to {self._where} was lost"))
        elif reason.value == _TAKEN_OVER:
            self._fail(ConnectionLost(f"another client has taken over our client_id at {self._where}"))
        else:
            self._fail(ConnectionLost(f"the broker {self._where} ended the session: {reason}"))


def _properties(packet: int, **values: int) -> Properties:
    properties = Properties(packet)  # type: ignore[no-untyped-call]
    for name, value in values.items():
        setattr(properties, name, value)
    return properties

"""One MQTT session: connect, subscribe, publish, acknowledge. paho speaks the protocol; see `pump` for how it runs."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from paho.mqtt.client import (
    MQTT_CLEAN_START_FIRST_ONLY,
    Client,
    ConnectFlags,
    DisconnectFlags,
    MQTTMessage,
)
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from gateway.clock import SECOND
from gateway.errors import ConfigError, ConnectionLost, GatewayError
from gateway.mqtt.packet import given, properties
from gateway.mqtt.pump import Pump
from gateway.mqtt.settings import BrokerSettings

if TYPE_CHECKING:
    from paho.mqtt.client import SocketLike

Answer: TypeAlias = "asyncio.Future[list[ReasonCode]]"
"""What the broker says to one packet; nothing where the session ended before it said anything."""

MOST_RECEIVED = 65_535
"""How many messages the broker may send before the first is acknowledged. With fewer, it would drop some meanwhile."""
MOST_SENT = 1_000
"""How many messages we send before the first is acknowledged, where the broker would bear more."""
MOST_BYTES = 268_435_455
"""The largest packet that paho knows (MQTT 5.0, 2.1.4)."""
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
_TAKEN_OVER = 142
_CONNACK = 0
"""Where the CONNACK is waited for, among the answers to packets; no packet has this identifier."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What we want of a session. `session_expiry` and `timeout`, for connecting, are in nanoseconds."""

    version: Literal[5, "3.1.1"] = 5
    session_expiry: int = 0
    most_received: int = MOST_RECEIVED
    max_packet: int = MOST_BYTES
    timeout: int = 10 * SECOND


class SessionEnded(ConnectionLost):
    """The broker ended the session, and says why: a reason code of DISCONNECT (MQTT 5.0, 3.14.2.1)."""

    def __init__(self, reason: str, code: int) -> None:
        super().__init__(reason)
        self.code = code


class Session:
    """Made fresh for every session: `open` once, then the rest, at last `close`."""

    def __init__(
        self, broker: BrokerSettings, client_id: str, terms: Terms, deliver: Callable[[MQTTMessage], None]
    ) -> None:
        """`deliver` is given each message. What it raises ends the session, and comes out of `wait`."""
        self.where = f"{broker.host}:{broker.port}"
        self.max_packet = MOST_BYTES
        """What the broker takes at most, in bytes, once it is known."""
        self.takes_qos_1 = True
        self._broker = broker
        self._terms = terms
        self._is_v5 = terms.version == 5
        self._window = MOST_SENT
        self._flying: set[int] = set()
        self._queue: deque[asyncio.Future[None]] = deque()
        self._answers: dict[int, Answer] = {}
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
        (reason,) = await self.outcome(self._expect(_CONNACK))
        if reason.value in _PERMANENT:
            raise ConfigError(f"the broker {self.where} refuses us: {reason}; {_PERMANENT[reason.value]}")
        if reason.is_failure:
            raise ConnectionLost(f"the broker {self.where} refuses us: {reason}")

    @property
    def stands(self) -> bool:
        return self._error is None

    async def subscribe(self, filters: Sequence[tuple[str, int]], as_published: bool = False) -> None:
        """Subscribe to pairs of a topic filter and a QoS. A message says that it is retained only where it was kept for
        us; `as_published`, also where it was published so just now. Raises ConfigError for a filter that the broker
        does not grant."""
        for start in range(0, len(filters), FILTERS):
            batch = filters[start : start + FILTERS]
            self.check()
            _, mid = self._paho.subscribe(self._subscriptions(batch, as_published))
            for (text, qos), reason in zip(batch, await self.outcome(self._expect(mid)), strict=False):
                if reason.is_failure:
                    raise ConfigError(f"the broker {self.where} refuses the subscription to {text!r}: {reason}")
                if reason.value < qos:
                    raise ConfigError(f"the broker {self.where} grants {text!r} at QoS 0 only: set qos: 0")

    async def wait(self) -> None:
        """Stay until the session ends, then raise why: ConnectionLost, or what `deliver` raised."""
        await self._lost.wait()
        assert self._error is not None
        raise self._error

    async def send(self, topic: str, payload: bytes, about: Properties | None = None) -> Answer:
        """Publish at QoS 1, never retained, as soon as the broker has room for one more (MQTT 5.0, 3.2.2.3.3). Returns
        what `outcome` is to be asked for. Raises ConnectionLost."""
        while len(self._flying) >= self._window and self._error is None:
            room = asyncio.get_running_loop().create_future()
            self._queue.append(room)
            await room
        self.check()
        info = self._paho.publish(topic, payload, qos=1, retain=False, properties=about)
        self.check()  # paho may have found out just now
        if info.rc != MQTTErrorCode.MQTT_ERR_SUCCESS:
            raise ConnectionLost(f"the connection to {self.where} is closed")
        self._flying.add(info.mid)
        return self._expect(info.mid)

    async def outcome(self, answer: Answer) -> list[ReasonCode]:
        """What the broker answers. Raises ConnectionLost if the session ends first."""
        reasons = await answer
        if not reasons:
            self.check()
        return reasons

    def acknowledge(self, mid: int, qos: int) -> None:
        """Let the broker forget a message. Nothing happens once the session has ended: the message comes again."""
        if self._error is None:
            self._paho.ack(mid, qos)

    def check(self) -> None:
        """Raises ConnectionLost once the session has ended, whatever ended it."""
        if isinstance(self._error, ConnectionLost):
            raise self._error
        if self._error is not None:
            raise ConnectionLost(str(self._error)) from self._error

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
            clean_session=None if self._is_v5 else self._terms.session_expiry == 0,
            protocol=MQTTProtocolVersion.MQTTv5 if self._is_v5 else MQTTProtocolVersion.MQTTv311,
            reconnect_on_failure=False,
            manual_ack=True,
        )
        client.connect_timeout = self._terms.timeout / SECOND
        client.max_inflight_messages_set(0)  # it does not know what the broker bears; `send` does
        client.on_socket_open = self._on_open
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_subscribe = lambda _client, _data, mid, reasons, _properties: self._answered(mid, reasons)
        client.on_publish = lambda _client, _data, mid, reason, _properties: self._answered(mid, [reason])
        client.on_message = lambda _client, _data, message: deliver(message)
        return client

    def _authenticate(self) -> None:
        broker = self._broker
        try:
            if broker.username is not None:
                password = broker.password.reveal() if broker.password else None
                self._paho.username_pw_set(broker.username, password)
            if broker.tls is not None:
                self._paho.tls_set_context(broker.tls.context())
        except (LookupError, OSError) as error:
            raise ConfigError(f"cannot log in to {self.where}: {error}") from error

    async def _connect(self) -> None:
        try:
            await asyncio.to_thread(self._dial)
        except ssl.SSLCertVerificationError as error:
            raise ConfigError(f"the certificate of {self.where} is not trusted: {error.verify_message}") from error
        except (OSError, ValueError) as error:
            raise ConnectionLost(f"no connection to {self.where}: {error}") from error

    def _dial(self) -> None:
        """Blocks: paho resolves the name, connects and shakes hands, the last two within `connect_timeout` each."""
        terms = self._terms
        about = None
        if self._is_v5:
            about = properties(
                PacketTypes.CONNECT,
                SessionExpiryInterval=min(terms.session_expiry // SECOND, 0xFFFF_FFFF),
                ReceiveMaximum=terms.most_received,
                MaximumPacketSize=terms.max_packet,
            )
        self._paho.connect(
            self._broker.host,
            self._broker.port,
            self._broker.keepalive // SECOND,
            clean_start=False if self._is_v5 else MQTT_CLEAN_START_FIRST_ONLY,
            properties=about,
        )

    def _subscriptions(self, batch: Sequence[tuple[str, int]], as_published: bool) -> Any:
        if not self._is_v5:
            return list(batch)
        # noLocal: what we publish is a command, or the answer to one, and must not come back to us.
        options = {"noLocal": True, "retainAsPublished": as_published}
        return [(text, SubscribeOptions(qos=qos, **options)) for text, qos in batch]

    def _expect(self, mid: int | None) -> Answer:
        """The answer to the packet `mid`. Raises ConnectionLost where the session has ended already."""
        self.check()
        if mid is None:
            raise ConnectionLost(f"the connection to {self.where} is closed")
        answer: Answer = asyncio.get_running_loop().create_future()
        self._answers[mid] = answer
        return answer

    def _answered(self, mid: int, reasons: list[ReasonCode]) -> None:
        answer = self._answers.pop(mid, None)
        if answer is not None and not answer.done():  # whoever waited may have given up
            answer.set_result(reasons)
        if mid in self._flying:
            self._flying.remove(mid)
            self._make_room()

    def _make_room(self) -> None:
        while self._queue:
            room = self._queue.popleft()
            if not room.done():
                room.set_result(None)
                return

    def _fail(self, error: GatewayError) -> None:
        """The session has ended; the first reason counts."""
        if self._error is not None:
            return
        self._error = error
        self._lost.set()
        for answer in self._answers.values():
            if not answer.done():
                answer.set_result([])
        self._answers.clear()
        for room in self._queue:
            if not room.done():
                room.set_result(None)

    def _on_open(self, _client: Client, _data: object, sock: SocketLike) -> None:
        """In the connecting thread, before CONNECT leaves. Whoever waited may have given up: then this session must not
        take the client id away from the next one."""
        if self._error is not None:
            sock.close()
            raise ConnectionLost("given up while connecting")
        if isinstance(sock, socket.socket):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def _on_connect(
        self, _client: Client, _data: object, _flags: ConnectFlags, reason: ReasonCode, about: Properties | None
    ) -> None:
        self._window = min(MOST_SENT, int(given(about, "ReceiveMaximum", MOST_SENT)))
        self.max_packet = int(given(about, "MaximumPacketSize", MOST_BYTES))
        self.takes_qos_1 = given(about, "MaximumQoS", 1) > 0
        self._answered(_CONNACK, [reason])

    def _on_disconnect(
        self, _client: Client, _data: object, flags: DisconnectFlags, reason: ReasonCode, _properties: Properties | None
    ) -> None:
        if not flags.is_disconnect_packet_from_server:
            self._fail(ConnectionLost(f"the connection to {self.where} was lost"))
        elif reason.value == _TAKEN_OVER:
            self._fail(SessionEnded(f"another client has taken over our client_id at {self.where}", _TAKEN_OVER))
        else:
            self._fail(SessionEnded(f"the broker {self.where} ended the session: {reason}", reason.value))

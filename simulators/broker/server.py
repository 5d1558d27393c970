"""The broker itself: connections, and what passes between their sessions."""

from __future__ import annotations

import asyncio
import math
import secrets
from collections import Counter
from dataclasses import replace

from simulators.broker import codec
from simulators.broker.packet import (
    NEVER,
    Connect,
    Disconnect,
    Kind,
    Packet,
    Ping,
    Puback,
    Publish,
    Reason,
    Refused,
    Subscribe,
    Unsubscribe,
)
from simulators.broker.session import FILTERS, Session
from simulators.broker.topic import flaw

SESSIONS = 1_000
BACKLOG = 8 << 20  # bytes that a client may leave unread before it is let go
CONNECT_SECONDS = 10.0  # until a client has said who it is
DISCONNECT_WITH_WILL = 4
CONNACK_CODES = {
    Reason.UNSUPPORTED_VERSION: 1,
    Reason.CLIENT_ID_INVALID: 2,
    Reason.QUOTA_EXCEEDED: 3,
}  # MQTT 3.1.1, 3.2.2.3


class Broker:
    """`largest` is the longest packet taken, in bytes."""

    def __init__(self, largest: int = 1 << 20) -> None:
        self.largest = largest
        self.counts = Counter[str](received=0, delivered=0, redelivered=0, dropped=0, unmatched=0)
        self.sessions: dict[str, Session] = {}
        self.connections: dict[Session, Connection] = {}
        self._expiries: dict[Session, asyncio.TimerHandle] = {}

    def attach(self, connection: Connection, connect: Connect) -> tuple[Session, bool]:
        """The session that a new connection belongs to, and whether there was one. Raises Refused."""
        session = self.sessions.get(connect.client_id)
        if session is not None:
            self._take_over(session)
        if connect.clean_start:
            self.sessions.pop(connect.client_id, None)
        present = connect.client_id in self.sessions
        if not present and len(self.sessions) >= SESSIONS:
            raise Refused(Reason.QUOTA_EXCEEDED)
        session = self.sessions.setdefault(connect.client_id, Session(connect.client_id))
        session.expiry = connect.expiry
        session.resume(connect.receive_maximum)
        self.connections[session] = connection
        return session, present

    def detach(self, session: Session) -> None:
        """The connection is gone; the session lives on for its expiry interval."""
        del self.connections[session]
        session.suspend()
        if session.expiry == 0:
            self._forget(session)
        elif session.expiry != NEVER:
            loop = asyncio.get_running_loop()
            self._expiries[session] = loop.call_later(session.expiry, self._forget, session)

    def route(self, message: Publish, publisher: Session | None) -> Reason:
        """Hand a message to everybody who is subscribed."""
        self.counts["received"] += 1
        matched = False
        for session in self.sessions.values():
            options = session.grant(message, publisher)
            if options is not None:
                matched = True
                self._hand(session, message, options)
        self.counts["unmatched"] += not matched
        return Reason.SUCCESS if matched else Reason.NO_MATCHING_SUBSCRIBERS

    def _hand(self, session: Session, message: Publish, options: int) -> None:
        before = session.dropped
        session.offer(message, options)
        self.counts["dropped"] += session.dropped - before
        if session in self.connections:
            self.connections[session].pump()

    def _take_over(self, session: Session) -> None:
        if timer := self._expiries.pop(session, None):
            timer.cancel()
        if former := self.connections.get(session):
            former.close(Reason.SESSION_TAKEN_OVER)

    def _forget(self, session: Session) -> None:
        self._expiries.pop(session, None)
        if self.sessions.get(session.client_id) is session:
            del self.sessions[session.client_id]


class Connection(asyncio.Protocol):
    """One client. Everything here happens inside the receive callback; nothing waits."""

    transport: asyncio.Transport
    _timer: asyncio.TimerHandle

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._frames = codec.Frames(broker.largest)
        self._loop = asyncio.get_running_loop()
        self._session: Session | None = None
        self._level = 4
        self._largest = NEVER
        self._will: Publish | None = None
        self._writable = True
        self._patience = CONNECT_SECONDS
        self._heard = self._loop.time()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self._watch()

    def connection_lost(self, error: Exception | None) -> None:
        self._timer.cancel()
        self._leave()

    def pause_writing(self) -> None:
        self._writable = False

    def resume_writing(self) -> None:
        self._writable = True
        self.pump()

    def data_received(self, data: bytes) -> None:
        self._heard = self._loop.time()
        try:
            for first, body in self._frames.feed(data):
                if self.transport.is_closing():
                    return
                self._take(codec.decode(first, body, self._level))
        except Refused as refusal:
            self.close(refusal.reason)

    def pump(self) -> None:
        """Send what is due, as long as the client reads."""
        if self._session is None:
            return
        counts = self._broker.counts
        due = self._session.due()
        while self._writable and not self.transport.is_closing() and (item := next(due, None)):
            message, again = item
            packet = codec.publish(message, self._level, again)
            if len(packet) > self._largest:  # such a message is dropped as if it had been delivered (3.1.2.11.4)
                self._session.settle(message.packet_id)
                counts["dropped"] += 1
                continue
            self._send(packet)
            counts["redelivered" if again else "delivered"] += 1

    def close(self, reason: Reason) -> None:
        """Let the client go, with the reason where its version can hear it."""
        if self._session is not None and self._level == 5:
            self._send(codec.disconnect(reason))
        elif self._session is None and reason in CONNACK_CODES:
            self._send(codec.connack(False, reason if self._level == 5 else CONNACK_CODES[reason], self._level))
        self._leave()
        self.transport.close()
        self._timer.cancel()
        self._timer = self._loop.call_later(1.0, self.transport.abort)  # if it does not even read that

    def _leave(self) -> None:
        session, will = self._session, self._will
        self._session = self._will = None
        if session is not None:
            self._broker.detach(session)
        if will is not None:
            self._broker.route(will, session)

    def _watch(self) -> None:
        """Let the client go when nothing was heard of it for half as long again as its keep alive (3.1.2.10)."""
        left = self._heard + self._patience - self._loop.time()
        if left <= 0:
            self.close(Reason.KEEP_ALIVE_TIMEOUT)
        else:
            self._timer = self._loop.call_later(left, self._watch)

    def _send(self, data: bytes) -> None:
        self.transport.write(data)
        if self.transport.get_write_buffer_size() > BACKLOG:
            self.transport.abort()

    def _take(self, packet: Packet) -> None:
        if isinstance(packet, Connect):
            self._connect(packet)
        elif self._session is None:
            raise Refused(Reason.PROTOCOL_ERROR)
        else:
            self._serve(self._session, packet)

    def _serve(self, session: Session, packet: Packet) -> None:
        match packet:
            case Publish():
                reason = self._broker.route(packet, session)
                if packet.qos:
                    self._send(codec.puback(packet.packet_id, reason, self._level))
            case Puback():
                session.settle(packet.packet_id)
                self.pump()
            case Subscribe():
                granted = [self._subscribe(session, pattern, options) for pattern, options in packet.filters]
                self._send(codec.acknowledge(Kind.SUBACK, packet.packet_id, granted, self._level))
            case Unsubscribe():
                found = [session.filters.pop(pattern, None) is not None for pattern in packet.filters]
                reasons = [Reason.SUCCESS if was else Reason.NO_SUBSCRIPTION_EXISTED for was in found]
                self._send(codec.acknowledge(Kind.UNSUBACK, packet.packet_id, reasons, self._level))
            case Ping():
                self._send(codec.frame(Kind.PINGRESP, b""))
            case Disconnect():
                self._disconnect(session, packet)
            case _:
                raise Refused(Reason.PROTOCOL_ERROR)

    def _connect(self, packet: Connect) -> None:
        if self._session is not None:
            raise Refused(Reason.PROTOCOL_ERROR)
        self._level, self._largest = packet.level, packet.maximum_packet
        if not packet.client_id and packet.level == 4 and not packet.clean_start:
            raise Refused(Reason.CLIENT_ID_INVALID)
        assigned = "" if packet.client_id else secrets.token_hex(8)
        packet = replace(packet, client_id=packet.client_id or assigned)
        self._session, present = self._broker.attach(self, packet)
        self._will = packet.will
        self._send(codec.connack(present, Reason.SUCCESS, self._level, assigned))
        self._patience = 1.5 * packet.keep_alive or math.inf
        self._timer.cancel()
        self._watch()
        self.pump()

    def _subscribe(self, session: Session, pattern: str, options: int) -> int:
        """The reason code for one filter: the QoS that is granted, or why there is none."""
        reason = flaw(pattern)
        if reason is None and len(session.filters) >= FILTERS and pattern not in session.filters:
            reason = Reason.QUOTA_EXCEEDED
        if reason is not None:
            return reason if self._level == 5 else 0x80
        session.filters[pattern] = options
        return min(options & 3, 1)

    def _disconnect(self, session: Session, packet: Disconnect) -> None:
        if packet.expiry is not None and session.expiry:  # it may not be set where it was 0 (3.14.2.2.2)
            session.expiry = packet.expiry
        if packet.reason != DISCONNECT_WITH_WILL:
            self._will = None
        self._leave()
        self.transport.close()

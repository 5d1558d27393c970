"""Datagrams in and out, under aiocoap's message layer.

aiocoap's own transports decode whatever comes: a name that is not UTF-8 costs 1.8 kB of traceback for seven bytes,
unknown option numbers and content formats are remembered for ever, as is every message id for four minutes. Here a
datagram is parsed by `datagram` first, repeats are known by `recent`, and only what is left becomes a message.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Any, NamedTuple

from aiocoap import interfaces
from aiocoap.message import Direction, Message
from aiocoap.messagemanager import MessageManager
from aiocoap.numbers.constants import TransportTuning
from aiocoap.numbers.optionnumbers import OptionNumber
from aiocoap.numbers.types import Type

from drivers.coap import datagram, udp
from drivers.coap.datagram import Datagram, Malformed
from drivers.coap.message import Address
from drivers.coap.recent import Recent
from drivers.coap.udp import Ancillary, SocketAddress

BATCH = 64
"""Datagrams taken in one turn of the loop, so that a flood leaves the others on it their turn."""
MAX_DATAGRAM = 4096


class Remote(interfaces.EndpointAddress):  # type: ignore[misc]
    """Whom a message is from or for. Two are the same if their addresses are; `back` is the way back to it."""

    is_multicast = False
    is_multicast_locally = False
    scheme = "coap"
    hostinfo_local = "localhost"
    uri_base_local = "coap://localhost"

    def __init__(self, address: SocketAddress, back: Ancillary = ()) -> None:
        self.address = address
        self.back = back

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Remote) and self.address == other.address

    def __hash__(self) -> int:
        return hash(self.address)

    def __repr__(self) -> str:
        return self.hostinfo

    @property
    def source(self) -> Address:
        return str(self.address[0]), int(self.address[1])

    @property
    def hostinfo(self) -> str:
        host, port = self.source
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    @property
    def uri_base(self) -> str:
        return f"coap://{self.hostinfo}"

    @property
    def blockwise_key(self) -> SocketAddress:
        return self.address


class Outcomes(NamedTuple):
    """Who is told what does not go well: what came cannot be used, the socket has failed, a datagram did not leave."""

    refuse: Callable[[str], None]
    fail: Callable[[OSError], None]
    unsent: Callable[[OSError], None]


class Transport(interfaces.MessageInterface):  # type: ignore[misc]
    """One socket. `tuning` goes with every message that comes, and decides how it is acknowledged."""

    def __init__(self, sock: socket.socket, messages: MessageManager, tuning: TransportTuning, tell: Outcomes) -> None:
        self.heard = 0.0
        """When the last message came, on the loop's clock."""
        self._sock = sock
        self._messages = messages
        self._tuning = tuning
        self._tell = tell
        self._recent = Recent()
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(sock.fileno(), self._read)

    # What aiocoap calls

    def send(self, message: Any) -> None:
        data = message.encode()
        remote: Remote = message.remote
        if message.mtype in (Type.ACK, Type.RST):
            self._recent.answer((remote.source, message.mid), data)
        self._send(data, remote)

    async def determine_remote(self, message: Any) -> None:
        """Nobody is found by name: every request knows its remote."""

    async def recognize_remote(self, remote: object) -> bool:
        return isinstance(remote, Remote)

    async def shutdown(self) -> None:
        self.close()

    def close(self) -> None:
        if self._sock.fileno() >= 0:
            self._loop.remove_reader(self._sock.fileno())
            self._sock.close()

    # The socket

    def _read(self) -> None:
        for _ in range(BATCH):
            if self._sock.fileno() < 0:
                return
            try:
                data, ancillary, flags, address = self._sock.recvmsg(MAX_DATAGRAM, udp.ANCILLARY_SPACE)
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:  # on a connected socket: nobody listens there
                self._tell.fail(error)
                return
            back = udp.way_back(ancillary)
            if back is not None:  # RFC 7252, 8: multicast is not served
                self._receive(data, Remote(address, back), truncated=bool(flags & socket.MSG_TRUNC))

    def _send(self, data: bytes, remote: Remote) -> None:
        if self._sock.fileno() < 0:
            return
        try:
            self._sock.sendmsg([data], remote.back, 0, remote.address)
        except BlockingIOError:
            self._tell.refuse("the send buffer is full, a datagram is lost")
        except OSError as error:
            self._tell.unsent(error)

    def _receive(self, data: bytes, remote: Remote, *, truncated: bool) -> None:
        try:
            if truncated:
                raise Malformed(f"a datagram has more than {MAX_DATAGRAM} bytes")
            taken = datagram.parse(data)
            if taken.unknown and not taken.is_request:
                raise Malformed(f"the response has the unknown critical option {taken.unknown}")
        except Malformed as error:
            self._reject(data, remote, str(error))
            return
        self.heard = self._loop.time()
        key = (remote.source, taken.mid)
        if taken.is_request and self._recent.is_repeat(key, data, self.heard):
            if reply := self._recent.reply(key):
                self._send(reply, remote)
            return
        self._dispatch(_message(taken, remote, len(data), self._tuning))

    def _dispatch(self, message: Message) -> None:
        try:
            self._messages.dispatch_message(message)
        except Exception as error:  # noqa: BLE001 - whatever one datagram does to aiocoap, the next one is taken
            self._tell.refuse(f"a message from {message.remote} could not be handled: {error!r}")

    def _reject(self, data: bytes, remote: Remote, reason: str) -> None:
        """RFC 7252, 4.2: the sender of a confirmable message is told by a reset, which is no longer than the
        message."""
        self._tell.refuse(f"{remote}: {reason}")
        if datagram.is_confirmable(data):
            self._send(bytes([0x70, 0]) + data[2:4], remote)


def _message(taken: Datagram, remote: Remote, size: int, tuning: TransportTuning) -> Message:
    message = Message(code=taken.code, payload=taken.payload, transport_tuning=tuning)
    message.mtype = Type(taken.type)
    message.mid = taken.mid
    message.token = taken.token
    message.remote = remote
    message.direction = Direction.INCOMING
    for number, value in taken.options:
        message.opt.add_option(OptionNumber(number).create_option(decode=value))
    message.size = size
    message.unknown = taken.unknown
    return message

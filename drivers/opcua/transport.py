"""The socket below a session: asyncua's, with bounds, and without its habit of publishing by itself."""

from __future__ import annotations

import asyncio
from typing import Final

from asyncua.client.client import Client
from asyncua.client.ua_client import UaClient, UASocketProtocol
from asyncua.client.ua_session import UaSession
from asyncua.common.connection import TransportLimits
from asyncua.common.utils import Buffer
from asyncua.ua import Acknowledge, AsymmetricAlgorithmHeader, ErrorMessage, Message

MESSAGE: Final = 4 * 1024 * 1024
"""Bytes; no answer of a server may be longer, nor a chunk of it."""
CHUNKS: Final = 64
"""In a message."""
_SEND_CHUNK: Final = 65_535


class Limits(TransportLimits):
    """asyncua would take over whatever the server acknowledges, and that may be none at all."""

    def update_client_limits(self, msg: Acknowledge) -> None:
        if msg.ReceiveBufferSize:
            self.max_send_buffer = min(self.max_send_buffer, msg.ReceiveBufferSize)


class Socket(UASocketProtocol):
    """Keeps no more of an unfinished chunk than a message may have: its length is only a claim."""

    def data_received(self, data: bytes) -> None:
        if len(self.receive_buffer or b"") + len(data) > MESSAGE + _SEND_CHUNK:
            if self.transport is not None:
                self.transport.abort()
            return
        super().data_received(data)

    def _process_received_message(self, msg: Message | Acknowledge | ErrorMessage | None) -> None:
        """A refusal to open the channel raises its reason: asyncua takes every answer for consent."""
        if isinstance(msg, Message) and _opens(msg):
            self.check_answer(_body(msg), "to a request for a secure channel")
        super()._process_received_message(msg)


def _opens(message: Message) -> bool:
    return isinstance(message.SecurityHeader(), AsymmetricAlgorithmHeader)  # type: ignore[no-untyped-call]


def _body(message: Message) -> Buffer:
    body: Buffer = message.body()  # type: ignore[no-untyped-call]
    return body


class QuietSession(UaSession):
    """The driver sends the publish requests, several at once, and bounds the wait for them."""

    def ensure_publish_loop(self) -> None:
        return


class Transport(UaClient):
    def __init__(self, timeout: float) -> None:
        super().__init__(timeout)
        self.lost = asyncio.Event()
        self.session = QuietSession(self)

    def _make_protocol(self) -> UASocketProtocol:  # the only place where asyncua lets limits in
        limits = Limits(MESSAGE, _SEND_CHUNK, CHUNKS, MESSAGE)
        self.protocol = Socket(self._timeout, self.security_policy, limits)
        self.protocol.on_connection_lost = lambda _: self.lost.set()
        self.protocol.is_session_closing = lambda: True  # that an answer comes too late is not worth a warning
        return self.protocol

    @property
    def alive(self) -> bool:
        """The socket is open."""
        return self.protocol is not None and self.protocol.transport is not None

    def abort(self) -> None:
        """Let go of the socket, whatever may still wait in it."""
        if self.protocol is not None and self.protocol.transport is not None:
            self.protocol.transport.abort()


def make_client(url: str, timeout: float) -> tuple[Client, Transport]:
    """A client that has no task of its own: nothing of it reconnects, watches or publishes by itself."""
    client = Client(url, timeout)
    transport = Transport(timeout)
    client.uaclient = transport
    client.max_messagesize, client.max_chunkcount = MESSAGE, CHUNKS
    return client, transport

"""aiocoap's message and token layers on a socket of ours: retransmission, acknowledgement, and which response belongs
to which request. What is asked and answered is up to those who use it.

This takes the place of aiocoap's `Context`, which makes a task for every request, joins blocks without limit, and keeps
only the last of several notifications.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import socket
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol, TypeAlias

from aiocoap import error
from aiocoap.message import Message
from aiocoap.messagemanager import MessageManager
from aiocoap.numbers.constants import TransportTuning
from aiocoap.numbers.types import Type
from aiocoap.pipe import Pipe
from aiocoap.tokenmanager import TokenManager

from drivers.coap.message import Block, Request, Response
from drivers.coap.transport import Outcomes, Remote, Transport
from drivers.coap.udp import SocketAddress
from gateway.errors import ConnectionLost, DeviceSilent, GatewayError

RETRANSMISSIONS = 2
RANDOM_FACTOR = 1.25
TOKEN_BYTES = 4
"""RFC 7252, 5.3.1: at least 32 bits that nobody can guess, where nothing else protects the response."""
ACK_DELAY_S = 1.0
"""How long a response may take and still be its request's acknowledgement; in time before that is sent again."""

Take: TypeAlias = Callable[["Response | GatewayError", bool], None]
"""What becomes of a response, or of none; and whether it is the last to its request."""


class Hearer(Protocol):
    """Whom an endpoint serves."""

    def answer(self, request: Request, call: Call) -> None:
        """Somebody asks."""

    def refuse(self, reason: str) -> None:
        """Something that came could not be used."""

    def fail(self, cause: OSError) -> None:
        """The socket has failed."""


class Call:
    """A request that waits for its response, which may be given later."""

    def __init__(self, pipe: Pipe) -> None:
        self._pipe = pipe
        self._is_open = True
        pipe.on_interest_end(self._forget)

    def respond(self, response: Response) -> None:
        """Nothing happens where nobody waits for it any more."""
        if self._is_open:
            self._is_open = False
            message = _outgoing(response)
            message.transport_tuning = self._pipe.request.transport_tuning
            self._pipe.add_response(message, is_last=True)

    def _forget(self) -> None:
        self._is_open = False


class Exchange:
    """A request of ours that is under way."""

    def __init__(self, request: Request, message: Message, stop: Callable[[], None]) -> None:
        self.request = request
        self.token: bytes = message.token
        self.stop = stop


class Endpoint:
    """One socket: a client's, connected to the server at `address`, or a server's, where there is none."""

    client_credentials = None

    def __init__(self, sock: socket.socket, hearer: Hearer, timeout: float, address: SocketAddress = ()) -> None:
        self.loop = asyncio.get_running_loop()
        self.log = _logger(hearer)
        self._hearer = hearer
        self._address = address
        self._tuning = _tuning(timeout)
        self._tokens = _Tokens(self)
        self._messages = _Messages(self._tokens)
        unsent = hearer.fail if address else _ignore
        self._transport = Transport(sock, self._messages, self._tuning, Outcomes(hearer.refuse, hearer.fail, unsent))
        self._tokens.token_interface = self._messages
        self._messages.message_interface = self._transport

    @property
    def heard(self) -> float:
        """When the last message came, on the loop's clock; 0 if none ever did."""
        return self._transport.heard

    def request(self, request: Request, take: Take) -> Exchange:
        """Send a request. `take` gets each response to it, or the one error that ends it."""
        message = self._incomplete(request)
        pipe = Pipe(message, self.log)
        stop = pipe.on_event(partial(_deliver, take))
        self._tokens.request(pipe)
        return Exchange(request, message, stop)

    def forget(self, exchange: Exchange) -> None:
        """Tell a server, without waiting, that an observation of ours is over (RFC 7641, 3.6)."""
        message = self._incomplete(exchange.request)
        message.opt.observe = 1
        message.token = exchange.token
        message.mtype = Type.NON
        self._messages.send_message(message, lambda: None)

    def ping(self, answered: Callable[[], None]) -> None:
        """An empty message, which must be answered by a reset (RFC 7252, 4.3)."""
        message = Message(code=0, transport_tuning=self._tuning)
        message.mtype = Type.CON
        message.remote = Remote(self._address)
        self._messages.send_message(message, answered)

    def render_to_pipe(self, pipe: Pipe) -> None:
        """Called by aiocoap: a request has come."""
        self._hearer.answer(_incoming(pipe.request), Call(pipe))

    async def close(self) -> None:
        """Whoever waits for a response hears that the connection is lost; whoever asked gets no answer."""
        await self._tokens.shutdown()

    def _incomplete(self, request: Request) -> Message:
        """A message without type, id and token, which aiocoap gives it."""
        message = Message(code=request.code, payload=request.payload, transport_tuning=self._tuning)
        message.remote = Remote(self._address)
        option = message.opt
        option.uri_host = request.host or None
        option.uri_path = request.path
        option.content_format = request.content_format
        option.observe = request.observe
        option.block2 = request.block2
        return message


class _Tokens(TokenManager):  # type: ignore[misc]
    def next_token(self) -> bytes:
        return secrets.token_bytes(TOKEN_BYTES)


class _Messages(MessageManager):  # type: ignore[misc]
    def _deduplicate_message(self, message: Message) -> bool:
        """The transport has done it already, within bounds."""
        return False


class _Refusals(logging.Handler):
    """What aiocoap complains of is a refusal among others: counted and told once, without traceback."""

    def __init__(self, hearer: Hearer) -> None:
        super().__init__(logging.WARNING)
        self._hearer = hearer

    def emit(self, record: logging.LogRecord) -> None:
        self._hearer.refuse(record.getMessage()[:200])


def _ignore(cause: OSError) -> None:
    """Whom a server cannot answer, such as a forged source, is no trouble of the server."""


def _logger(hearer: Hearer) -> logging.Logger:
    """A logger of one endpoint, known to nobody else."""
    logger = logging.Logger("aiocoap", logging.WARNING)
    logger.addHandler(_Refusals(hearer))
    return logger


def _tuning(timeout: float) -> TransportTuning:
    """Two retransmissions, the last given up when `timeout` is over (RFC 7252, 4.2). A request has its response in its
    acknowledgement, unless it takes more than a second."""
    tuning = TransportTuning()
    tuning.MAX_RETRANSMIT = RETRANSMISSIONS
    tuning.ACK_RANDOM_FACTOR = RANDOM_FACTOR
    tuning.ACK_TIMEOUT = timeout / ((2 ** (RETRANSMISSIONS + 1) - 1) * RANDOM_FACTOR)
    tuning.EMPTY_ACK_DELAY = ACK_DELAY_S
    return tuning


def _deliver(take: Take, event: Any) -> bool:
    if event.exception is None:
        take(_response(event.message), event.is_last)
    else:
        take(_error(event.exception), True)
    return not event.is_last


def _error(cause: object) -> GatewayError:
    if isinstance(cause, error.ConRetransmitsExceeded):
        return DeviceSilent("no answer, not even an acknowledgement")
    if cause is error.MessageError:  # the class itself, not one of it
        return DeviceSilent("the request was answered by a reset")
    return ConnectionLost(str(cause) or type(cause).__name__)


def _incoming(message: Message) -> Request:
    option = message.opt
    return Request(
        int(message.code),
        option.uri_path,
        message.payload,
        content_format=None if option.content_format is None else int(option.content_format),
        observe=option.observe,
        block1=_block(option.block1),
        block2=_block(option.block2),
        tag=b"\0".join(option.request_tag),
        source=message.remote.source,
        size=message.size,
        unknown=message.unknown,
    )


def _response(message: Message) -> Response:
    option = message.opt
    return Response(
        int(message.code),
        message.payload,
        max_age=option.max_age,
        observe=option.observe,
        block1=_block(option.block1),
        block2=_block(option.block2),
        etag=option.etag or b"",
        size1=option.size1,
    )


def _outgoing(response: Response) -> Message:
    message = Message(code=response.code, payload=response.payload)
    message.opt.max_age = response.max_age
    message.opt.block1 = response.block1
    message.opt.size1 = response.size1
    return message


def _block(found: Any) -> Block | None:
    return None if found is None else Block(found.block_number, found.more, found.size_exponent)

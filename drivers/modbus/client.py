"""The client's end of one Modbus TCP connection: a window of requests, each matched with its own answer or with none.

A reply counts only for the request whose transaction id, unit, function code and length it has. Anything else, such as
what arrives after its timeout, is dropped and counted.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections import deque
from dataclasses import dataclass
from typing import NamedTuple, cast

from drivers.modbus.frame import FrameError, Reply, Request, Stream
from drivers.modbus.transaction import Transaction
from gateway.errors import ConfigError, ConnectionLost

# Finds a dead peer within about half a minute, also while nothing is in flight. asyncio itself sets TCP_NODELAY.
_KEEPALIVE = {"TCP_KEEPIDLE": 10, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 3, "TCP_USER_TIMEOUT": 15_000}


class _Flight(NamedTuple):
    transaction: Transaction
    request: Request
    deadline: float


@dataclass(frozen=True, slots=True)
class Statistics:
    """`window` is how many requests may be in flight, the others are counts; `discarded` replies fitted no request."""

    window: int
    in_flight: int
    requests: int
    timeouts: int
    discarded: int


class Client(asyncio.Protocol):
    """`in_flight` requests at once, `timeout` and `pause` in seconds. Made by `connect`."""

    def __init__(self, in_flight: int, timeout: float, pause: float = 0.0) -> None:
        self._window = in_flight
        self._timeout = timeout
        self._pause = pause
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.WriteTransport | None = None
        self._stream = Stream()
        self._writes: deque[Transaction] = deque()
        self._reads: deque[Transaction] = deque()
        self._flights: dict[int, _Flight] = {}
        self._number = 0
        self._rested = 0.0
        self._alarm: asyncio.TimerHandle | None = None
        self._wake: asyncio.TimerHandle | None = None
        self._lost = asyncio.Event()
        self._reason = ""
        self._requests = self._timeouts = self._discarded = 0

    async def perform(self, transaction: Transaction, urgent: bool = False) -> None:
        """Until it is done, which takes `timeout` for each request at most. Urgent ones overtake; the others take
        turns, request by request. Raises ConnectionLost."""
        if self._lost.is_set():
            raise ConnectionLost(self._reason)
        if not transaction.waiting:
            return
        queue = self._writes if urgent else self._reads
        queue.append(transaction)
        self._fill()
        try:
            await transaction.done
        finally:
            queue.remove(transaction)

    async def wait_lost(self) -> str:
        """The reason, once the connection is gone."""
        await self._lost.wait()
        return self._reason

    async def close(self) -> None:
        """At once, also where the far end does not take part."""
        if self._transport is not None:
            self._drop("closed by us")
            await self._lost.wait()

    def statistics(self) -> Statistics:
        return Statistics(self._window, len(self._flights), self._requests, self._timeouts, self._discarded)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.WriteTransport, transport)
        wire = transport.get_extra_info("socket")
        if wire is not None:
            _keep_alive(wire)

    def connection_lost(self, error: Exception | None) -> None:
        self._reason = self._reason or _lost(error)
        self._lost.set()
        for handle in (self._alarm, self._wake):
            if handle is not None:
                handle.cancel()
        self._flights.clear()
        for transaction in (*self._writes, *self._reads):
            transaction.fail(self._reason)

    def data_received(self, data: bytes) -> None:
        try:
            replies = self._stream.feed(data)
        except FrameError as error:
            self._drop(str(error))
            return
        for reply in replies:
            self._settle(reply)
        self._rest()
        self._fill()

    def _settle(self, reply: Reply) -> None:
        flight = self._flights.get(reply.transaction)
        if flight is None or not flight.request.fits(reply):
            self._discarded += 1
            if flight is not None:
                flight.transaction.misfits += 1
            return
        del self._flights[reply.transaction]
        flight.transaction.settle(flight.request, reply)

    def _fill(self) -> None:
        """Send what the window has room for, in one write."""
        now = self._loop.time()
        if self._lost.is_set() or not self._may_send(now):
            return
        frames: list[bytes] = []
        while len(self._flights) < self._window and (transaction := self._next()) is not None:
            request = transaction.take()
            self._number = self._number % 0xFFFF + 1
            self._flights[self._number] = _Flight(transaction, request, now + self._timeout)
            frames.append(request.encode(self._number))
        if frames and self._transport is not None:
            self._requests += len(frames)
            self._transport.write(b"".join(frames))
            self._watch()

    def _next(self) -> Transaction | None:
        for queue in (self._writes, self._reads):
            for _ in range(len(queue)):
                transaction = queue[0]
                queue.rotate(-1)
                if transaction.waiting:
                    return transaction
        return None

    def _rest(self) -> None:
        if self._pause:
            self._rested = self._loop.time() + self._pause

    def _may_send(self, now: float) -> bool:
        """False during the pause; `_fill` is called again after it."""
        if now >= self._rested:
            return True
        if self._wake is None:
            self._wake = self._loop.call_at(self._rested, self._awake)
        return False

    def _awake(self) -> None:
        self._wake = None
        self._fill()

    def _watch(self) -> None:
        """One alarm for the oldest flight serves all: they have the same timeout, so they end in their order."""
        if self._alarm is None and self._flights:
            oldest = next(iter(self._flights.values()))
            self._alarm = self._loop.call_at(oldest.deadline, self._expire)

    def _expire(self) -> None:
        self._alarm = None
        now = self._loop.time()
        due = [number for number, flight in self._flights.items() if flight.deadline <= now]
        for number in due:
            flight = self._flights.pop(number)
            self._timeouts += 1
            flight.transaction.settle(flight.request, None)
        if due:
            self._rest()
            self._fill()
        self._watch()

    def _drop(self, reason: str) -> None:
        self._reason = self._reason or reason
        if self._transport is not None:
            self._transport.abort()


def _keep_alive(wire: socket.socket) -> None:
    wire.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _KEEPALIVE.items():
        option: int | None = getattr(socket, name, None)  # not every system has every one
        if option is not None:
            wire.setsockopt(socket.IPPROTO_TCP, option, value)


async def connect(host: str, port: int, in_flight: int, timeout: float, pause: float = 0.0) -> Client:
    """Raises ConnectionLost. Bound it from outside: connecting may take as long as the system lets it."""
    loop = asyncio.get_running_loop()
    try:
        _, client = await loop.create_connection(lambda: Client(in_flight, timeout, pause), host, port)
    except OSError as error:
        raise ConnectionLost(f"cannot connect to {host}:{port}: {_words(error)}") from error
    except UnicodeError as error:
        raise ConfigError(f"{host!r} cannot be the name of a host") from error
    return client


def _lost(error: Exception | None) -> str:
    if error is None:
        return "the device closed the connection"
    return f"the connection was lost: {_words(error) if isinstance(error, OSError) else error}"


def _words(error: OSError) -> str:
    """asyncio's own text says that a call failed, the system's says why."""
    return (
        os.strerror(error.errno) if isinstance(error, ConnectionError) and error.errno else error.strerror or str(error)
    )

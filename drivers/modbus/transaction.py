"""Requests that belong together, with one future for all of their answers."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterable

from drivers.modbus.frame import Reply, Request
from gateway.errors import ConnectionLost


class Transaction(ABC):
    """The client takes requests one by one and settles each with its reply, or with None after the timeout.

    A transaction may add requests to `waiting` while it is being settled. It is done when none waits and none is in
    flight. Everything here runs inside the callbacks of the connection.
    """

    def __init__(self, requests: Iterable[Request]) -> None:
        self.waiting = deque(requests)
        self.misfits = 0
        """Replies to one of its requests, by their transaction id, that answer something else."""
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._flying = 0

    def take(self) -> Request:
        self._flying += 1
        return self.waiting.popleft()

    def settle(self, request: Request, reply: Reply | None) -> None:
        self._flying -= 1
        if reply is None:
            self.missed(request)
        elif reply.exception is None:
            self.answered(request, reply.body)
        else:
            self.refused(request, reply.exception)
        if not self._flying and not self.waiting and not self.done.done():
            self.done.set_result(None)

    def fail(self, reason: str) -> None:
        """The connection is gone, and with it all answers."""
        if not self.done.done():
            self.done.set_exception(ConnectionLost(reason))

    @property
    def silence(self) -> str:
        """Why a request was given up."""
        return "no answer in time" + (": what came does not fit what was asked" if self.misfits else "")

    @abstractmethod
    def answered(self, request: Request, body: bytes) -> None: ...

    @abstractmethod
    def refused(self, request: Request, code: int) -> None: ...

    @abstractmethod
    def missed(self, request: Request) -> None: ...


class Exchange(Transaction):
    """A few requests of which one only wants to know how they ended: a write, or a try."""

    def __init__(self, requests: Iterable[Request]) -> None:
        super().__init__(requests)
        self.exception: int | None = None
        self.misses = 0

    def answered(self, request: Request, body: bytes) -> None:
        """Nothing to keep: that it fits its request has been seen."""

    def refused(self, request: Request, code: int) -> None:
        self.exception = code

    def missed(self, request: Request) -> None:
        self.misses += 1

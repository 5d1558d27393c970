"""One observed resource: registered, listened to, registered again when it falls silent (RFC 7641).

A server that has started anew knows its observers no more, and says nothing. So when a notification is overdue by
Max-Age and a margin (RFC 7641, 3.3.1), the resource is asked for again, which tells its state and registers us in one.

An observation is lossy by design: of several changes in a row a server may tell only the last. What arrives is
acknowledged on arrival, not when it is on disk, for nobody would send it again.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable

from drivers.coap.freshness import Mark
from drivers.coap.message import DEFAULT_MAX_AGE, Response
from drivers.coap.requester import Broken, Requester
from drivers.coap.resource import Segments, show
from gateway.errors import ConnectionLost, DeviceSilent, GatewayError, JournalFull


class Observation:
    """`deliver` is given every response that is news, in the receive callback; `refuse` what went wrong."""

    def __init__(
        self, requester: Requester, path: Segments, deliver: Callable[[Response], None], refuse: Callable[[str], None]
    ) -> None:
        self._requester = requester
        self._path = path
        self._deliver = deliver
        self._refuse = refuse
        self._news = asyncio.Event()
        self._mark: Mark | None = None
        self._partial: Response | None = None
        self._max_age: float | None = None
        self._error: GatewayError | None = None

    async def run(self, margin: float) -> None:
        """For ever. Raises ConnectionLost when the server answers nothing, and JournalFull when `deliver` does."""
        while True:
            self._mark = self._max_age = None
            exchange = self._requester.observe(self._path, self._take)
            try:
                await self._listen(margin)
            finally:
                self._requester.forget(exchange)

    async def _listen(self, margin: float) -> None:
        """Until nothing has come for too long."""
        while True:
            patience = self._requester.timeout
            if self._max_age is not None:
                patience = self._max_age + margin * random.uniform(0.5, 1.5)  # so that not all come back at once
            try:
                async with asyncio.timeout(patience):
                    await self._news.wait()
            except TimeoutError:
                if self._max_age is None:
                    self._refuse(f"{show(self._path)} was not answered within {patience:g} s")
                return
            self._news.clear()
            if self._error is not None:
                raise self._error
            await self._complete()

    async def _complete(self) -> None:
        """Fetch what a notification in blocks left out. One that came meanwhile takes its place."""
        first, self._partial = self._partial, None
        if first is None:
            return
        try:
            self._deliver(await self._requester.complete(self._path, first))
        except (Broken, DeviceSilent) as error:
            self._refuse(str(error))

    def _take(self, outcome: Response | GatewayError, is_last: bool) -> None:
        """In the receive callback."""
        self._news.set()
        if isinstance(outcome, GatewayError):
            self._error = ConnectionLost(f"{show(self._path)}: {outcome}")
            return
        if not self._is_new(outcome):
            return
        self._max_age = DEFAULT_MAX_AGE if outcome.max_age is None else outcome.max_age
        if outcome.block2 is not None and outcome.block2.more:
            self._partial = outcome
            return
        try:
            self._deliver(outcome)
        except JournalFull as error:
            self._error = error

    def _is_new(self, response: Response) -> bool:
        if response.observe is None:
            return True
        mark = Mark(response.observe, asyncio.get_running_loop().time())
        if self._mark is not None and not mark.is_after(self._mark):
            return False
        self._mark = mark
        return True

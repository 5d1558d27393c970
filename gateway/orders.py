"""Commands from the far side of a sink: checked, executed at most once, answered.

An order is remembered on disk before it is executed. Where the gateway dies in between it is not executed at all: an
order that is lost is missed by whoever gave it, one that is executed twice by nobody.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from gateway.backoff import Backoff
from gateway.clock import SECOND, Clock
from gateway.commands import Commands
from gateway.contracts import Sink
from gateway.errors import SinkHeld, innermost
from gateway.journal.journal import Journal
from gateway.journal.store import FAILURES
from gateway.model import Command, CommandDone, Order, Outcome
from gateway.notice import Notices

_log = logging.getLogger(__name__)

_AHEAD: Final = 5 * SECOND
"""How far the sender's clock may be before ours."""
_HELD: Final = 30 * SECOND
_MOST_AT_WORK: Final = 256
_MOST_KNOWN: Final = 1_000
"""Orders whose outcome is remembered, in memory."""


class Listener:
    """Keeps one sink listening, and is its `Orders`."""

    def __init__(self, name: str, sink: Sink, commands: Commands, journal: Journal) -> None:
        self.name = name
        self.sink = sink
        self.notices = Notices(_log)
        self.reason = "" if sink.commands is None else "not tried yet"
        """Why nothing is heard, if so."""
        self.refused = 0
        self._commands = commands
        self._journal = journal
        self.clock: Clock = commands.clock
        self._origin = f"sink:{name}"
        self._backoff = Backoff(SECOND // 4)
        self._known: OrderedDict[str, asyncio.Future[CommandDone]] = OrderedDict()
        self._at_work = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self._stopped = asyncio.Event()
        self._tasks: asyncio.TaskGroup | None = None

    def stop(self) -> None:
        """`run` ends after the orders that are at work."""
        self._stopped.set()

    async def run(self) -> None:
        """Until `stop`, or as long as the sink has anything to listen to."""
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            listening = tasks.create_task(self._listen(), name=f"sink {self.name} listening")
            stopping = tasks.create_task(self._stopped.wait())
            await asyncio.wait((listening, stopping), return_when=asyncio.FIRST_COMPLETED)
            await self._idle.wait()
            listening.cancel()
            stopping.cancel()

    async def _listen(self) -> None:
        while True:
            began = self.clock.monotonic()
            try:
                await self.sink.listen(self)
                return
            except Exception as error:
                pause = self._down(innermost(error), self.clock.monotonic() - began)
            await asyncio.sleep(pause / SECOND)

    def _down(self, error: BaseException, lasted: int) -> int:
        """Says so once, and returns how long to wait, in nanoseconds."""
        self.reason = "no answer in time" if isinstance(error, TimeoutError) else str(error) or type(error).__name__
        self.notices.begin(f"sink {self.name} commands", self.reason, self.clock.monotonic(), lasting=True)
        pause = self._backoff.fail(lasted)
        return max(pause, _HELD) if isinstance(error, SinkHeld) else pause

    # What the sink calls

    def ready(self) -> None:
        self.reason = ""
        self.notices.end(f"sink {self.name} commands", self.clock.monotonic())
        _log.info("sink %s: listening for commands", self.name)

    def refuse(self, source: str, reason: str) -> None:
        self.refused += 1
        self.notices.expire(self.clock.monotonic())
        self.notices.begin(f"sink {self.name} commands: {source}", reason, self.clock.monotonic())

    def submit(self, order: Order, durable: Callable[[], None], answer: Callable[[CommandDone], None]) -> None:
        assert self._tasks is not None, "only who listens hears anything"
        self.notices.expire(self.clock.monotonic())
        self._at_work += 1
        self._idle.clear()
        self._tasks.create_task(self._handle(order, durable, answer), name=f"order {order.id}")

    async def _handle(self, order: Order, durable: Callable[[], None], answer: Callable[[CommandDone], None]) -> None:
        try:
            answer(await self._obey(order, durable))
        except Exception:
            _log.exception("sink %s: an order could not be handled", self.name)
        finally:
            self._at_work -= 1
            if not self._at_work:
                self._idle.set()

    # One order

    async def _obey(self, order: Order, durable: Callable[[], None]) -> CommandDone:
        known = self._known.get(order.id)
        if known is not None and (known.done() or self._at_work <= _MOST_AT_WORK):
            durable()
            return await asyncio.shield(known)
        now = self.clock.now()
        if (refusal := self._judge(order, now)) is not None:
            durable()
            return refusal
        outcome: asyncio.Future[CommandDone] = asyncio.get_running_loop().create_future()
        self._know(order.id, outcome)
        try:
            done = await self._execute(order, durable)
        except BaseException:
            outcome.cancel()
            raise
        outcome.set_result(done)
        return done

    def _know(self, id_: str, outcome: asyncio.Future[CommandDone]) -> None:
        self._known[id_] = outcome
        while len(self._known) > _MOST_KNOWN:
            self._known.popitem(last=False)

    def _judge(self, order: Order, now: int) -> CommandDone | None:
        """The refusal of an order that is not to be executed at all."""
        assert self.sink.commands is not None
        if not self.sink.commands.allows(order.tag):
            return self._refuse(order, Outcome.REFUSED, "the tag is not among those that may be ordered")
        if order.issued > now + _AHEAD:
            seconds = (order.issued - now) / SECOND
            return self._refuse(order, Outcome.REFUSED, f"it was issued {seconds:.1f} s from now: look at both clocks")
        if self._expires(order) <= now:
            seconds = (now - order.issued) / SECOND
            return self._refuse(order, Outcome.EXPIRED, f"it was issued {seconds:.1f} s ago, and has expired")
        if self._at_work > _MOST_AT_WORK:
            return self._refuse(order, Outcome.REFUSED, f"{_MOST_AT_WORK} orders are at work already")
        return None

    def _expires(self, order: Order) -> int:
        assert self.sink.commands is not None
        latest = order.issued + self.sink.commands.max_age
        return latest if order.expires is None else min(latest, order.expires)

    async def _execute(self, order: Order, durable: Callable[[], None]) -> CommandDone:
        expires = self._expires(order)
        try:
            is_new = await self._journal.remember(f"{self.name}/{order.id}", expires)
        except FAILURES as error:
            durable()
            return self._refuse(order, Outcome.FAILED, f"it cannot be remembered, and is not executed: {error}")
        durable()
        if not is_new:
            reason = "an order of this id was taken before, and how it ended is not known any more"
            return self._refuse(order, Outcome.REFUSED, reason)
        if order.who:
            _log.info("sink %s: %s writes %s", self.name, order.who, order.tag)
        deadline = self.clock.monotonic() + expires - self.clock.now()
        return await self._commands.execute(Command(order.id, order.tag, order.value, self._origin, deadline))

    def _refuse(self, order: Order, outcome: Outcome, reason: str) -> CommandDone:
        """Told, and not stored: who may send us anything must not be able to fill the journal."""
        self.refuse("an order", reason)
        return CommandDone(self.clock.now(), order.id, order.tag, order.value, self._origin, outcome, reason)

"""The tasks of a cell's links and sinks: whoever is wanted runs, and nobody else."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from typing import TypeAlias

from gateway.forwarder import Forwarder
from gateway.link import LinkSupervisor
from gateway.orders import Listener

_log = logging.getLogger(__name__)

Worker: TypeAlias = Forwarder | LinkSupervisor | Listener

_END_SECONDS = 8.0


class Crew:
    """`tasks` is where they run."""

    def __init__(self, tasks: asyncio.TaskGroup) -> None:
        self._tasks = tasks
        self._working: dict[Worker, asyncio.Task[None]] = {}

    async def change(self, wanted: Iterable[Worker]) -> None:
        """The others end first, each within a bound, and then the new ones begin: a machine or a port that bears one
        connection only never sees two. Who is wanted and at work notices nothing."""
        wanted = list(wanted)
        async with asyncio.TaskGroup() as ending:
            for worker in self._working.keys() - set(wanted):
                ending.create_task(self._end(worker))
        for worker in wanted:
            if worker not in self._working:
                self._working[worker] = self._tasks.create_task(worker.run(), name=_name(worker))

    async def _end(self, worker: Worker) -> None:
        """A forwarder gets the time to note what its sink has, a listener to end what was ordered; a link closes its
        session when it is cancelled. Twice, because a library may take the first time for a lost connection."""
        task = self._working.pop(worker)
        if not isinstance(worker, LinkSupervisor):
            worker.stop()
            await asyncio.wait((task,), timeout=_END_SECONDS)
        for _ in range(2):
            task.cancel()
            await asyncio.wait((task,), timeout=_END_SECONDS)
        if not task.done():
            _log.error("%s did not end within %g s; the others go on", _name(worker), _END_SECONDS)
        if isinstance(worker, Forwarder):
            await _close(worker)


async def _close(forwarder: Forwarder) -> None:
    try:
        async with asyncio.timeout(_END_SECONDS):
            await forwarder.sink.close()
    except Exception as error:  # noqa: BLE001 - whatever a sink does when it goes, those that come must begin
        _log.warning("sink %s did not close cleanly: %s", forwarder.name, str(error) or type(error).__name__)


def _name(worker: Worker) -> str:
    match worker:
        case LinkSupervisor():
            return f"link {worker.link.id}"
        case Listener():
            return f"commands of sink {worker.name}"
    return f"sink {worker.name}"

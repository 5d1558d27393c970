"""From a configuration to a cell at work, and in order to its end."""

from __future__ import annotations

import asyncio
import fcntl
import gc
import logging
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gateway import door, log, settings
from gateway.cell import Cell
from gateway.control import Control
from gateway.errors import ConfigError
from gateway.journal.store import FAILURES
from gateway.metrics import Metrics
from gateway.problems import InvalidConfiguration
from gateway.settings import Configuration

_log = logging.getLogger(__name__)

ENDED = 0
CANNOT_START = 1
FAILED = 3

STOP_SECONDS = 10


def run(path: Path, verbose: bool = False) -> int:
    """Run the gateway until SIGTERM or SIGINT. `ENDED` after an orderly stop, `CANNOT_START` where somebody has to
    change something first, `FAILED` for what should never happen: start it again."""
    try:
        configuration = settings.load(path)
    except InvalidConfiguration as error:
        sys.stderr.write(f"{error}\n")
        return CANNOT_START
    log.start(verbose)
    try:
        with lock(configuration.data), asyncio.Runner() as runner:
            runner.run(_run(configuration))
    except (ConfigError, *FAILURES) as error:
        _log.error("cannot start: %s", error)
        return CANNOT_START
    except ExceptionGroup:
        _log.exception("the gateway failed")
        return FAILED
    finally:
        signal.alarm(0)
    _log.info("stopped")
    return ENDED


@contextmanager
def lock(data: Path) -> Iterator[None]:
    """One gateway a data directory. The kernel lets go of the lock however the process ends. Raises ConfigError."""
    data.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (data / "lock").open("a+", encoding="ascii") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise ConfigError(f"another gateway, process {file.read(20).strip()}, works in {data}") from None
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        yield


async def _run(configuration: Configuration) -> None:
    """Raises ConfigError or `FAILURES` where the cell cannot start."""
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, _stop, stopping, number)
    cell = Cell(configuration)
    control = Control(cell, door.path_in(configuration.data))
    metrics = Metrics(cell, configuration.http)
    await cell.start()
    try:
        control.open()
        await metrics.open()
        gc.collect()
        gc.freeze()  # what is here now stays: no collection has to look at it again
        _log.info("%s/%s works; control socket %s", configuration.site, configuration.cell, control.path)
        await _work(cell, control, metrics, stopping)
    finally:
        await cell.stop()


async def _work(cell: Cell, control: Control, metrics: Metrics, stopping: asyncio.Event) -> None:
    """Until somebody wants it to stop. Whatever fails comes out in a group."""
    async with asyncio.TaskGroup() as tasks:
        working = [tasks.create_task(each.run()) for each in (cell, control, metrics)]
        await stopping.wait()
        for task in working:
            task.cancel()


def _stop(stopping: asyncio.Event, number: int) -> None:
    """The kernel sees to it that stopping ends, whatever hangs; the journal bears that."""
    if not stopping.is_set():
        _log.info("%s: stopping, within %d s", signal.Signals(number).name, STOP_SECONDS)
        signal.alarm(STOP_SECONDS)
        stopping.set()

"""From a configuration to a cell at work, and in order to its end."""

from __future__ import annotations

import asyncio
import fcntl
import gc
import logging
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from gateway import door, files, log, settings
from gateway.cell import Cell
from gateway.clock import SECOND
from gateway.control import Control
from gateway.errors import ConfigError
from gateway.generation import Archive, Generation
from gateway.journal.store import FAILURES
from gateway.metrics import Metrics
from gateway.problems import InvalidConfiguration, Report
from gateway.reload import Reloader, summary
from gateway.settings import Configuration
from gateway.source import Copies, Source, data_of

_log = logging.getLogger(__name__)

ENDED = 0
CANNOT_START = 1
FAILED = 3

STOP_SECONDS = 10
_THREADS = ("helper", "influxdb", "files")
_PATIENCE = 20
_LOOK_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class Choice:
    """What to run: a configuration, the files that it was read from, and why it is not what is on the disk, if so."""

    configuration: Configuration
    source: Source
    refused: str = ""


def run(path: Path, verbose: bool = False, last_good: bool = False, data: Path | None = None) -> int:
    """Run the gateway until SIGTERM or SIGINT. `ENDED` after an orderly stop, `CANNOT_START` where somebody has to
    change something first, `FAILED` for what should never happen: start it again.

    With `last_good`, the configuration that was accepted last runs where the one at `path` is wrong; `data` is the data
    directory, for a file that cannot even say that.
    """
    with _early_hangups() as early:
        try:
            choice = choose(path, data) if last_good else _read(path)
        except ConfigError as error:
            sys.stderr.write(f"{error}\n")
            return CANNOT_START
        log.start(verbose)
        return _serve(path, choice, early)


@contextmanager
def _early_hangups() -> Iterator[list[int]]:
    """Those that come before anybody can reload. They wait, instead of ending the process."""
    early: list[int] = []
    usual = signal.signal(signal.SIGHUP, lambda number, frame: early.append(number))
    try:
        yield early
    finally:
        signal.signal(signal.SIGHUP, usual)


def _serve(path: Path, choice: Choice, early: Sequence[int]) -> int:
    try:
        with lock(choice.configuration.data), asyncio.Runner() as runner:
            runner.run(_run(path, choice, early))
    except ConfigError as error:
        _log.error("cannot start: %s", error)
        return CANNOT_START
    except FAILURES as error:
        _log.error("cannot work in %s: %s", choice.configuration.data, error)
        return CANNOT_START
    except ExceptionGroup:
        _log.exception("the gateway failed")
        return FAILED
    finally:
        signal.alarm(0)
    _log.info("stopped")
    return ENDED


def _read(path: Path) -> Choice:
    """Raises InvalidConfiguration."""
    source = Source(path)
    return Choice(settings.load(path, source), source)


def choose(path: Path, data: Path | None = None) -> Choice:
    """The configuration at `path`, or where it is wrong the one that was accepted last. Raises ConfigError."""
    try:
        return _read(path)
    except InvalidConfiguration as error:
        sys.stderr.write(f"{error}\n")
        refusal = error
    directory = data or data_of(path, Report()) or path.parent / "data"
    kept = Archive(directory).last()
    if kept is None:
        raise ConfigError(f"no configuration that was accepted before is kept in {directory}")
    source = Copies(path, kept.contents)
    configuration = settings.load(path, source)
    return Choice(
        configuration, source, f"{_called(kept.generation)} runs instead of what is on the disk: {summary(refusal)}"
    )


def _called(generation: Generation) -> str:
    accepted = datetime.fromtimestamp(generation.time // SECOND, UTC)
    return f"generation {generation.number}, accepted at {accepted:%Y-%m-%dT%H:%M:%SZ},"


@contextmanager
def lock(data: Path) -> Iterator[None]:
    """One gateway a data directory. The kernel lets go of the lock however the process ends. Raises ConfigError."""
    files.make(data)
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


async def _run(path: Path, choice: Choice, early: Sequence[int]) -> None:
    """Raises ConfigError or `FAILURES` where the cell cannot start."""
    pool = ThreadPoolExecutor(8, "helper")
    asyncio.get_running_loop().set_default_executor(pool)
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, _stop, stopping, number)
    configuration = choice.configuration
    cell = Cell(configuration)
    reloader = Reloader(cell, path)
    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, reloader.request)
    if early:
        reloader.request()
    control = Control(cell, reloader, door.path_in(configuration.data))
    metrics = Metrics(cell, configuration.http)
    await cell.start()
    try:
        control.open()
        await metrics.open()
        await reloader.accept(choice.source.contents, choice.refused)
        gc.collect()
        gc.freeze()  # what is here now stays: no collection has to look at it again
        _log.info("%s/%s works; control socket %s", configuration.site, configuration.cell, control.path)
        await _work((cell, control, metrics, reloader), stopping)
    finally:
        await cell.stop()
        pool.shutdown(wait=False, cancel_futures=True)
    await _leave()


async def _leave() -> None:
    """A thread may hang in a far end that does not answer. Everything is on the disk by now: it is not waited for."""
    for _ in range(_PATIENCE):
        if not any(thread.name.startswith(_THREADS) for thread in threading.enumerate()):
            return
        await asyncio.sleep(_LOOK_SECONDS)
    _log.warning("stopped; a thread that hangs in the network is left behind")
    logging.shutdown()
    os._exit(ENDED)


class Worker(Protocol):
    async def run(self) -> None: ...


async def _work(workers: Sequence[Worker], stopping: asyncio.Event) -> None:
    """Until somebody wants it to stop. Whatever fails comes out in a group."""
    async with asyncio.TaskGroup() as tasks:
        working = [tasks.create_task(each.run()) for each in workers]
        await stopping.wait()
        for task in working:
            task.cancel()


def _stop(stopping: asyncio.Event, number: int) -> None:
    """The kernel sees to it that stopping ends, whatever hangs; the journal bears that."""
    if not stopping.is_set():
        _log.info("%s: stopping, within %d s", signal.Signals(number).name, STOP_SECONDS)
        signal.alarm(STOP_SECONDS)
        stopping.set()

"""What every simulator's process does alike: say that it is ready, follow its switches, end when it is told to."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
import time
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import orjson

from simulators.device import SECOND
from simulators.fault import Faults
from simulators.log import Log


class Clock:
    """Seconds since the epoch that all of a plant's processes agreed on."""

    def __init__(self, epoch_ns: int | None = None) -> None:
        self.epoch_ns = time.time_ns() if epoch_ns is None else epoch_ns
        self._monotonic_offset = time.time_ns() - time.monotonic_ns()

    def now_ns(self) -> int:
        """UTC. Runs with the monotonic clock, so that a simulated device never sees its own time go back."""
        return time.monotonic_ns() + self._monotonic_offset

    def seconds(self) -> float:
        return (self.now_ns() - self.epoch_ns) / SECOND


@dataclass(frozen=True, slots=True)
class Outlet:
    """What a device is served through: the time, the faults on its way out, the log of what went out."""

    clock: Clock
    faults: Faults
    log: Log


class Options(argparse.Namespace):
    """What `parser` reads."""

    seed: int
    epoch: int | None
    fault: list[str]
    control: bool


@contextmanager
def outlet(options: Options, log: Path | None) -> Iterator[Outlet]:
    with Log(log) as lines:
        yield Outlet(Clock(options.epoch), Faults(options.fault, options.seed), lines)


def parser(module: str, summary: str | None) -> argparse.ArgumentParser:
    """The options that every simulated device has."""
    options = argparse.ArgumentParser(
        prog=f"python -m simulators.{module}",
        description=summary,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--epoch", type=int, metavar="NS", help="when the device began, unix time; now unless set")
    options.add_argument(
        "--fault", action="append", default=[], metavar="KIND:PROBABILITY[,start=S][,stop=S][,amount=X]"
    )
    options.add_argument(
        "--control", action="store_true", help='switch faults by lines on stdin: {"faults": ["drop:1"]}'
    )
    return options


def ready(**facts: object) -> None:
    print("ready", *(f"{name}={fact}" for name, fact in facts.items()), flush=True)


def run(main: Coroutine[None, None, None]) -> None:
    """Run `main` to its end, or until SIGTERM or SIGINT: then it is cancelled, and cleans up on its way out."""

    async def supervise() -> None:
        task = asyncio.current_task()
        assert task is not None
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, task.cancel)
        with suppress(asyncio.CancelledError):
            await main

    asyncio.run(supervise())


async def stay(faults: Faults, control: bool = False) -> None:
    """Until the process is told to end. With `control`, a line {"faults": [...]} on stdin replaces the faults that are
    on, and is answered by a line on stdout; the end of stdin means no more than that."""
    if control:
        reader = asyncio.StreamReader()
        await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        while line := await reader.readline():
            print(orjson.dumps(switch(faults, line)).decode(), flush=True)
    await asyncio.Event().wait()


def switch(faults: Faults, line: bytes) -> dict[str, object]:
    """Obey one line, and say what is on now, or what was wrong with it."""
    try:
        order = orjson.loads(line)
        wanted = order["faults"] if isinstance(order, dict) else None
        if not isinstance(wanted, list) or not all(isinstance(text, str) for text in wanted):
            raise ValueError('a line looks like {"faults": ["drop:0.1"]}')
        faults.switch(wanted)
    except (ValueError, KeyError) as error:
        return {"error": str(error)}
    return {"faults": [str(fault) for fault in faults.on]}

"""A CSV recording replayed as a device, over MQTT or Modbus.

The first line names the columns. Column `time` is ISO 8601 or a number of seconds, and increases; the others are
true/false, whole numbers or numbers, one type a column. In an empty cell the value above it still holds.

    time,bearing.temperature,bearing.vibration,running
    2024-03-01T06:00:00.000Z,48.21,1.21,true

Rows come at the intervals at which they were recorded, divided by `--speed`; `--loop` begins again after the last one.

- `--mqtt HOST:PORT`: each row is a message as in `simulators.mqtt`, on `plant/NAME/state`, whose `ts` is when it is
  replayed. The process ends with the recording. Its log is that of `simulators.mqtt`.
- `--modbus PORT`: the row of the moment stands in the input registers, behind the `sequence`, `clock` and `status` that
  `simulators.modbus` has at 0, 2 and 6: from 7 on whole numbers as int32 and numbers as float32, in the order of the
  columns; true/false stand in the discrete inputs from 0 on. The line `ready` names each one's place. Its log is that
  of `simulators.modbus`.
"""

from __future__ import annotations

import argparse
import asyncio
import csv
import itertools
import math
import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path

from simulators import modbus, mqtt, service
from simulators.device import Value
from simulators.registers import Register, Table
from simulators.service import Outlet

BOOLEANS = {"true": True, "false": False}
WHOLE = re.compile(r"[+-]?\d+")
NUDGE = 1e-6  # seconds: a row that is due belongs to its moment, whatever the rounding


class Recording:
    """A device that repeats what was written down. `times` are seconds from the first row."""

    def __init__(self, times: Sequence[float], rows: Sequence[Mapping[str, Value]], speed: float, loop: bool) -> None:
        if not rows or any(b <= a for a, b in itertools.pairwise(times)):
            raise ValueError("a recording needs rows, and times that increase")
        self._times = times
        self._rows = rows
        self._speed = speed
        self._loop = loop
        self._cycle = times[-1] + (times[-1] - times[-2] if len(times) > 1 else 1.0)

    def read(self, now: float) -> Mapping[str, Value]:
        at = now * self._speed + NUDGE
        if self._loop:
            at %= self._cycle
        return self._rows[max(0, bisect_right(self._times, at) - 1)]

    def write(self, name: str, value: Value) -> None:
        raise KeyError(f"{name}: what was recorded cannot be changed")

    def due(self) -> Iterator[float]:
        """When each row comes, in seconds."""
        for turn in itertools.count() if self._loop else range(1):
            for time in self._times:
                yield (turn * self._cycle + time) / self._speed

    def registers(self) -> tuple[Register, ...]:
        """The map that Modbus serves it with."""
        registers = list(modbus.PLANT[:3])
        address, bit = 7, 0
        for name, value in self._rows[0].items():
            if isinstance(value, bool):
                registers.append(Register(name, Table.DISCRETE, bit))
                bit += 1
            else:
                registers.append(Register(name, Table.INPUT, address, "int32" if isinstance(value, int) else "float32"))
                address += 2
        return tuple(registers)


def load(lines: Iterable[str], speed: float = 1.0, loop: bool = False) -> Recording:
    """Read a recording. Raises ValueError, which names the column or the line that is wrong."""
    table = csv.DictReader(lines, strict=True)
    cells = list(table)
    names = [name for name in table.fieldnames or () if name != "time"]
    for number, row in enumerate(cells, start=2):
        if None in row or None in row.values() or "time" not in row:
            raise ValueError(f"line {number}: there is no time, or not one cell a column")
    columns = {name: _column(name, [row[name] for row in cells]) for name in names}
    rows = [dict(zip(names, values, strict=True)) for values in zip(*columns.values(), strict=True)]
    times = [_seconds(row["time"]) for row in cells]
    return Recording([time - times[0] for time in times], rows, speed, loop)


def _seconds(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return datetime.fromisoformat(text).timestamp()


def _column(name: str, cells: Sequence[str]) -> Sequence[Value]:
    """One column's values, all of the narrowest type that holds them; an empty cell takes the value above it."""
    filled: list[str] = []
    for cell in cells:
        filled.append(cell or (filled[-1] if filled else ""))
    if all(cell in BOOLEANS for cell in filled):
        return [BOOLEANS[cell] for cell in filled]
    try:
        numbers = [float(cell) for cell in filled]
    except ValueError:
        raise ValueError(f"column {name}: neither true and false nor numbers, or empty in its first row") from None
    if not all(map(math.isfinite, numbers)):
        raise ValueError(f"column {name}: a number that is none")
    return [int(cell) for cell in filled] if all(map(WHOLE.fullmatch, filled)) else numbers


class Options(service.Options):
    file: Path
    name: str
    speed: float
    loop: bool
    mqtt: mqtt.Address | None
    modbus: int | None
    log: Path | None


async def publish(recording: Recording, broker: mqtt.Address, options: Options, outlet: Outlet) -> None:
    async with mqtt.connect(options.name, broker, outlet) as publisher, asyncio.TaskGroup() as tasks:
        topic, stream = f"plant/{options.name}/state", outlet.faults.stream(options.name)
        control = tasks.create_task(service.stay(outlet.faults, options.control))
        service.ready(broker=broker)
        await mqtt.Machine(topic, recording, publisher, stream).run(outlet.clock, recording.due())
        control.cancel()


async def serve(recording: Recording, port: int, options: Options, outlet: Outlet) -> None:
    registers = recording.registers()
    async with modbus.serve(modbus.Unit(recording, registers, outlet), port) as bound:
        service.ready(port=bound, **{r.name: f"{r.table}:{r.address}/{r.type}" for r in registers})
        await service.stay(outlet.faults, options.control)


async def main(options: Options) -> None:
    with options.file.open(newline="", encoding="utf-8") as lines:
        recording = load(lines, options.speed, options.loop)
    with service.outlet(options, options.log) as outlet:
        if options.mqtt is not None:
            await publish(recording, options.mqtt, options, outlet)
        else:
            await serve(recording, options.modbus or 0, options, outlet)


def parser() -> argparse.ArgumentParser:
    options = service.parser("recording", __doc__)
    options.add_argument("file", type=Path, metavar="FILE.csv")
    options.add_argument("--name", default="recorder", help="of the device")
    options.add_argument("--speed", type=float, default=1.0)
    options.add_argument("--loop", action="store_true")
    options.add_argument("--log", type=Path)
    way = options.add_mutually_exclusive_group(required=True)
    way.add_argument("--mqtt", type=mqtt.Address.parse, metavar="HOST:PORT")
    way.add_argument("--modbus", type=int, metavar="PORT", help="0 for any that is free")
    return options


if __name__ == "__main__":
    service.run(main(parser().parse_args(namespace=Options())))

"""The way that comes to mind first, as a reference: `reference.py PORT REGISTERS SECONDS FILE`.

pymodbus's client reads 125 registers at a time, its converter makes a value of each register, every value becomes a
validated pydantic object and a row of a SQLite table (WAL, synchronous=FULL, one commit a scan). No rules, no
compression, no encryption, no delivery: it does less than the gateway that it is compared with. Prints one JSON line:
points and CPU seconds, kernel included, of the measured part.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
import sys
import time
from typing import cast

from pydantic import BaseModel
from pymodbus.client import AsyncModbusTcpClient

_READ = 125
_WARM_UP_SCANS = 3


class Sample(BaseModel):
    tag: str
    time: int
    value: int
    quality: int


async def scan(client: AsyncModbusTcpClient, registers: int) -> list[Sample]:
    samples = []
    for start in range(0, registers, _READ):
        count = min(_READ, registers - start)
        response = await client.read_holding_registers(start, count=count, device_id=1)
        now = time.time_ns()
        for offset, register in enumerate(response.registers):
            value = cast("int", client.convert_from_registers([register], client.DATATYPE.UINT16))
            samples.append(Sample(tag=f"plc/t{start + offset:04}", time=now, value=value, quality=0))
    return samples


def store(database: sqlite3.Connection, samples: list[Sample]) -> None:
    with database:
        rows = [(sample.tag, sample.time, sample.value, sample.quality) for sample in samples]
        database.executemany("INSERT INTO sample VALUES (?, ?, ?, ?)", rows)


async def main(port: int, registers: int, seconds: float, path: str) -> None:
    database = sqlite3.connect(path)
    database.execute("PRAGMA journal_mode=WAL").fetchall()
    database.execute("PRAGMA synchronous=FULL").fetchall()
    database.execute("CREATE TABLE sample (tag TEXT, time INTEGER, value INTEGER, quality INTEGER)")
    client = AsyncModbusTcpClient("127.0.0.1", port=port)
    await client.connect()
    for _ in range(_WARM_UP_SCANS):
        store(database, await scan(client, registers))
    began, used, points = time.monotonic(), time.process_time(), 0
    while time.monotonic() - began < seconds:
        samples = await scan(client, registers)
        store(database, samples)
        points += len(samples)
    sys.stdout.write(json.dumps({"points": points, "cpu_s": time.process_time() - used}) + "\n")
    client.close()
    database.close()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]), sys.argv[4]))

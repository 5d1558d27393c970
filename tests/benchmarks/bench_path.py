"""The whole path, as users run it: Modbus from a libmodbus server → 1,000 limits on 6,400 tags → sealed, encrypted and
fsynced → line protocol → HTTP 204. Points per second and core, from the CPU time of the whole gateway process with the
kernel's share, at one request at a time and pipelined; beside it, in the same run, the reference whose specification is
in `reference.py`.

The signal: every register takes a step of a random walk at each read. Half of the tags are raw uint16, half are
scaled to float32 (x 0.1), as a PLC's mostly are. `bytes_per_point` is the size of the last segment's file, all
included, by the points in it. As many lines must have arrived as the gateway says.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from tests.benchmarks.result import publish
from tests.parts import libmodbus
from tests.parts.process import accepts, free_port

TAGS = 6400
RULES = 1000
DEPTH = 8
WARM_UP_S = 4.0
MEASURE_S = float(os.environ.get("BENCH_SECONDS", "10"))
TICK_S = 1 / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Measured:
    points_per_core_s: float
    points_per_s: float
    bytes_per_point: float
    rss_mb: float


def configuration(port: int, http: int, depth: int) -> str:
    tag = {
        0: "{{address: 'holding:{0}', type: uint16}}",
        1: "{{address: 'holding:{0}', raw: uint16, type: float32, scale: 0.1}}",
    }
    tags = "\n".join(f"          t{i:04}: " + tag[i % 2].format(i) for i in range(TAGS))
    rules = "\n".join(
        f"  r{i}: {{limit: {{tag: plc/t{400 + i * 6:04}, high: 65000, deadband: 100}}}}" for i in range(RULES)
    )
    return f"""
site: bench
cell: path
data: data
http: {{port: 0}}
links:
  plc: {{driver: modbus, host: 127.0.0.1, port: {port}, in_flight: {depth}}}
sinks:
  cloud: {{sink: influxdb, version: v2, url: "http://127.0.0.1:{http}", org: bench, bucket: bench}}
devices:
  plc:
    link: plc
    groups:
      fast:
        interval: 1ms  # never reached: it reads without pause
        tags:
{tags}
rules:
{rules}
"""


class Door:
    """The control door of the gateway, asked as its command line asks."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(str(path))
        self._lines = self._socket.makefile("rb")

    def sink(self) -> dict[str, int]:
        self._socket.sendall(b'{"ask": "status"}\n')
        status = json.loads(self._lines.readline())["status"]
        return cast("dict[str, int]", status["sinks"][0])

    def close(self) -> None:
        self._lines.close()
        self._socket.close()


def cpu_s(pid: int) -> float:
    """User and system time of a process, all threads."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * TICK_S


def rss_mb(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize() / 1e6


@contextmanager
def process(*command: str, log: Path | None = None) -> Iterator[subprocess.Popen[str]]:
    errors = log.open("w") if log else None
    running = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True)
    try:
        yield running
    finally:
        running.send_signal(signal.SIGTERM)
        running.wait(30)
        if errors:
            errors.close()


def wait_for(path: Path, seconds: float = 30) -> Door:
    deadline = time.monotonic() + seconds
    while True:
        try:
            return Door(path)
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


def gateway(folder: Path, port: int, depth: int) -> Measured:
    http = free_port()
    folder.mkdir()
    config = folder / "bench.yaml"
    config.write_text(configuration(port, http, depth), encoding="utf-8")
    with process(sys.executable, "-m", "tests.benchmarks.drain", str(http)) as drain:
        while not _listens(http):
            time.sleep(0.02)
        with process(sys.executable, "-m", "gateway", "run", str(config), log=folder / "gateway.log") as running:
            door = wait_for(folder / "data" / "control.sock")
            time.sleep(WARM_UP_S)
            before, used, began = door.sink(), cpu_s(running.pid), time.monotonic()
            time.sleep(MEASURE_S)
            after, used, took = door.sink(), cpu_s(running.pid) - used, time.monotonic() - began
            memory = rss_mb(running.pid)
            door.close()
        total = _account(folder / "data")
    assert drain.stdout is not None
    lines = int(drain.stdout.read())
    if lines * TAGS < total:
        raise SystemExit(f"{lines * TAGS} points arrived, but the gateway says {total}")
    points = after["delivered"] - before["delivered"]
    return Measured(points / used, points / took, _bytes_per_point(folder / "data" / "journal"), memory)


def _listens(port: int) -> bool:
    try:
        return accepts(port)
    except OSError:
        return False


def _account(data: Path) -> int:
    """What the gateway noted down as delivered telemetry, read after it has ended."""
    with sqlite3.connect(data / "journal" / "catalog.db") as catalog:
        (delivered,) = catalog.execute("SELECT sum(delivered) FROM delivery WHERE stream > 0").fetchone()
    catalog.close()
    return int(delivered)


def _bytes_per_point(journal: Path) -> float:
    last = max(journal.glob("normal-*.db"))
    with sqlite3.connect(last) as segment:
        (points,) = segment.execute("SELECT sum(points) FROM chunk").fetchone()
    segment.close()
    return last.stat().st_size / int(points)


def reference(folder: Path, port: int) -> float:
    arguments = [str(port), str(TAGS), str(MEASURE_S), str(folder / "reference.db")]
    command = [sys.executable, "-m", "tests.benchmarks.reference", *arguments]
    out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    measured = json.loads(out)
    return float(measured["points"] / measured["cpu_s"])


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        server = libmodbus.start(folder, "--move", registers=TAGS)
        try:
            first = gateway(folder / "depth-1", server.port, 1)
            deep = gateway(folder / f"depth-{DEPTH}", server.port, DEPTH)
            plain = reference(folder, server.port)
        finally:
            server.stop()
    best = max(first, deep, key=lambda measured: measured.points_per_core_s)
    publish(
        "path",
        {
            "points_per_core_s": round(best.points_per_core_s),
            "points_per_core_s_depth_1": round(first.points_per_core_s),
            "points_per_s": round(best.points_per_s),
            "reference_points_per_core_s": round(plain),
            "ratio": round(best.points_per_core_s / plain, 1),
            "bytes_per_point": round(max(first.bytes_per_point, deep.bytes_per_point), 2),
            "rss_mb": round(max(first.rss_mb, deep.rss_mb)),
        },
    )


if __name__ == "__main__":
    main()

"""Store and forward at speed, as users run it: real machines' protocols in, a real InfluxDB 1 out.

**Replay.** While the database refuses connections, ten Modbus devices of 20 tags are read as fast as it takes to gather
the backlog, then ten times a second; an MQTT device raises an alarm, or ends it, fifty times a second. Then the
database is back. A tap before it notes when it has answered 204 to what. `replay_points_s` counts the points of the
backlog from the first moment at which the database could have been reached to the one at which the last was there.
`first_live_s` is from that same moment to the first value that was measured after it. The ages are those of values
and alarms since the first was delivered and until the backlog was: the time of the 204 less the time of the source.

**Start** with a backlog of BENCH_BACKLOG_GB that is made of clones of real segments, until the control door answers and
every device was read, and how much more memory it takes, at its peak, than a start with none.

**Stall.** Two servers accept and never answer, for BENCH_STALL_SECONDS, at 10,000 points a second. Peak memory, MiB.

**Bytes a point** are all files of the journal but its reserve, once the gateway is quiet: of Modbus registers that
take a random walk, at 16 scans a commit, half of them raw and half scaled to float32; and of the recording in
`recording.py`, BENCH_RECORD_SECONDS long, with commits every 100 ms.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from socket import create_server

import numpy as np
from paho.mqtt.client import Client, MQTTv5
from paho.mqtt.enums import CallbackAPIVersion

from gateway.clock import SECOND
from tests.benchmarks import clones, recording, tap
from tests.benchmarks.result import publish
from tests.flows.machines import Section, broker_link, influx_v1, modbus_link
from tests.parts import libmodbus
from tests.parts.gateway import Gateway, gateway
from tests.parts.influxd import Influxd, influxd
from tests.parts.mosquitto import Mosquitto
from tests.parts.process import free_port

POINTS = int(os.environ.get("BENCH_POINTS", "1_000_000"))
BACKLOG_BYTES = int(float(os.environ.get("BENCH_BACKLOG_GB", "1")) * 1e9)
STALL_S = float(os.environ.get("BENCH_STALL_SECONDS", "120"))
RECORD_S = int(os.environ.get("BENCH_RECORD_SECONDS", "180"))

DATABASE = "plant"
DEVICES = 10
TAGS = 20
GATHER, LIVE = "5ms", "100ms"
TOGGLE_S = 0.02
MIB = 1024 * 1024
DEFAULT_BODY = 25_000_000
"""What InfluxDB takes unless it is told otherwise."""

_VALUE = re.compile(rb"(?:^|,)value=([-\d.]+)")

Figures = dict[str, float]


def plcs(port: int, tags: int, interval: str) -> Section:
    """Devices with a connection each. Half of their registers are raw, half are scaled, as a PLC's mostly are."""
    kinds = ({"type": "uint16"}, {"type": "float32", "raw": "uint16", "scale": 0.1})
    group = {
        "interval": interval,
        "tags": {f"t{i:03}": {"address": f"holding:{i}", **kinds[i % 2]} for i in range(tags)},
    }
    names = [f"plc-{number}" for number in range(DEVICES)]
    return {
        "links": {name: modbus_link(port) for name in names},
        "devices": {name: {"link": name, "groups": {"fast": group}} for name in names},
    }


def with_beacon(plant: Section, port: int) -> Section:
    """An MQTT device beside the others, and an alarm on what it sends."""
    group = {
        "topic": "beacon",
        "time": {"path": "ts", "format": "unix_ns"},
        "tags": {"level": {"type": "int64"}},
    }
    return {
        "links": plant["links"] | {"floor": broker_link(port)},
        "devices": plant["devices"] | {"beacon": {"link": "floor", "groups": {"level": group}}},
        "rules": {"raised": {"limit": {"tag": "beacon/level", "high": 0.5}}},
    }


@contextmanager
def beacon(port: int) -> Iterator[list[int]]:
    """Over the limit and under it in turn, until the end: 0, 1, -2, 3, -4, … The times at which they were sent."""
    client = Client(CallbackAPIVersion.VERSION2, protocol=MQTTv5)
    client.connect("127.0.0.1", port)
    client.loop_start()
    ended = threading.Event()

    sent: list[int] = []

    def toggle() -> None:
        while not ended.wait(TOGGLE_S):
            number = len(sent)
            sent.append(time.time_ns())
            level = number if number % 2 else -number
            client.publish("beacon", json.dumps({"ts": sent[number], "level": level}), qos=1)

    thread = threading.Thread(target=toggle)
    thread.start()
    try:
        yield sent
    finally:
        ended.set()
        thread.join()
        client.disconnect()
        client.loop_stop()


@contextmanager
def program(module: str, *arguments: object) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", module, *map(str, arguments)]
    running = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        yield running
    finally:
        running.terminate()
        running.wait(10)
        assert running.stdout is not None
        running.stdout.close()


def watch(running: Gateway, holds: Callable[[], bool], seconds: float) -> None:
    """Until `holds`, looking rarely: to ask costs the gateway time."""
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            raise SystemExit(f"it did not get there within {seconds:g} s:\n{running.tail()}")
        running.survives(0.2)


def all_read(running: Gateway) -> bool:
    return all(device["scans"] for device in running.status()["devices"] if device["id"].startswith("plc"))


def peak_mib(running: Gateway) -> float:
    """The most memory that was ever resident."""
    text = Path(f"/proc/{running.process.pid}/status").read_text(encoding="ascii")
    found = re.search(r"VmHWM:\s+(\d+) kB", text)
    assert found is not None
    return int(found[1]) * 1024 / MIB


# Replay


@dataclass(frozen=True, slots=True)
class Line:
    """One line as it arrived: nanoseconds, and how many points it holds."""

    measurement: bytes
    source: int
    arrived: int
    points: int


def arrivals(record: Path, sent: list[int]) -> list[Line]:
    """Each line when it was first there. An alarm tells by its value which of those that were `sent` has raised it."""
    found: dict[bytes, Line] = {}
    for arrived, body in tap.read(record):
        for text in body.splitlines():
            series, _, rest = text.partition(b" ")
            values, _, time_ = rest.rpartition(b" ")
            measurement = series.partition(b",")[0]
            cause = _VALUE.search(values) if measurement == b"alarms" else None
            source = sent[abs(round(float(cause[1])))] if cause else int(time_)
            found.setdefault(series + time_, Line(measurement, source, arrived, values.count(b",") + 1))
    return list(found.values())


def judge(lines: list[Line], back: int) -> Figures:
    """`back` is when the database could be reached again."""
    values = [line for line in lines if line.measurement in (b"fast", b"level")]
    backlog = [line for line in values if line.source < back]
    first, last = min(line.arrived for line in lines), max(line.arrived for line in backlog)
    live = [line for line in values if line.source >= back]
    during = [line for line in live if first <= line.source < last]
    alarms = [line for line in lines if line.measurement == b"alarms" and first <= line.source < last]
    speed = sum(line.points for line in backlog) / ((last - back) / SECOND)
    live_speed = sum(line.points for line in during) / ((last - first) / SECOND)
    return {
        "replay_points_s": round(speed),
        "replay_to_live_ratio": round(speed / live_speed, 1),
        "live_age_p99_s": round(p99_s(during), 3),
        "alarm_age_p99_ms": round(p99_s(alarms) * 1000, 1),
        "first_live_s": round((min(line.arrived for line in live) - back) / SECOND, 3),
        "backlog_points": sum(line.points for line in backlog),
        "alarms": len(alarms),
    }


def p99_s(lines: list[Line]) -> float:
    return float(np.percentile([line.arrived - line.source for line in lines], 99)) / SECOND


def replay(folder: Path) -> Figures:
    with ExitStack() as stack:
        influx = stack.enter_context(influxd(folder, max_body=DEFAULT_BODY))
        influx.create(DATABASE)
        broker = Mosquitto(folder)
        stack.callback(broker.stop)
        server = libmodbus.start(folder, "--move", registers=TAGS)
        stack.callback(server.stop)
        port = free_port()
        sinks = {"cloud": influx_v1(port, DATABASE, timeout="10s")}
        fast, slow = (with_beacon(plcs(server.port, TAGS, pace), broker.port) for pace in (GATHER, LIVE))
        running = stack.enter_context(gateway(folder, {**fast, "sinks": sinks}))
        watch(running, lambda: running.sink("cloud")["pending"] >= POINTS, 600)
        running.write(**slow, sinks=sinks)
        assert running.ask("reload")["answer"] != "error"
        sent = stack.enter_context(beacon(broker.port))
        running.survives(3)
        door = stack.enter_context(program("tests.benchmarks.tap", port, influx.port, folder / "record"))
        assert door.stdout is not None
        back = int(door.stdout.readline())
        rate = DEVICES * TAGS * 10
        watch(running, lambda: running.sink("cloud")["pending"] < rate / 2, 600)
        running.survives(1)
        running.check_accounts()
        account = running.sink("cloud")
        running.stop()
        lines = arrivals(folder / "record", sent)
        complete(influx, lines, account)
    return judge(lines, back)


def complete(influx: Influxd, lines: list[Line], account: Section) -> None:
    """What the database has is what passed the tap, and what the gateway says that it has delivered."""
    rows = sum(line.measurement == b"fast" for line in lines)
    (found,) = influx.query("select count(t000) from fast", DATABASE)
    points = sum(line.points for line in lines if line.measurement in (b"fast", b"level"))
    if found["count"] != rows or account["dropped"] or account["dead_letters"] or points < account["delivered"] * 0.99:
        raise SystemExit(f"{rows} rows passed, {found['count']} are there, {points} points; the account is {account}")


# Start


def start(folder: Path) -> Figures:
    server = libmodbus.start(folder, "--move", registers=TAGS)
    sinks = {"cloud": influx_v1(free_port(), DATABASE)}
    try:
        slow = {**plcs(server.port, TAGS, LIVE), "sinks": sinks}
        with gateway(made(folder / "empty"), slow, start=False) as bare:
            started(bare)  # Python compiles what is new
            empty = [started(bare) for _ in range(3)]
        fast = {**plcs(server.port, TAGS, GATHER), "sinks": sinks}
        with gateway(made(folder / "full"), fast) as laden:
            watch(laden, lambda: laden.sink("cloud")["pending"] >= min(POINTS, 200_000), 60)
            laden.stop()
            clones.fill(laden.folder / "data", BACKLOG_BYTES)
            laden.write(**slow)
            full = [started(laden) for _ in range(3)]
            laden.start()
            laden.check_accounts()
            pending = laden.sink("cloud")["pending"]
    finally:
        server.stop()
    return {
        "start_ready_s": round(max(ready for ready, _ in full), 2),
        "start_ready_empty_s": round(max(ready for ready, _ in empty), 2),
        "start_rss_delta_mb": round(max(rss for _, rss in full) - min(rss for _, rss in empty), 1),
        "start_backlog_points": pending,
    }


def made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def started(running: Gateway) -> tuple[float, float]:
    """Seconds until it is ready, and the most memory that it took in the ten seconds from then, MiB."""
    began = time.monotonic()
    running.start()
    running.wait(lambda: all_read(running), 60)
    ready = time.monotonic() - began
    running.survives(10)
    memory = peak_mib(running)
    running.stop()
    return ready, memory


# Stall


def stall(folder: Path) -> Figures:
    rate = 10_000
    server = libmodbus.start(folder, "--move", registers=rate // DEVICES // 10)
    # The kernel accepts, and nobody ever reads.
    with create_server(("127.0.0.1", 0), backlog=1024) as one, create_server(("127.0.0.1", 0), backlog=1024) as two:
        first, second = (hole.getsockname()[1] for hole in (one, two))
        sinks = {
            "one": influx_v1(first, DATABASE, timeout="10s"),
            "two": {"sink": "influxdb", "url": f"http://127.0.0.1:{second}", "org": "bench", "bucket": "bench"},
        }
        plant = plcs(server.port, rate // DEVICES // 10, LIVE)
        with gateway(folder, {**plant, "sinks": sinks}) as running:
            running.wait(lambda: all_read(running), 60)
            before, began = running.sink("one")["ingested"], time.monotonic()
            running.survives(STALL_S)
            account = running.sink("one")
            speed = (account["ingested"] - before) / (time.monotonic() - began)
            running.check_accounts()
            memory = peak_mib(running)
    server.stop()
    if account["delivered"] or account["dropped"]:
        raise SystemExit(f"nothing was to be delivered, nothing to be lost: {account}")
    return {"stalled_rss_mb": round(memory, 1), "stalled_points_s": round(speed)}


# Bytes a point


def on_disk(journal: Path) -> int:
    return sum(path.stat().st_size for path in journal.iterdir() if path.name != "reserve")


def bytes_per_point(running: Gateway) -> float:
    """Once it is quiet, which takes no more than a minute."""
    journal = running.folder / "data" / "journal"
    still, seen = 0, on_disk(journal)
    for _ in range(60):
        running.survives(1)
        still = still + 1 if on_disk(journal) == seen else 0
        seen = on_disk(journal)
        if still == 5:
            break
    points = running.sink("cloud")["pending"]
    running.check_accounts()
    running.stop()
    return float(on_disk(journal) / points)


def steady(folder: Path) -> Figures:
    """16 scans of a group a commit."""
    server = libmodbus.start(folder, "--move", registers=100)
    sections = {
        **plcs(server.port, 100, LIVE),
        "sinks": {"cloud": influx_v1(free_port(), DATABASE)},
        "journal": {"commit_interval": "1550ms"},
    }
    try:
        with gateway(folder, sections) as running:
            running.survives(RECORD_S / 3)
            server.stop()
            return {"bytes_per_point": round(bytes_per_point(running), 2)}
    finally:
        server.stop()


def slow(folder: Path) -> Figures:
    broker = Mosquitto(folder)
    group = {
        "topic": "plant/{device}/state",
        "qos": 0,
        "time": {"path": "ts", "format": "unix_ms"},
        "tags": {name: {"type": kind} for name, kind in recording.types().items()},
    }
    devices = {
        recording.device(number): {"link": "floor", "groups": {"state": group}} for number in range(recording.DEVICES)
    }
    sections = {
        "links": {"floor": broker_link(broker.port)},
        "devices": devices,
        "sinks": {"cloud": influx_v1(free_port(), DATABASE)},
    }
    try:
        with gateway(folder, sections) as running:
            running.wait(lambda: bool(running.link("floor")["online"]), 60)
            with program("tests.benchmarks.recording", broker.port, RECORD_S) as machines:
                if machines.wait(RECORD_S + 60):
                    raise SystemExit("the recording was not published")
            expected = recording.DEVICES * recording.TAGS * RECORD_S
            watch(running, lambda: running.sink("cloud")["pending"] >= expected, 30)
            return {"bytes_per_point_slow_groups": round(bytes_per_point(running), 2)}
    finally:
        broker.stop()


PARTS = {"replay": replay, "start": start, "stall": stall, "steady": steady, "slow": slow}


def main(*parts: str) -> None:
    """All parts, or those that are named."""
    figures: Figures = {}
    with tempfile.TemporaryDirectory() as name:
        for part in parts or PARTS:
            figures |= PARTS[part](made(Path(name) / part))
            sys.stderr.write(f"{part}: {figures}\n")
    publish("replay", figures)


if __name__ == "__main__":
    main(*sys.argv[1:])

"""200 devices of which 20 turn sick (A4): how late the scans of the other 180 are before and after, in one run.

150 Modbus TCP devices have a link of their own, 30 share 3 gateways with one connection each, 20 publish over MQTT; see
`tests.parts.plant` for how the sick are sick. Scans come every second, some five times as often.

Each scan is due in a schedule of its device, whose phase is the median of when its scans did come. A slot's lateness is
the time from its beginning until the next value of the device is there, so that one that is lost counts as well. The
second measurement begins with the sickness, so that how it is found out is in it.

A connection with one request in flight waits for a silent unit as a serial line does: `late_percent_sharing` is how
many of the scans of those who share it with one come more than 50 ms late.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from gateway.clock import SECOND
from tests.benchmarks.bench_path import cpu_s, rss_mb
from tests.benchmarks.result import publish
from tests.parts.farm import Farm
from tests.parts.gateway import Gateway, gateway
from tests.parts.plant import Plant, Size, plant

Times = npt.NDArray[np.float64]

MEASURE_S = float(os.environ.get("BENCH_SECONDS", "60"))
WARM_UP_S = 5.0
BOUND_MS = 50
EARLY = 0.1
"""A scan that comes by this share of its interval too early counts for its slot."""


@dataclass(frozen=True, slots=True)
class Window:
    """Wall-clock seconds, and what the gateway used between them, in cores."""

    start: float
    stop: float
    cpu: float


def measure(running: Gateway) -> Window:
    start, used = time.time(), cpu_s(running.process.pid)
    running.survives(MEASURE_S)
    stop = time.time()
    return Window(start, stop, (cpu_s(running.process.pid) - used) / (stop - start))


def arrivals(archive: Path) -> dict[str, Times]:
    """When the scans of each device were there, wall-clock seconds."""
    found: defaultdict[str, list[float]] = defaultdict(list)
    for path in archive.glob("telemetry-*.jsonl"):
        with path.open("rb") as lines:
            for line in lines:
                row = json.loads(line)
                found[row["device"]].append(row["gateway_time"] / SECOND)
    return {device: np.sort(np.array(times)) for device, times in found.items()}


def lateness(times: Times, interval: float, window: Window) -> Times:
    """Of each slot of the window, in seconds."""
    inside = times[(times >= window.start) & (times < window.stop)]
    turns = np.angle(np.exp(2j * np.pi * inside / interval).mean()) / (2 * np.pi)
    offsets = (inside / interval - turns + 0.5) % 1 - 0.5
    phase = (turns + np.median(offsets)) * interval
    first = np.ceil((window.start - phase) / interval)
    slots: Times = phase + interval * np.arange(first, np.floor((window.stop - phase) / interval) - 1)
    following = np.searchsorted(times, slots - EARLY * interval)
    padded = np.append(times, window.stop)
    return np.maximum(0.0, padded[following] - slots)


class Record:
    """What the archive holds."""

    def __init__(self, archive: Path, made: Plant) -> None:
        self._times = arrivals(archive)
        self._intervals = made.intervals

    def lateness_ms(self, who: Iterable[str], window: Window) -> Times:
        """Of all slots of all of them."""
        each = [lateness(self._times[device], self._intervals[device], window) for device in who]
        return np.concatenate(each) * 1000

    def p99_ms(self, who: Iterable[str], window: Window) -> float:
        return float(np.percentile(self.lateness_ms(who, window), 99))


def named(running: Gateway) -> dict[str, str]:
    """The devices that the status says something about, and what."""
    return {
        device["id"]: f"{device['state']}: {device['reason']}"
        for device in running.status()["devices"]
        if device["state"] != "online" or device["reason"]
    }


def run(folder: Path, made: Plant, farm: Farm) -> dict[str, object]:
    sinks = {"archive": {"sink": "files", "directory": str(folder / "archive")}}
    with gateway(folder, {"links": made.links, "devices": made.devices, "sinks": sinks}) as running:
        running.wait(lambda: not named(running), 60)
        running.survives(WARM_UP_S)
        well = measure(running)
        farm.turn()
        ill = measure(running)
        complaints = named(running)
        memory = rss_mb(running.process.pid)
        running.wait_delivered("archive")
    for device in sorted(complaints):
        sys.stderr.write(f"{device} ({made.sick.get(device, 'well')}): {complaints[device]}\n")
    record = Record(folder / "archive", made)
    before, after = (record.p99_ms(made.healthy, window) for window in (well, ill))
    alone = made.healthy - made.neighbours
    shares = record.lateness_ms(made.neighbours, ill) > record.p99_ms(made.neighbours, well) + BOUND_MS
    return {
        "devices": len(made.devices),
        "sick": len(made.sick),
        "p99_lateness_ms_well": round(before, 1),
        "p99_lateness_ms_with_sick": round(after, 1),
        "added_ms": round(after - before, 1),
        "added_ms_alone": round(record.p99_ms(alone, ill) - record.p99_ms(alone, well), 1),
        "late_percent_sharing": round(100 * float(shares.mean()), 1),
        "named": len(complaints.keys() & made.sick.keys()),
        "named_wrongly": len(complaints.keys() - made.sick.keys()),
        "cpu_percent": round(100 * well.cpu, 1),
        "cpu_percent_with_sick": round(100 * ill.cpu, 1),
        "rss_mb": round(memory),
    }


def main() -> None:
    with tempfile.TemporaryDirectory() as name, plant(Path(name), Size()) as (made, farm):
        publish("sick", run(Path(name), made, farm))


if __name__ == "__main__":
    main()

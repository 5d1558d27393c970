"""200 devices, of which 20 turn sick while the plant works (A4): the others miss no scan, and each of the sick is named
with its reason, and since when. How late scans come is measured by `make bench-sick`; here a machine may be slow."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.parts.farm import Farm
from tests.parts.gateway import Gateway, gateway
from tests.parts.plant import Plant, Size, plant

pytestmark = [pytest.mark.slow, pytest.mark.real("mosquitto"), pytest.mark.real("libmodbus")]

SCANS = 6
"""That many scans of each device are waited for before it happens, and again after."""
REASONS = {
    "refused": ("offline", "Connection refused"),
    "hole": ("offline", ""),
    "silent": ("offline quarantined", "no answer in time"),
    "slow": ("offline quarantined", "no answer in time"),
    "stranger": ("offline quarantined", "no answer in time"),
    "impostor": ("offline quarantined", "does not fit what was asked"),
    "short": ("offline quarantined", "does not fit what was asked"),
    "tardy": ("online", "too slow"),
    "hangup": ("offline connecting", "the device closed the connection"),
    "garbage": ("offline connecting", "not Modbus TCP"),
    "failing": ("stale", "device failure"),
    "unreachable": ("offline quarantined", "no answer from it"),
    "mute": ("stale", "no fresh value of state for 3 s"),
    "frozen": ("stale", "its time stands still"),
    "garbled": ("stale", "not JSON"),
}
"""What may be said of those who are sick in such a way: the state, and words that the reason holds."""

Devices = Mapping[str, Mapping[str, Any]]


@pytest.fixture
def works(tmp_path: Path) -> Iterator[tuple[Plant, Farm]]:
    with plant(tmp_path, Size(timeout_s=0.5)) as made:
        yield made


def test_the_sick_are_named_and_the_others_miss_no_scan(tmp_path: Path, works: tuple[Plant, Farm]) -> None:
    made, farm = works
    assert (len(made.devices), len(made.sick)) == (200, 20)
    with gateway(tmp_path, {"links": made.links, "devices": made.devices}) as running:
        running.wait(lambda: not named(devices(running)))
        watch(running, made)
        turned = time.time_ns()
        farm.turn()
        running.wait(lambda: named(devices(running)) >= made.sick.keys())
        watch(running, made)
        status = asked(running)
    assert named(status) == made.sick.keys()
    for name, sickness in made.sick.items():
        state, words = REASONS[sickness]
        assert status[name]["state"] in state.split(), status[name]
        assert words in status[name]["reason"], status[name]
        assert turned <= status[name]["since"] <= time.time_ns(), status[name]
    assert all(status[name]["since"] < turned for name in made.healthy)
    told = [len(running.told(f"device {name} is offline")) for name in made.sick]
    assert max(told) == 1, "what comes and goes fills the log"


def watch(running: Gateway, made: Plant) -> None:
    """The scans of the healthy, for a while. One that lost a tenth of them on a machine that is busy passes, one that
    waits for the sick does not."""
    before, began = devices(running), time.monotonic()
    running.survives(SCANS * made.size.interval_s)
    after, lasted = devices(running), time.monotonic() - began
    missing = {
        name: (after[name]["scans"] - before[name]["scans"], lasted / made.intervals[name])
        for name in made.healthy
        if after[name]["scans"] - before[name]["scans"] < 0.9 * lasted / made.intervals[name] - 2
    }
    assert not missing


def named(status: Devices) -> set[str]:
    """Those that the status says something about."""
    return {name for name, device in status.items() if device["state"] != "online" or device["reason"]}


def devices(running: Gateway) -> Devices:
    return {device["id"]: device for device in running.status()["devices"]}


def asked(running: Gateway) -> Devices:
    """The same, as people ask for it."""
    command = [sys.executable, "-m", "gateway", "status", "--json", "--config", str(running.configuration)]
    out = subprocess.run(command, check=True, capture_output=True, text=True, timeout=20).stdout
    return {device["id"]: device for device in json.loads(out)["devices"]}

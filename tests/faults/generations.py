"""The configuration, written as the gateway and its commands write it, and the judge of what is found on disk
afterwards."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping
from itertools import count
from pathlib import Path

from gateway import files
from gateway.cli import output
from gateway.generation import Archive
from tests.faults.history import History
from tests.faults.workload import Findings, Plan

_FILE = "site.yaml"


async def write(directory: Path, plan: Plan, say: Callable[[str], None], stopping: asyncio.Event) -> None:
    """`plan.bursts` configurations, each accepted by the gateway, and written to a file as by a command; 0 for as many
    as it can until it is told to stop. What a sick disk refuses is tried again."""
    files.make(directory / "data")
    archive = Archive(directory / "data")
    say("READY")
    for number in range(1, plan.bursts + 1) if plan.bursts else count(1):
        while not await _accept(directory, archive, number, plan, say):
            pass
        if stopping.is_set():
            return


async def _accept(directory: Path, archive: Archive, number: int, plan: Plan, say: Callable[[str], None]) -> bool:
    """Whether the disk took it."""
    await asyncio.sleep(plan.pause)
    try:
        archive.remember(_contents(number, plan.seed), plan.epoch + number)
        say(f"G {number}")
        output.replace(directory / _FILE, _file(number, plan.seed))
        say(f"F {number}")
    except OSError:
        return False
    return True


async def audit(directory: Path, history: History, plan: Plan, thorough: bool = True) -> Findings:
    """The last generation is one that was accepted last, or was about to be, and whole; and so is the file."""
    findings = Findings()
    try:
        kept = Archive(directory / "data").last()
        number = 0 if kept is None else kept.generation.time - plan.epoch
        if kept is not None and dict(kept.contents) != _contents(number, plan.seed):
            findings.problems.append(f"configuration {number} is not what was written")
        if not history.generation <= number <= history.generation + 1:
            findings.lost += 1
            findings.problems.append(f"configuration {history.generation} was accepted, {number} is there")
        _judge_file(directory / _FILE, history, plan, findings)
        if thorough:
            _go_on(directory, history, plan, findings)
    except Exception as error:
        findings.problems.append(f"unreadable: {error!r}")
    return findings


def _judge_file(path: Path, history: History, plan: Plan, findings: Findings) -> None:
    there = path.read_bytes() if path.exists() else _file(0, plan.seed)
    if there not in (_file(history.file, plan.seed), _file(history.file + 1, plan.seed)):
        findings.lost += 1
        findings.problems.append(f"{path.name} is not the one of {history.file}: {there[:30]!r}")


def _go_on(directory: Path, history: History, plan: Plan, findings: Findings) -> None:
    """The next one is accepted as well, and stays."""
    directory.joinpath("data").mkdir(parents=True, exist_ok=True)
    archive = Archive(directory / "data")
    contents = _contents(history.generation + 1000, plan.seed)
    accepted = archive.remember(contents, plan.epoch)
    kept = archive.last()
    if kept is None or kept.generation != accepted or dict(kept.contents) != contents:
        findings.problems.append("the next configuration is not kept")


def _contents(number: int, seed: int) -> Mapping[str, bytes]:
    choice = random.Random(seed * 1_000_003 + number)
    names = ["site.yaml", "lines/press.yaml", "lines/oven.yaml"][: choice.randint(1, 3)]
    return {name: f"# {name} of {number}\n".encode() + choice.randbytes(choice.randint(0, 3000)) for name in names}


def _file(number: int, seed: int) -> bytes:
    """Nothing before the first."""
    return b"" if number == 0 else f"number {number}\n".encode() + random.Random(seed + number).randbytes(1500)

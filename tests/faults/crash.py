"""The power fails at every system call of a writer, in every way that a disk allows; what is left is opened.

A writer is recorded, its acknowledgements among its system calls. Each state that the disk may have had when the power
failed is laid out, and opened as a start of the gateway opens it. The same with a SQLite that syncs less: there losses
must be found, or the suite would find none anywhere.
"""

from __future__ import annotations

import asyncio
import logging
import os
import random
import shutil
import tempfile
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

from tests.faults import generations, workload
from tests.faults.disk import LOSSES, NAMES, Disk, Loss, Names
from tests.faults.history import History
from tests.faults.trace import CALLS, Operation, Say, read
from tests.faults.workload import PROMPT, SPOTTY, Findings, Plan
from tests.faults.writer import VOICE, traced, writer

_MEMORY = Path("/dev/shm")
_THOROUGH = 8
"""One state of so many is not only looked at: the journal goes on from there."""

_SHARE = 100
"""Each control gets one state of so many, and 100 at least."""


@dataclass(frozen=True, slots=True)
class Load:
    """What a writer does, and the judge of what it leaves."""

    name: str
    plan: Plan
    write: Callable[..., Awaitable[None]] = workload.write
    audit: Callable[[Path, History, Plan, bool], Awaitable[Findings]] = workload.audit


class Recording(NamedTuple):
    load: Load
    root: str
    operations: Sequence[Operation]


class Task(NamedTuple):
    """A state of the disk to be tried: when the power fails, and what that does."""

    at: int
    names: Names
    loss: Loss
    seed: int


class Outcome(NamedTuple):
    """Of some states: how many, what is lost and what came back in all, how many are not sound, and why one is not."""

    runs: int
    lost: int
    duplicates: int
    failed: int
    example: str


def loads(seed: int) -> list[Load]:
    plan = Plan(seed, time.time_ns(), bursts=40, log_pages=8)
    small = replace(plan, segment_bytes=40 << 10)
    return [
        Load("append", replace(plan, log_pages=40)),
        Load("rotation", replace(small, groups=(1, 2), sinks=(PROMPT, SPOTTY))),
        Load("retention", replace(small, groups=(2, 3), max_bytes=200 << 10)),
        Load("keys", replace(plan, groups=(0, 2), segment_bytes=64 << 10, bursts=25, turns=True)),
        Load("configuration", replace(plan, bursts=12), generations.write, generations.audit),
    ]


def run(size: int, seed: int, tell: Callable[[str], None]) -> dict[str, int]:
    """`size` states, and the controls beside them."""
    every = loads(seed)
    tried = [try_all(load, size // len(every), seed, tell) for load in every]
    controls = [
        try_all(replace(load, plan=replace(load.plan, synchronous=level)), max(100, size // _SHARE), seed, tell)
        for load in every[:2]
        for level in ("NORMAL", "OFF")
    ]
    return {
        "runs": sum(outcome.runs for outcome in tried),
        "lost": sum(outcome.lost for outcome in tried),
        "duplicates": sum(outcome.duplicates for outcome in tried),
        "failed": sum(outcome.failed for outcome in tried),
        "control_runs": sum(outcome.runs for outcome in controls),
        "control_lost": min(outcome.lost for outcome in controls),
    }


def try_all(load: Load, size: int, seed: int, tell: Callable[[str], None]) -> Outcome:
    """`size` states of one load, on all cores."""
    title = f"crash: {load.name}, synchronous={load.plan.synchronous}"
    recording = record(load)
    tasks = choose(len(recording.operations), size, seed)
    shares = os.cpu_count() or 1
    outcomes: list[Outcome] = []
    with get_context("fork").Pool(shares, prepare) as pool:
        pieces = [tasks[start :: shares * 8] for start in range(shares * 8)]
        for outcome in pool.imap_unordered(partial(examine, recording), [piece for piece in pieces if piece]):
            outcomes.append(outcome)
            tell(f"{title}: {sum(one.runs for one in outcomes)} of {size}")
    example = next((one.example for one in outcomes if one.example), "")
    *sums, _ = zip(*outcomes, strict=True)
    whole = Outcome(*(sum(column) for column in sums), example)
    if whole.failed and load.plan.synchronous == "FULL":
        tell(f"{title}: {whole.failed} of {whole.runs} states are not sound, for example {example}")
    return whole


def prepare() -> None:
    logging.disable(logging.CRITICAL)
    workload.hasten()


def record(load: Load) -> Recording:
    with tempfile.TemporaryDirectory(dir=memory()) as name:
        scratch = Path(name)
        root = scratch / "data"
        root.mkdir()
        trace = scratch / "trace"
        made = writer(partial(load.write, root / "journal", load.plan), scratch)
        with made as author, traced(author.pid, trace, ["-e", f"trace={CALLS}"]):
            author.go()
            if not author.join(120):
                raise RuntimeError(f"the writer has failed: {author.complaint}")
        with trace.open(encoding="ascii") as lines:
            return Recording(load, str(root), read(lines, str(root), VOICE))


def choose(operations: int, size: int, seed: int) -> list[Task]:
    """Every moment in every way, in random order, and again with other dice until there are `size`; then by moment."""
    choice = random.Random(seed)
    every = [(at, names, loss) for at in range(1, operations + 1) for names in NAMES for loss in LOSSES]
    tasks: list[Task] = []
    while len(tasks) < size:
        choice.shuffle(every)
        tasks += [Task(*one, choice.getrandbits(32)) for one in every[: size - len(tasks)]]
    return sorted(tasks)


def examine(recording: Recording, tasks: Sequence[Task]) -> Outcome:
    """Some states, in order, in this process."""
    with tempfile.TemporaryDirectory(dir=memory()) as name:
        return asyncio.run(_examine(recording, tasks, Path(name)))


async def _examine(recording: Recording, tasks: Sequence[Task], scratch: Path) -> Outcome:
    found: list[tuple[Task, Findings]] = []
    for task, disk, history in _moments(recording, tasks):
        root = scratch / "state"
        root.mkdir()
        disk.image(task.loss, random.Random(task.seed)).lay(root)
        thorough = task.seed % _THOROUGH == 0
        found.append((task, await recording.load.audit(root / "journal", history, recording.load.plan, thorough)))
        shutil.rmtree(root)
    bad = [(task, findings) for task, findings in found if not findings.sound]
    return Outcome(
        len(found),
        sum(findings.lost for _, findings in found),
        sum(findings.duplicates for _, findings in found),
        len(bad),
        f"{bad[0][0]}: {'; '.join(bad[0][1].problems[:5])}" if bad else "",
    )


def _moments(recording: Recording, tasks: Sequence[Task]) -> Iterator[tuple[Task, Disk, History]]:
    """The disk and what was said, as they were at the moment of each task, which come in order."""
    disks = {names: Disk(recording.root, names) for names in NAMES}
    history = History()
    by_moment: defaultdict[int, list[Task]] = defaultdict(list)
    for task in tasks:
        by_moment[task.at].append(task)
    announced = _announced(recording.operations)
    for at, operation in enumerate(recording.operations, 1):
        for disk in disks.values():
            disk.apply(operation)
        if isinstance(operation, Say):
            history.feed(operation.line)
        history.most_dropped.update(announced[at - 1])
        for task in by_moment[at]:
            yield task, disks[task.names], history


def _announced(operations: Sequence[Operation]) -> list[dict[str, int]]:
    """After each operation, what the writer will say next of what was given up: it may be on disk already."""
    following: dict[str, int] = {}
    announced: list[dict[str, int]] = []
    for operation in reversed(operations):
        announced.append(dict(following))
        if isinstance(operation, Say) and operation.line.startswith("D "):
            _, sink, points = operation.line.split()
            following[sink] = int(points)
    return announced[::-1]


def memory() -> Path | None:
    """Where files cost no disk; None where there is no such place."""
    return _MEMORY if os.access(_MEMORY, os.W_OK) else None

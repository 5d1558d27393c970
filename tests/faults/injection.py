"""The disk refuses, from the Nth call on: the kernel answers EIO or ENOSPC to a writer at work, once or for a while.
Nothing that was acknowledged may be lost, the writer must not end, and soon after the disk is well it must go on.

strace puts the errors in, and takes them away when it leaves.
"""

from __future__ import annotations

import asyncio
import logging
import random
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

from tests.faults import generations, workload
from tests.faults.crash import memory
from tests.faults.workload import Findings, Plan
from tests.faults.writer import Writer, traced, writer

RESUME_S = 10.0
_WAIT_S = 20.0
_LONGEST_S = 2.5
_AT_ONCE = 10
"""Writers; they wait for most of the time."""


@dataclass(frozen=True, slots=True)
class Fault:
    """Which calls fail, with what, and at which of them it may begin; some only on the journal's own `files`, because
    the interpreter makes them too. `configuration` is written, or else the journal."""

    name: str
    calls: str
    errors: tuple[str, ...]
    latest: int
    files: bool = False
    configuration: bool = False

    @property
    def write(self) -> Callable[..., Awaitable[None]]:
        return generations.write if self.configuration else workload.write

    @property
    def audit(self) -> Callable[..., Awaitable[Findings]]:
        return generations.audit if self.configuration else workload.audit


FAULTS = (
    Fault("write", "pwrite64", ("ENOSPC", "EIO"), 150),
    Fault("sync", "fdatasync", ("EIO",), 40),
    Fault("truncate", "ftruncate", ("EIO", "ENOSPC"), 4),
    Fault("open", "openat", ("EIO", "ENOSPC"), 8, files=True),
    Fault("rename", "rename", ("EIO", "ENOSPC"), 8, configuration=True),
    Fault("sync of a configuration", "fsync", ("EIO",), 30, configuration=True),
)


class Case(NamedTuple):
    """One run: `first` is the call that fails first; it fails for `seconds`, or 0 for that call alone."""

    fault: Fault
    error: str
    first: int
    seconds: float
    seed: int


class Outcome(NamedTuple):
    lost: int
    duplicates: int
    resumed: float
    problems: tuple[str, ...]


def run(size: int, seed: int, tell: Callable[[str], None]) -> dict[str, int]:
    done: list[Outcome] = []
    with get_context("fork").Pool(_AT_ONCE) as pool:
        for case, outcome in pool.imap_unordered(attempt, choose(size, seed)):
            done.append(outcome)
            if outcome.problems:
                tell(f"injection: {case}: {'; '.join(outcome.problems)}")
            tell(f"injection: {len(done)} of {size}")
    return {
        "runs": len(done),
        "lost": sum(outcome.lost for outcome in done),
        "duplicates": sum(outcome.duplicates for outcome in done),
        "failed": sum(1 for outcome in done if outcome.problems),
        "slowest_resume_ms": round(1000 * max(outcome.resumed for outcome in done)),
    }


def choose(size: int, seed: int) -> list[Case]:
    choice = random.Random(seed)
    cases = []
    for number in range(size):
        fault = FAULTS[number % len(FAULTS)]
        seconds = choice.choice((0.0, 0.0, choice.uniform(0.1, _LONGEST_S)))
        first = choice.randint(1, fault.latest)
        cases.append(Case(fault, choice.choice(fault.errors), first, seconds, choice.getrandbits(32)))
    return cases


def attempt(case: Case) -> tuple[Case, Outcome]:
    logging.disable(logging.CRITICAL)
    with tempfile.TemporaryDirectory(dir=memory()) as name:
        return case, _attempt(case, Path(name))


def _attempt(case: Case, scratch: Path) -> Outcome:
    plan = Plan(case.seed, time.time_ns(), segment_bytes=48 << 10, hasty=False, pause=0.01)
    directory = scratch / "journal"
    problems: list[str] = []
    with writer(partial(case.fault.write, directory, plan), scratch) as author:
        author.go()
        if not author.wait_for(lambda: len(author.lines()) > 10, _WAIT_S):
            return Outcome(0, 0, 0.0, (f"the writer does not begin: {author.complaint}",))
        resumed = _fail(case, author, scratch, problems)
        if not author.stop():
            problems.append(f"the writer does not end as it should: {author.complaint}")
        history = author.history()
    findings = asyncio.run(case.fault.audit(directory, history, plan))
    return Outcome(findings.lost, findings.duplicates, resumed, (*problems, *findings.problems[:5]))


def _fail(case: Case, author: Writer, scratch: Path, problems: list[str]) -> float:
    """How long it took, in seconds, until something was acknowledged again after the fault was gone."""
    trace = scratch / "trace"
    when = str(case.first) if case.seconds == 0 else f"{case.first}+"
    arguments = ["-e", f"trace={case.fault.calls}", "-e", f"inject={case.fault.calls}:error={case.error}:when={when}"]
    if case.fault.files:
        arguments += [part for path in workload.files(scratch / "journal", 60) for part in ("-P", str(path))]
    with traced(author.pid, trace, arguments):
        if not author.wait_for(lambda: "INJECTED" in trace.read_text(encoding="ascii"), _WAIT_S):
            problems.append(f"nothing failed: {author.complaint or 'there were not so many calls'}")
        until = time.monotonic() + case.seconds
        author.wait_for(lambda: time.monotonic() >= until, case.seconds)
    begun, said = time.monotonic(), len(_acknowledgements(author))
    if not author.wait_for(lambda: len(_acknowledgements(author)) > said, RESUME_S):
        problems.append(author.complaint or f"nothing was acknowledged for {RESUME_S:.0f} s after the disk was well")
    return time.monotonic() - begun


def _acknowledgements(author: Writer) -> list[str]:
    return [line for line in author.lines() if line[0] in "AGF"]

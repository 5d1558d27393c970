"""Bytes on the disk change while nobody looks: flipped, zeroed, cut off, or exchanged by somebody who knows how. What
was changed must be found out, only what was touched may be lost, what is lost must be said to the point, and nobody
must have to come.

What was touched is what SQLite itself, asked for one row after the other, does not give back as it was written.
"""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

from tests.faults import workload
from tests.faults.crash import memory, prepare
from tests.faults.workload import Estate, Plan
from tests.faults.writer import writer

_WAIT_S = 20.0
_LINES = 400
"""After so many the writer is killed, and leaves its logs behind."""


class Damage(NamedTuple):
    """`size` bytes of a file from `at` on, in one of KINDS of ways."""

    file: str
    kind: str
    at: int
    size: int
    seed: int

    def __call__(self, content: bytearray) -> None:
        choice = random.Random(self.seed)
        if self.kind == "truncated":
            del content[self.at :]
        elif self.kind == "zeroed":
            content[self.at : self.at + self.size] = bytes(len(content[self.at : self.at + self.size]))
        else:
            for at in range(self.at, min(self.at + self.size, len(content))):
                content[at] ^= 1 << choice.randrange(8)


TAMPERED = "tampered"
"""By means of SQLite, so that all but a value is as it should be."""

KINDS = {"flipped": (1, 1, 1, 16), "zeroed": (1, 16, 512, 4096), "truncated": (0,), TAMPERED: (0,)}
"""And how many bytes."""


class Outcome(NamedTuple):
    damage: Damage
    lost: int
    problems: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Store:
    """A journal as it was left: its files, and what is in them."""

    plan: Plan
    files: Mapping[str, bytes]
    estate: Estate


def run(size: int, seed: int, tell: Callable[[str], None]) -> dict[str, int]:
    """`size` damages. `lost` is what is gone and was not touched, or what nobody said; `touched` what had to go."""
    stores = [make(seed, killed) for killed in (False, True)]
    cases = choose(stores, size, seed)
    done: list[Outcome] = []
    with get_context("fork").Pool(os.cpu_count(), prepare) as pool:
        for outcome in pool.imap_unordered(partial(attempt, stores), cases, 4):
            done.append(outcome)
            if outcome.problems:
                tell(f"rot: {outcome.damage}: {'; '.join(outcome.problems[:5])}")
            tell(f"rot: {len(done)} of {size}")
    return {
        "runs": len(done),
        "lost": sum(outcome.lost for outcome in done),
        "duplicates": 0,
        "failed": sum(1 for outcome in done if outcome.problems),
    }


def make(seed: int, killed: bool) -> Store:
    """A journal that was closed, or whose writer was killed."""
    plan = Plan(seed, time.time_ns(), 0 if killed else 45, segment_bytes=40 << 10)
    with tempfile.TemporaryDirectory(dir=memory()) as name:
        directory = Path(name) / "journal"
        with writer(partial(workload.write, directory, plan), Path(name)) as author:
            author.go()
            if killed:
                author.wait_for(lambda: len(author.lines()) > _LINES, _WAIT_S)
            elif not author.join(_WAIT_S):
                raise RuntimeError(f"the writer has failed: {author.complaint}")
            author.kill()
            history = author.history()
        files = {path.name: path.read_bytes() for path in directory.iterdir() if path.name not in workload.KEEPSAKES}
        return Store(plan, files, asyncio.run(workload.survey(directory, history, plan)))


def choose(stores: list[Store], size: int, seed: int) -> list[tuple[int, Damage]]:
    """Every file of every store in turn, somewhere."""
    choice = random.Random(seed)
    places = [(number, name) for number, store in enumerate(stores) for name in sorted(store.files)]
    cases = []
    for turn in range(size):
        number, name = places[turn % len(places)]
        kind = choice.choice([kind for kind in KINDS if kind != TAMPERED or name.endswith(".db")])
        at = choice.randrange(max(1, len(stores[number].files[name])))
        cases.append((number, Damage(name, kind, at, choice.choice(KINDS[kind]), choice.getrandbits(32))))
    return cases


def attempt(stores: list[Store], case: tuple[int, Damage]) -> Outcome:
    number, damage = case
    store = stores[number]
    content = bytearray(store.files[damage.file])
    if damage.kind != TAMPERED:
        damage(content)
    with tempfile.TemporaryDirectory(dir=memory()) as name:
        directory = Path(name) / "journal"
        directory.mkdir()
        for file, whole in store.files.items():
            (directory / file).write_bytes(content if file == damage.file else whole)
        if damage.kind == TAMPERED:
            workload.tamper(directory / damage.file, random.Random(damage.seed))
        touched = workload.touched(shutil.copytree(directory, Path(name) / "copy"), store.estate)
        findings = asyncio.run(workload.appraise(directory, store.estate, touched, store.plan))
    return Outcome(damage, findings.lost, tuple(findings.problems))

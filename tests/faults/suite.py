"""The suites of `make faults`, how long they are, and what must hold of their figures."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Protocol, cast

SEED = 1


class Run(Protocol):
    def __call__(self, size: int, seed: int, tell: Callable[[str], None]) -> dict[str, int]:
        """`size` runs, all of which follow from `seed`. `tell` is told how far it is, as `… N of M`, and what is not
        as it should be. Gives `runs`, `lost`, `duplicates` and `failed`, and `skipped` for what the machine cannot
        do; `control_lost` is what was lost where something must be."""


@dataclass(frozen=True, slots=True)
class Suite:
    """A module of this package that has a function `run`, and how many runs it makes."""

    name: str
    quick: int
    full: int

    @property
    def module(self) -> str:
        return f"tests.faults.{self.name}"

    @property
    def exists(self) -> bool:
        return find_spec(self.module) is not None

    def run(self, full: bool, seed: int, tell: Callable[[str], None]) -> dict[str, int]:
        run = cast(Run, importlib.import_module(self.module).run)
        return run(self.full if full else self.quick, seed, tell)


SUITES = (
    Suite("crash", 5_000, 100_000),
    Suite("kills", 50, 10_000),
    Suite("injection", 100, 2_500),
    Suite("rot", 300, 10_000),
    Suite("partitions", 10, 200),
    Suite("cut", 20, 500),
)


def complaints(figures: Mapping[str, int], strict: bool) -> list[str]:
    """What does not hold of a suite's figures; where it is `strict`, nothing may be skipped."""
    found = [f"{figures[key]} {key}" for key in ("lost", "duplicates", "failed") if figures[key]]
    skipped = figures.get("skipped", 0)
    if strict and skipped:
        found.append(f"{skipped} skipped")
    if not figures["runs"] and not skipped:
        found.append("nothing was run")
    if figures.get("control_lost") == 0:
        found.append("the controls lost nothing: the suite sees nothing")
    return found

"""Applies a changed configuration to a running cell, as one generation: all of it, or nothing.

Whatever can fail comes first: the files are read and judged, everything new is made, and the generation is remembered
on disk. Only then it comes into force, in one go; last, the old links and sinks end and the new ones begin. What did
not change is not touched: a connection stands, an on-delay runs on. Killed at any step, a gateway that starts again
runs the files on the disk, whole.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from gateway import include, settings
from gateway.cell import Cell, Proposal
from gateway.difference import Difference, compare
from gateway.generation import Archive, Generation
from gateway.problems import InvalidConfiguration, Place, Problem, Report
from gateway.settings import Configuration
from gateway.source import Source

_log = logging.getLogger(__name__)

FIXED = ("site", "cell", "data", "journal", "http")
"""What cannot change while the gateway runs."""


@dataclass(frozen=True, slots=True)
class Change:
    """What a reload brought about."""

    generation: Generation
    links: Difference
    sinks: Difference
    rules: Difference


class Reloader:
    """Reads the configuration at `path` again whenever that is asked for. `run` goes on until it is cancelled."""

    def __init__(self, cell: Cell, path: Path) -> None:
        self._cell = cell
        self._path = path
        self._archive = Archive(cell.configuration.data)
        self._turn = asyncio.Lock()
        self._requested = asyncio.Event()

    async def accept(self, contents: Mapping[str, bytes], refused: str = "") -> None:
        """The cell has started with these files; `refused` says why they are not those on the disk, if so. Raises
        OSError."""
        now = self._cell.clock.now()
        self._cell.generation = await asyncio.to_thread(self._archive.remember, contents, now)
        self._cell.refused = refused
        if refused:
            _log.error("%s", refused)

    def request(self) -> None:
        """Reload soon; once, however often this is called meanwhile."""
        self._requested.set()

    async def run(self) -> None:
        while True:
            await self._requested.wait()
            self._requested.clear()
            with contextlib.suppress(InvalidConfiguration):  # the log has it, and the status
                await self.reload()

    async def reload(self) -> Change:
        """Returns when the new generation is at work. One at a time; the next one waits. Raises InvalidConfiguration
        with all that is wrong, and then nothing has changed."""
        async with self._turn:
            try:
                return await self._reload()
            except InvalidConfiguration as error:
                self._refuse(error)
                raise

    async def _reload(self) -> Change:
        source = Source(self._path)
        before = self._cell.configuration
        proposal = await self._propose(source)
        generation = await self._remember(proposal, source)
        self._cell.adopt(proposal, generation)
        change = _change(generation, before, self._cell.configuration)
        _log.info("generation %d of the configuration is in force: %s", generation.number, in_words(change))
        await self._cell.journal.note()
        await self._cell.reconcile()
        return change

    async def _propose(self, source: Source) -> Proposal:
        """In a thread, because a large configuration takes its seconds, and so does a library that is needed for the
        first time."""

        def propose() -> Proposal:
            configuration = settings.load(self._path, source)
            if problems := list(self._moved(configuration, source)):
                raise InvalidConfiguration(problems)
            return self._cell.propose(configuration)

        try:
            return await asyncio.to_thread(propose)
        except InvalidConfiguration:
            raise
        except Exception as error:  # whatever a plugin makes of its settings, the gateway runs on
            _log.debug("reload", exc_info=True)
            raise _problem(self._path, f"it cannot be put to work: {error!r}") from error

    async def _remember(self, proposal: Proposal, source: Source) -> Generation:
        now = self._cell.clock.now()
        try:
            return await asyncio.to_thread(self._archive.remember, source.contents, now)
        except OSError as error:
            await self._cell.discard(proposal)
            raise _problem(self._cell.configuration.data, f"the generation cannot be remembered: {error}") from error

    def _moved(self, configuration: Configuration, source: Source) -> Iterator[Problem]:
        """What changed of that which cannot change here."""
        running = self._cell.configuration
        names = [name for name in FIXED if getattr(configuration, name) != getattr(running, name)]
        root, _ = include.gather(self._path, Report(), source) if names else (None, ())
        for name in names:
            node = root.child(name) if root is not None else None
            place = node.anchor if node is not None else Place(str(self._path))
            yield Problem(*place, f"{name} cannot change while the gateway runs", "change it back, or restart it")

    def _refuse(self, error: InvalidConfiguration) -> None:
        number = self._cell.generation.number
        self._cell.refused = f"what is on the disk is refused: {summary(error)}"
        _log.error("the configuration is refused, generation %d stays in force", number)
        for problem in error.problems:
            hint = f" ({problem.hint})" if problem.hint else ""
            _log.error("%s: %s%s", problem.place, problem.message, hint)


def summary(error: InvalidConfiguration) -> str:
    """The first problem, and how many there are."""
    first, *others = error.problems
    more = f", and {len(others)} more" if others else ""
    return f"{first.place}: {first.message}{more}"


def in_words(change: Change) -> str:
    return f"links: {change.links}; sinks: {change.sinks}; rules: {change.rules}"


def _change(generation: Generation, before: Configuration, after: Configuration) -> Change:
    return Change(
        generation,
        compare({link.id: link for link in before.links}, {link.id: link for link in after.links}),
        compare({sink.name: sink for sink in before.sinks}, {sink.name: sink for sink in after.sinks}),
        compare({rule.name: rule for rule in before.rules}, {rule.name: rule for rule in after.rules}),
    )


def _problem(path: Path, message: str) -> InvalidConfiguration:
    return InvalidConfiguration([Problem(*Place(str(path)), message)])

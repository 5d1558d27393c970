"""A journal that no gateway has open, asked as if one had: the same questions, the same answers."""

from __future__ import annotations

import asyncio
import os
import pwd
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from gateway import door
from gateway.cli.client import CallFailed
from gateway.clock import SystemClock
from gateway.errors import CommandRefused, ConfigError
from gateway.export import Writer
from gateway.inquiry import (
    AnyErrand,
    AskJournal,
    AskLetters,
    DropLetters,
    Export,
    RotateKey,
    Verify,
)
from gateway.journal import keys
from gateway.journal.journal import Journal
from gateway.journal.rescue import Rescue
from gateway.journal.store import FAILURES
from gateway.keeper import Keeper, export
from gateway.phrase import Reply
from gateway.run import lock
from gateway.settings import site_of
from gateway.site import JournalSettings

_Reply = TypeVar("_Reply", bound=Reply)
_T = TypeVar("_T")

_NEEDED = "edgeward run CONFIG starts it"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a journal is, how it is to be kept, and whose it is (site and cell)."""

    data: Path
    settings: JournalSettings
    names: dict[str, str] = field(default_factory=dict)


def configured(path: Path) -> Place:
    """Raises CallFailed."""
    try:
        site = site_of(path)
    except ConfigError as error:
        raise CallFailed(str(error)) from error
    return Place(site.data, site.journal, {"site": site.site, "cell": site.cell})


def unconfigured(data: Path) -> Place:
    """As it is kept unless set otherwise."""
    return Place(data, JournalSettings.model_validate({}))


class Direct:
    def __init__(self, journal: Journal, place: Place, runner: asyncio.Runner) -> None:
        self._journal = journal
        self._place = place
        self._runner = runner
        self._keeper = Keeper(journal)

    def ask(self, request: door.AnyRequest, expected: type[_Reply]) -> _Reply:
        """Raises CallFailed."""
        with _failing():
            reply = self._runner.run(self._answer(request))
        assert isinstance(reply, expected)
        return reply

    def run(self, errand: AnyErrand) -> Iterator[Reply]:
        """Raises CallFailed."""
        return _replies(self._runner, self._errand(errand))

    async def _answer(self, request: door.AnyRequest) -> Reply:
        match request:
            case AskJournal():
                return await self._keeper.status(self._place.settings, None)
            case AskLetters():
                return await self._keeper.letters(request)
            case DropLetters():
                return await self._keeper.drop(request, _name(os.getuid()))
        raise CallFailed("no gateway runs, and this needs one", _NEEDED)

    def _errand(self, errand: AnyErrand) -> AsyncGenerator[Reply]:
        match errand:
            case Verify():
                return self._keeper.verify(errand)
            case Export():
                return self._keeper.export(errand, self._place.names, _name(os.getuid()))
            case RotateKey():
                return self._keeper.rotate(_name(os.getuid()))
        raise CallFailed("no gateway runs, and this needs one", _NEEDED)


class Rescuer:
    """Whoever has the recovery key can export, and nothing else."""

    def __init__(self, place: Place, key: keys.RecoveryKey, runner: asyncio.Runner) -> None:
        self._place = place
        self._runner = runner
        self.rescue = Rescue(place.data / "journal", key)

    def run(self, errand: Export) -> Iterator[Reply]:
        """Raises CallFailed."""
        with _failing():
            volumes = self.rescue.volumes()
        return _replies(self._runner, export(self.rescue, volumes, Writer(errand, self._place.names)))


@contextmanager
def opened(place: Place) -> Iterator[Direct]:
    """Nobody else may have it open meanwhile. Raises CallFailed."""
    with _alone(place) as runner, ExitStack() as stack:
        with _failing():
            ring = keys.of(place.data, place.settings)
            journal = Journal(place.data / "journal", ring, SystemClock(), place.settings)
            runner.run(journal.open(None))
        stack.callback(lambda: runner.run(journal.close()))
        yield Direct(journal, place, runner)


@contextmanager
def rescued(place: Place, recovery: Path) -> Iterator[Rescuer]:
    """Raises CallFailed."""
    with _failing():
        key = keys.read_recovery(recovery)
    with _alone(place) as runner:
        yield Rescuer(place, key, runner)


@contextmanager
def _alone(place: Place) -> Iterator[asyncio.Runner]:
    if not (place.data / "journal").is_dir():
        raise CallFailed(f"there is no journal in {place.data}")
    with ExitStack() as stack:
        with _failing():
            _check_owner(place.data)
            stack.enter_context(lock(place.data))
        yield stack.enter_context(asyncio.Runner())


def _check_owner(data: Path) -> None:
    """What root makes in there, the gateway could not open. Raises CallFailed."""
    owner = data.stat().st_uid
    if os.geteuid() == 0 and owner != 0:
        name = _name(owner)
        raise CallFailed(
            f"{data} belongs to {name}, who could not open what root leaves there", f"sudo -u {name} does it"
        )


@contextmanager
def _failing() -> Iterator[None]:
    try:
        yield
    except (ConfigError, CommandRefused, *FAILURES) as error:
        raise CallFailed(str(error)) from error


def _replies(runner: asyncio.Runner, replies: AsyncGenerator[Reply]) -> Iterator[Reply]:
    try:
        while (reply := _next(runner, replies)) is not None:
            yield reply
    finally:
        runner.run(_call(replies.aclose))


def _next(runner: asyncio.Runner, replies: AsyncGenerator[Reply]) -> Reply | None:
    with _failing():
        return runner.run(_call(lambda: anext(replies, None)))


async def _call(make: Callable[[], Coroutine[object, object, _T]]) -> _T:
    return await make()


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid-{uid}"

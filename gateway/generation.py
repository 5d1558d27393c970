"""Which configuration was accepted last, and copies of its files: a gateway can start although somebody left a broken
file behind.

    DATA/generation.json            the generation that was accepted last
    DATA/generation/7/              the files of that one, each as NUMBER-NAME, and its own generation.json
    DATA/generation/6/              those of the one before

What is there is never overwritten: a generation is written beside the others, brought to disk and then named, and only
after that `generation.json` is replaced by one that speaks of it. Whenever the power fails, one whole generation is the
last one; and if a file is found damaged, the generation before it is. Secrets are references, so the copies hold none.
"""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import msgspec

from gateway import files

_log = logging.getLogger(__name__)

_RECORD = "generation.json"
_UNFINISHED = "unfinished"
_KEPT = 2


class Generation(msgspec.Struct, frozen=True):
    """A configuration that was accepted. `sha256` is over its files one after the other, as `cat FILES | sha256sum` has
    it; `time` (nanoseconds UTC) is when it was accepted; `files` are named as seen from the folder of the first one."""

    number: int = 0
    sha256: str = ""
    time: int = 0
    files: tuple[str, ...] = ()


class Kept(NamedTuple):
    """A generation, and what its files hold, by name and in their order."""

    generation: Generation
    contents: Mapping[str, bytes]


class Archive:
    """The generations in a data directory. Synchronous; for one caller at a time."""

    def __init__(self, data: Path) -> None:
        self._data = data
        self._folder = data / "generation"

    def last(self) -> Kept | None:
        """The generation that was accepted last and is whole, None where there is none."""
        return next(self._whole(), None)

    def remember(self, contents: Mapping[str, bytes], now: int) -> Generation:
        """These files are accepted: on disk when this returns. Raises OSError."""
        kept = self.last()
        if kept is not None and list(kept.contents.items()) == list(contents.items()):
            generation = kept.generation
        else:
            generation = Generation(max(self._numbers(), default=0) + 1, digest(contents), now, tuple(contents))
            self._copy(generation, contents)
        if generation != _record(self._data):
            _write(self._data / f"{_RECORD}.new", msgspec.json.encode(generation))
            os.replace(self._data / f"{_RECORD}.new", self._data / _RECORD)
            files.sync(self._data)
            self._prune()
        return generation

    def _copy(self, generation: Generation, contents: Mapping[str, bytes]) -> None:
        unfinished = self._folder / _UNFINISHED
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(parents=True, mode=0o700)
        for path, content in zip(_places(unfinished, generation), contents.values(), strict=True):
            _write(path, content)
        _write(unfinished / _RECORD, msgspec.json.encode(generation))
        files.sync(unfinished)
        unfinished.rename(self._folder / str(generation.number))
        files.sync(self._folder)

    def _prune(self) -> None:
        for number in self._numbers()[:-_KEPT]:
            shutil.rmtree(self._folder / str(number), ignore_errors=True)

    def _whole(self) -> Iterator[Kept]:
        """Those that are whole, the one that was accepted last first."""
        recorded = _record(self._data)
        first = [] if recorded is None else [recorded.number]
        for number in dict.fromkeys([*first, *reversed(self._numbers())]):
            kept = _open(self._folder / str(number))
            if kept is None:
                _log.error("the copy of generation %d of the configuration is damaged", number)
            else:
                yield kept

    def _numbers(self) -> list[int]:
        if not self._folder.is_dir():
            return []
        return sorted(int(path.name) for path in self._folder.iterdir() if path.name.isdecimal())


def digest(contents: Mapping[str, bytes]) -> str:
    return hashlib.sha256(b"".join(contents.values())).hexdigest()


def _open(folder: Path) -> Kept | None:
    """None where anything about it is not as it was written."""
    generation = _record(folder)
    if generation is None:
        return None
    try:
        parts = [path.read_bytes() for path in _places(folder, generation)]
    except OSError:
        return None
    contents = dict(zip(generation.files, parts, strict=True))
    return Kept(generation, contents) if digest(contents) == generation.sha256 else None


def _record(folder: Path) -> Generation | None:
    try:
        return msgspec.json.decode((folder / _RECORD).read_bytes(), type=Generation)
    except (OSError, msgspec.MsgspecError):
        return None


def _places(folder: Path, generation: Generation) -> list[Path]:
    """Numbered, because files in several folders may be called alike."""
    return [folder / f"{number}-{Path(name).name}" for number, name in enumerate(generation.files)]


def _write(path: Path, content: bytes) -> None:
    with open(path, "wb", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())

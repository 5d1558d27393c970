"""A recording of system calls by strace, as the operations that change a disk. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

CALLS = (
    "pwrite64,write,fdatasync,fsync,ftruncate,fallocate,openat,"
    "rename,renameat,renameat2,link,linkat,unlink,unlinkat,mkdir,mkdirat,rmdir"
)
"""The calls that change what is on disk, and those that bring it there."""


@dataclass(frozen=True, slots=True)
class Say:
    """The writer has said something to the world."""

    line: str


@dataclass(frozen=True, slots=True)
class Create:
    path: str
    folder: bool = False


@dataclass(frozen=True, slots=True)
class Write:
    path: str
    offset: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Truncate:
    """To `size` bytes; where `grows_only`, a longer file stays as it is."""

    path: str
    size: int
    grows_only: bool = False


@dataclass(frozen=True, slots=True)
class Rename:
    source: str
    target: str


@dataclass(frozen=True, slots=True)
class Remove:
    path: str


@dataclass(frozen=True, slots=True)
class Sync:
    """A file or directory is brought to disk: what had been done to it when `begun` operations had gone before."""

    path: str
    begun: int


Operation: TypeAlias = Say | Create | Write | Truncate | Rename | Remove | Sync

_LINE = re.compile(r"(\d+) +[\d.]+ (.*)")
_CALL = re.compile(r"(\w+)\((.*)\) += (-?\d+|\?)(.*)", re.DOTALL)
_BEGUN = re.compile(r"(\w+)\((.*) <unfinished \.\.\.>")
_RESUMED = re.compile(r"<\.\.\. (\w+) resumed>(.*)")
_DESCRIPTOR = re.compile(r"(-?\w+)<((?:\\x[0-9a-f]{2})*)>?")
_TEXT = re.compile(r'"((?:\\x[0-9a-f]{2})*)"(\.\.\.)?')


def read(lines: Iterable[str], root: str, voice: int) -> list[Operation]:
    """What was done under the directory `root`, in order, and what was said on the descriptor `voice`. Raises
    ValueError for a call that is not understood: one that is passed over would make the suite believe too much."""
    reader = _Reader(root, voice)
    for line in lines:
        reader.take(line)
    return reader.operations


@dataclass(slots=True)
class _Begun:
    text: str
    operations: int


class _Reader:
    """A call counts from when it ended, but for what is said, which counts from when it began; and a sync covers what
    had ended when it began."""

    def __init__(self, root: str, voice: int) -> None:
        self.operations: list[Operation] = []
        self._root = root
        self._voice = voice
        self._begun: dict[str, _Begun] = {}
        self._positions: dict[str, int] = {}

    def take(self, line: str) -> None:
        whole = _LINE.match(line)
        if whole is None:
            return
        thread, text = whole.groups()
        if begun := _BEGUN.match(text):
            self._begun[thread] = _Begun(f"{begun[1]}({begun[2]}", len(self.operations))
            self._speak(begun[1], begun[2])
        elif resumed := _RESUMED.match(text):
            start = self._begun.pop(thread)
            self._call(start.text + resumed[2], start.operations, spoken=True)
        else:
            self._call(text, len(self.operations), spoken=False)

    def _call(self, text: str, begun: int, spoken: bool) -> None:
        call = _CALL.match(text)
        if call is None or call[3].startswith("-") or call[3] == "?":
            return
        name, arguments, result = call[1], call[2], int(call[3])
        if not spoken:
            self._speak(name, arguments)
        for operation in self._operations(name, arguments, result, call[4]):
            self.operations.append(operation)
        if name in ("fsync", "fdatasync") and (path := self._file(arguments)) is not None:
            self.operations.append(Sync(path, begun))

    def _speak(self, name: str, arguments: str) -> None:
        if name == "write" and arguments.startswith(f"{self._voice}<"):
            self.operations += [Say(line) for line in _bytes(arguments).decode("ascii").splitlines()]

    def _operations(self, name: str, arguments: str, result: int, rest: str) -> Iterator[Operation]:
        match name:
            case "openat":
                yield from self._open(arguments, rest)
            case "write" | "pwrite64":
                yield from self._write(name, arguments, result)
            case "ftruncate" | "fallocate":
                yield from self._resize(name, arguments)
            case "rename" | "renameat" | "renameat2":
                yield from self._rename(arguments)
            case "mkdir" | "mkdirat" | "unlink" | "unlinkat" | "rmdir":
                path = self._named(arguments)
                if path is not None:
                    yield Create(path, folder=True) if name.startswith("mkdir") else Remove(path)
            case "link" | "linkat":
                if self._named(arguments) is not None:
                    raise ValueError(f"hard links are not understood: {name}({arguments})")

    def _open(self, arguments: str, rest: str) -> Iterator[Operation]:
        path = self._file("0" + rest.strip())
        if path is None:
            return
        self._positions[path] = 0
        if "O_APPEND" in arguments:
            raise ValueError(f"appending is not understood: {path}")
        if "O_CREAT" in arguments:
            yield Create(path)
        if "O_TRUNC" in arguments:
            yield Truncate(path, 0)

    def _write(self, name: str, arguments: str, result: int) -> Iterator[Operation]:
        path = self._file(arguments)
        if path is None:
            return
        data = _bytes(arguments)[:result]
        if name == "write":
            offset = self._positions[path]
            self._positions[path] += result
        else:
            offset = int(arguments.rpartition(",")[2])
        yield Write(path, offset, data)

    def _resize(self, name: str, arguments: str) -> Iterator[Operation]:
        path = self._file(arguments)
        if path is not None:
            numbers = arguments.split(", ")
            size = int(numbers[-1]) if name == "ftruncate" else int(numbers[-1]) + int(numbers[-2])
            yield Truncate(path, size, grows_only=name == "fallocate")

    def _rename(self, arguments: str) -> Iterator[Operation]:
        source, target = (_decode(text) for text, _ in _TEXT.findall(arguments))
        if not (source.startswith("/") and target.startswith("/")):
            raise ValueError(f"only whole paths are understood: {arguments}")
        if self._inside(source):
            yield Rename(source, target)

    def _named(self, arguments: str) -> str | None:
        """The path that a call names, perhaps as seen from a directory that is open."""
        name = _decode(_TEXT.findall(arguments)[0][0])
        if not name.startswith("/"):
            descriptor = _DESCRIPTOR.match(arguments)
            if descriptor is None:
                raise ValueError(f"only whole paths are understood: {arguments}")
            name = f"{_decode(descriptor[2])}/{name}"
        return name if self._inside(name) else None

    def _file(self, arguments: str) -> str | None:
        """The path behind the descriptor that a call begins with, if it is one of ours and has still a name."""
        descriptor = _DESCRIPTOR.match(arguments)
        if descriptor is None or "(deleted)" in arguments[: descriptor.end() + 16]:
            return None
        path = _decode(descriptor[2])
        return path if self._inside(path) else None

    def _inside(self, path: str) -> bool:
        return path == self._root or path.startswith(f"{self._root}/")


def _bytes(arguments: str) -> bytes:
    text, cut = _TEXT.findall(arguments)[0]
    if cut:
        raise ValueError("strace has cut a write short")
    return bytes.fromhex(text.replace("\\x", ""))


def _decode(text: str) -> str:
    return bytes.fromhex(text.replace("\\x", "")).decode()

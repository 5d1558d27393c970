"""What a disk may hold after the power has failed, given what was done to it and what was brought to it. Pure, but for
`Image.lay`.

A file's content is on disk when the file is synced, in part before that. Of what was not synced, any part may be there:
writes are reordered, dropped, and torn between sectors. Names are of two minds, and both are asked:

- `strict`, what POSIX promises: a name is on disk when its directory was synced, and names do not wait for each other;
- `journaled`, what ext4 does: names change in order, and any sync brings all that came before it along.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Literal, TypeAlias

from tests.faults.trace import Create, Operation, Remove, Rename, Say, Sync, Truncate, Write

Names: TypeAlias = Literal["strict", "journaled"]
Loss: TypeAlias = Literal["dropped", "some", "torn", "kept"]

NAMES: tuple[Names, ...] = ("strict", "journaled")
LOSSES: tuple[Loss, ...] = ("dropped", "some", "torn", "kept")

_SECTOR = 512


@dataclass(slots=True)
class Content:
    """Of a file: what comes after `data`, up to `size`, is zeros that take no place."""

    data: bytearray = field(default_factory=bytearray)
    size: int = 0

    def copy(self) -> Content:
        return Content(bytearray(self.data), self.size)

    def write(self, at: int, data: bytes) -> None:
        if at > len(self.data):
            self.data.extend(bytes(at - len(self.data)))
        self.data[at : at + len(data)] = data
        self.size = max(self.size, len(self.data))

    def resize(self, size: int, grows_only: bool) -> None:
        if size < self.size and grows_only:
            return
        del self.data[size:]
        self.size = size


@dataclass(eq=False, slots=True)
class Node:
    """A file, or a directory with its entries."""

    folder: bool
    content: Content = field(default_factory=Content)
    entries: dict[str, Node] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Patch:
    """Not synced yet: bytes of a file, or (`data` None) its size."""

    node: Node
    at: int
    data: bytes | None
    grows_only: bool = False


@dataclass(frozen=True, slots=True)
class _Entry:
    """Not synced yet: `name` in a directory means `target`, or nothing; and `source` means nothing any more."""

    node: Node
    name: str
    target: Node | None
    source: str | None = None


_Change: TypeAlias = _Patch | _Entry


@dataclass(frozen=True, slots=True)
class Image:
    """One state of a disk: files by their path below the root, None for a directory."""

    files: Mapping[str, Content | None]

    def lay(self, root: Path) -> None:
        """Into an empty directory that is there."""
        for name, content in self.files.items():
            path = f"{root}/{name}"
            if content is None:
                os.mkdir(path)
                continue
            with open(path, "wb") as file:
                file.write(content.data)
                file.truncate(content.size)


class Disk:
    def __init__(self, root: str, names: Names) -> None:
        self._root = root
        self._names = names
        self._durable = Node(folder=True)
        self._now = {root: self._durable}
        """What each path means to a process now."""
        self._pending: list[tuple[int, _Change]] = []
        """Each with how many operations went before it."""
        self._count = 0

    def apply(self, operation: Operation) -> None:
        self._count += 1
        match operation:
            case Create(path, folder):
                self._create(path, folder)
            case Write(path, offset, data):
                self._change(_Patch(self._now[path], offset, data))
            case Truncate(path, size, grows_only):
                self._change(_Patch(self._now[path], size, None, grows_only))
            case Rename(source, target):
                self._rename(source, target)
            case Remove(path):
                self._enter(path, None)
                del self._now[path]
            case Sync(path, begun):
                self._sync(self._now[path], begun)
            case Say():
                pass

    def image(self, loss: Loss, choice: random.Random) -> Image:
        """What may be found after a loss of power now."""
        contents: dict[Node, Content] = {}
        entries: dict[Node, dict[str, Node]] = {}
        for change in self._survivors(loss, choice):
            node = change.node
            if isinstance(change, _Patch):
                if node not in contents:
                    contents[node] = node.content.copy()
                _patch(contents[node], change)
            else:
                _enter(entries.setdefault(node, dict(node.entries)), change)
        files: dict[str, Content | None] = {}
        _walk(self._durable, "", entries, lambda node: contents.get(node, node.content), files)
        return Image(files)

    # How it changes

    def _create(self, path: str, folder: bool) -> None:
        if path not in self._now:
            node = self._now[path] = Node(folder)
            self._enter(path, node)

    def _enter(self, path: str, target: Node | None, source: str | None = None) -> None:
        parent, _, name = path.rpartition("/")
        if parent in self._now:  # else it is the root itself, which is there
            self._change(_Entry(self._now[parent], name, target, source))

    def _rename(self, source: str, target: str) -> None:
        if source.rpartition("/")[0] != target.rpartition("/")[0]:
            raise ValueError(f"a rename between directories is not understood: {source} to {target}")
        node = self._now[source]
        self._enter(target, node, source.rpartition("/")[2])
        moved = [path for path in self._now if path == source or path.startswith(f"{source}/")]
        for path in moved:
            self._now[target + path[len(source) :]] = self._now.pop(path)

    def _change(self, change: _Change) -> None:
        self._pending.append((self._count, change))

    def _sync(self, node: Node, begun: int) -> None:
        rest = []
        for count, change in self._pending:
            if count <= begun and self._brings(node, change):
                if isinstance(change, _Patch):
                    _patch(change.node.content, change)
                else:
                    _enter(change.node.entries, change)
            else:
                rest.append((count, change))
        self._pending = rest

    def _brings(self, node: Node, change: _Change) -> bool:
        return change.node is node or (self._names == "journaled" and isinstance(change, _Entry))

    # What survives

    def _survivors(self, loss: Loss, choice: random.Random) -> Iterable[_Change]:
        pending = [change for _, change in self._pending]
        if loss == "dropped":
            return []
        if loss == "kept":
            return pending
        if loss == "torn":
            return _tear(pending, choice)
        data, names = (choice.choice((0.0, 0.2, 0.5, 0.8, 1.0)) for _ in range(2))
        kept = [change for change in pending if choice.random() < (data if isinstance(change, _Patch) else names)]
        return kept if self._names == "strict" else _in_order(pending, kept, choice)


def _in_order(pending: list[_Change], kept: list[_Change], choice: random.Random) -> list[_Change]:
    """Of the names, those that came first."""
    names = [change for change in pending if isinstance(change, _Entry)]
    first = set(map(id, names[: choice.randint(0, len(names))]))
    patches = {id(change) for change in kept if isinstance(change, _Patch)}
    return [change for change in pending if id(change) in first or id(change) in patches]


def _tear(pending: list[_Change], choice: random.Random) -> list[_Change]:
    """The last writes arrive in sectors, not all of them; what was done before them is there."""
    last = choice.randint(1, 4)
    whole, tail = pending[:-last], pending[-last:]
    torn: list[_Change] = []
    for change in tail:
        if isinstance(change, _Entry) or change.data is None:
            torn.append(change)
        else:
            torn += [part for part in _sectors(change.node, change.at, change.data) if choice.random() < 0.5]
    return whole + torn


def _sectors(node: Node, at: int, data: bytes) -> list[_Patch]:
    """A write, cut where sectors of the disk begin."""
    edges = [0, *range(_SECTOR - at % _SECTOR, len(data), _SECTOR), len(data)]
    return [_Patch(node, at + a, data[a:b]) for a, b in pairwise(edges)]


def _patch(content: Content, patch: _Patch) -> None:
    if patch.data is None:
        content.resize(patch.at, patch.grows_only)
    else:
        content.write(patch.at, patch.data)


def _enter(entries: dict[str, Node], entry: _Entry) -> None:
    if entry.source is not None and entries.get(entry.source) is entry.target:
        del entries[entry.source]
    if entry.target is None:
        entries.pop(entry.name, None)
    else:
        entries[entry.name] = entry.target


def _walk(
    folder: Node,
    prefix: str,
    entries: Mapping[Node, Mapping[str, Node]],
    content: Callable[[Node], Content],
    files: dict[str, Content | None],
) -> None:
    for name, node in entries.get(folder, folder.entries).items():
        path = f"{prefix}{name}"
        files[path] = None if node.folder else content(node)
        if node.folder:
            _walk(node, f"{path}/", entries, content, files)

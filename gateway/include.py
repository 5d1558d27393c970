"""One configuration out of several files: the sections of an included file are merged into those of the one above.

An include is relative to the file that names it, and stays inside the folder of the first file: who may write there
decides what is read, and nobody else.
"""

from __future__ import annotations

import os
from pathlib import Path

from gateway.document import Node, parse
from gateway.problems import Place, Report, shown
from gateway.source import Source

SECTIONS = ("templates", "links", "devices", "sinks", "rules")
MAX_FILES = 1_000


def gather(path: Path, report: Report, source: Source | None = None) -> tuple[Node | None, tuple[Path, ...]]:
    """The configuration in `path` and all that it includes, as one mapping without `include`, and the files it
    came from. None where one of the files cannot be used, and the report then says why."""
    gatherer = _Gatherer(_real(path.parent), report, source or Source(path))
    root = gatherer.gather(path, Place(str(path)))
    return root, tuple(gatherer.seen)


class _Gatherer:
    def __init__(self, root: Path, report: Report, source: Source) -> None:
        self.root = root
        self.report = report
        self.source = source
        self.seen: dict[Path, Place] = {}
        self.open: list[Path] = []

    def gather(self, path: Path, place: Place) -> Node | None:
        """`place` is where the file is asked for."""
        real = _real(path)
        self.seen[real] = place
        self.open.append(real)
        content = self.source.read(path, self.report)
        node = None if content is None else parse(content, str(path), self.report)
        if node is not None and not isinstance(node.value, dict):
            self.report.add(node.place, "a configuration is a mapping: site, cell, links, devices, …")
            node = None
        if node is not None:
            node = self.merge_includes(node, path)
        self.open.pop()
        return node

    def merge_includes(self, node: Node, path: Path) -> Node | None:
        members = dict(node.members)
        includes = self.includes(members.pop("include", None))
        parts = [self.include(name, place, path.parent / name) for name, place in includes]
        for part in parts:
            if part is not None:
                self.merge(members, part)
        return None if None in parts else Node(node.place, members, node.key)

    def includes(self, node: Node | None) -> list[tuple[str, Place]]:
        if node is None:
            return []
        items = node.value if isinstance(node.value, list) else []
        names = [(item.value, item.place) for item in items if isinstance(item.value, str) and item.value]
        if not isinstance(node.value, list) or len(names) < len(items):
            self.report.add(node.place, "include expects a list of file names", "include: [rules.yaml]")
        return names

    def include(self, name: str, place: Place, path: Path) -> Node | None:
        if fault := self.fault(name, _real(path)):
            self.report.add(place, *fault)
            return None
        if reason := self.source.obstacle(path):
            self.report.add(place, f"cannot include {shown(name)}: {reason}")
            return None
        return self.gather(path, place)

    def fault(self, name: str, real: Path) -> tuple[str, str] | None:
        if not real.is_relative_to(self.root):
            return (
                f"cannot include {shown(name)}: it lies outside the configuration's folder",
                "move it beside the others",
            )
        if real in self.open:
            circle = [*self.open[self.open.index(real) :], real]
            return "the includes go in a circle", " → ".join(str(each.relative_to(self.root)) for each in circle)
        if real in self.seen:
            return f"{shown(name)} is included twice", f"the first is at {self.seen[real]}"
        if len(self.seen) >= MAX_FILES:
            return f"more than {MAX_FILES} files", ""
        return None

    def merge(self, members: dict[str, Node], part: Node) -> None:
        for key, node in part.members.items():
            present = members.get(key)
            if present is None:
                members[key] = node
            elif key in SECTIONS and isinstance(present.value, dict) and isinstance(node.value, dict):
                members[key] = self.join(key, present, node)
            else:
                self.report.add(node.anchor, f"{shown(key)} is given twice", f"the first is at {present.anchor}")

    def join(self, section: str, first: Node, second: Node) -> Node:
        """Two parts of one section. A name in both is a mistake, and the first one counts."""
        for name in first.members.keys() & second.members.keys():
            places = second.members[name].anchor, first.members[name].anchor
            self.report.add(places[0], f"{section}.{name} is given twice", f"the first is at {places[1]}")
        return Node(first.place, {**second.members, **first.members}, first.key)


def _real(path: Path) -> Path:
    """Where a path leads, links and all. Unlike Path.resolve it bears with links that go in a circle."""
    return Path(os.path.realpath(path))

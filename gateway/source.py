"""Where the files of a configuration are read from: the disk, or the copies of what was accepted before."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from gateway import document
from gateway.problems import Place, Report


class Source:
    """The files of the configuration at `path`, on the disk. `contents` is what was read of them, by the name that each
    has seen from the folder of the first one, and in that order: what was judged, and not what a file holds by then."""

    def __init__(self, path: Path) -> None:
        self.contents: dict[str, bytes] = {}
        self._folder = path.parent

    def obstacle(self, path: Path) -> str | None:
        """Why there is nothing to read at a path, None where there is a file."""
        return document.obstacle(path)

    def read(self, path: Path, report: Report) -> bytes | None:
        """None where the file cannot be read, and the report then says why."""
        content = document.content_of(path, report)
        if content is not None:
            self.contents[self.name(path)] = content
        return content

    def name(self, path: Path) -> str:
        return os.path.relpath(path, self._folder)


class Copies(Source):
    """Copies of the files, judged as if they stood where the files stand: what is relative stays relative to those."""

    def __init__(self, path: Path, contents: Mapping[str, bytes]) -> None:
        super().__init__(path)
        self.contents = dict(contents)

    def obstacle(self, path: Path) -> str | None:
        return None if self.name(path) in self.contents else "no copy of this file was kept"

    def read(self, path: Path, report: Report) -> bytes | None:
        if reason := self.obstacle(path):
            report.add(Place(str(path)), reason)
        return self.contents.get(self.name(path))


def data_of(path: Path, report: Report) -> Path | None:
    """The data directory that a configuration names. Looks at nothing else: the rest may be half edited while the
    gateway runs on. None where not even that can be told, and the report then says why."""
    root = document.read(path, report)
    if root is None:
        return None
    data = root.child("data")
    value = data.value if data is not None else None
    return path.parent / (value if isinstance(value, str) else "data")

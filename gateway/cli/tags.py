"""`edgeward tags export` and `edgeward tags import`: the tags of a configuration as a spreadsheet, and back."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from gateway import document, include, inventory, patch, sheet
from gateway.cli import output
from gateway.cli.check import print_problems
from gateway.document import Node
from gateway.errors import ConfigError
from gateway.inventory import Shelf
from gateway.log import printable
from gateway.problems import InvalidConfiguration, Problem, Report
from gateway.revision import Revision, revise
from gateway.settings import load
from gateway.source import Copies, Source

BOM: Final = "\ufeff"
"""Without it, spreadsheets take a file for something older than UTF-8."""


def export(path: Path, target: Path | None, force: bool) -> int:
    """Print the tags, or write them to `target`. 0 if they are there now, 1 if not."""
    try:
        shelves = list(inventory.shelves(_open(path, Source(path))))
        text = sheet.write(sheet.columns(shelf.model for shelf in shelves), _rows(shelves))
        if target is None:
            print(text, end="")
        elif force:
            output.replace(target, (BOM + text).encode())
        else:
            output.create(target, BOM + text)
    except InvalidConfiguration as error:
        return _refuse(error)
    except FileExistsError:
        return _fail(f"{target} exists already: choose another name, or --force to overwrite it")
    except OSError as error:
        return _fail(str(error))
    return 0


def take(csv: Path, path: Path) -> int:
    """Change and add tags of the configuration at `path` as the sheet at `csv` says. 0 if they are so now; 1 if
    something is wrong, and then nothing has changed."""
    try:
        source = Source(path)
        shelves = list(inventory.shelves(_open(path, source)))
        revision = _revise(csv, shelves)
        for name, content in _edit(path, source, revision).items():
            output.replace(path.parent / name, content)
    except InvalidConfiguration as error:
        return _refuse(error)
    except (ConfigError, OSError) as error:
        return _fail(str(error))
    counts = f"{len(revision.changed)} tags changed, {len(revision.added)} added, {len(revision.same)} as they were"
    print(f"{path}: {counts}")
    return 0


def _open(path: Path, source: Source) -> Node:
    """A configuration without mistakes. Raises InvalidConfiguration."""
    load(path, source)
    report = Report()
    root, _ = include.gather(path, report, Copies(path, source.contents))
    if root is None:
        raise InvalidConfiguration(report)
    return root


def _rows(shelves: Sequence[Shelf]) -> Iterator[dict[str, str]]:
    for shelf in shelves:
        for tag, node in shelf.node.members.items():
            settings = {name: each.plain() for name, each in node.members.items()}
            yield {"device": shelf.device, "group": shelf.group, "tag": tag, **sheet.cells(settings)}


def _revise(csv: Path, shelves: Sequence[Shelf]) -> Revision:
    """Raises InvalidConfiguration, OSError."""
    report = Report()
    with csv.open("rb") as file:
        page = sheet.read(file.read(sheet.MOST_BYTES + 1), str(csv), report)
    revision = revise(page, shelves, report)
    if report:
        raise InvalidConfiguration(report)
    return revision


def _edit(path: Path, source: Source, revision: Revision) -> dict[str, bytes]:
    """The files that change, by name, with their new content. Raises InvalidConfiguration where the tags, each good by
    itself, do not go together, and ConfigError where a file is written in a way that cannot be changed here."""
    edited = {}
    for file, changes in revision.changes.items():
        name = source.name(Path(file))
        old = source.contents[name]
        head = BOM.encode() if old.startswith(BOM.encode()) else b""
        try:
            new = patch.apply(old.decode("utf-8-sig"), changes).encode()
        except ValueError as error:
            raise ConfigError(f"{file}: {error}") from error
        if _plain(new, file) != _expected(old, file, revision):
            raise ConfigError(f"{file} is written in a way that import cannot change: edit these tags by hand")
        edited[name] = head + new
    try:
        load(path, Copies(path, {**source.contents, **edited}))
    except InvalidConfiguration as error:
        raise InvalidConfiguration(_found(problem, revision) for problem in error.problems) from error
    return edited


def _plain(content: bytes, file: str) -> object:
    node = document.parse(content, file, Report())
    return None if node is None else node.plain()


def _expected(content: bytes, file: str, revision: Revision) -> object:
    """What the file should say now, made without touching its text."""
    plain = _plain(content, file)
    for change in revision.changes[file]:
        entries = plain
        for key in change.keys:
            assert isinstance(entries, dict)
            entries = entries[key]
        assert isinstance(entries, dict)
        entries[change.entry] = dict(change.body)
    return plain


def _found(problem: Problem, revision: Revision) -> Problem:
    """In the sheet, where it is about one of its tags."""
    place = revision.places.get(problem.message.partition(": ")[0], problem.place)
    return Problem(*place, problem.message, problem.hint)


def _refuse(error: InvalidConfiguration) -> int:
    print_problems(error.problems, json=False)
    return 1


def _fail(reason: str) -> int:
    print(printable(f"edgeward: {reason}"), file=sys.stderr)
    return 1

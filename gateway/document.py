"""YAML text to plain data that knows where it stands.

Only what a configuration needs is accepted: one document of mappings, lists and scalars. Aliases, anchors and tags are
refused, and size, depth and count are bounded while the text is parsed, before anything is built from it. The parser is
libyaml where PyYAML has it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import yaml

from gateway.layout import Layout
from gateway.problems import Keys, Place, Report, shown
from gateway.scalar import Scalar, resolve

MAX_BYTES = 8 << 20
MAX_DEPTH = 32
MAX_NODES = 500_000
MAX_PROBLEMS = 100

_UNPRINTABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_LINE_BREAK = re.compile("[\t\n]")

# What libyaml says, in part, and what that mostly means. `{start}` is where the unfinished thing starts.
_SYNTAX_HINTS = {
    "tab character": "indent with spaces: YAML knows no tabs",
    "cannot start any token": "text that starts with a special character belongs in quotes",
    "mapping values are not allowed": "check the indentation; text that holds a colon and a space belongs in quotes",
    "unexpected end of stream": "the quote at {start} is not closed",
    "could not find expected ':'": "a key is followed by a colon and a space",
    "did not find expected key": "check the indentation of this line and the one before",
    "did not find expected ',' or": "the bracket at {start} is not closed, or a comma is missing",
    "unknown escape character": "in double quotes a backslash is written twice; single quotes take it as it is",
}


@dataclass(frozen=True, slots=True)
class Node:
    """A value and where it stands; `key` is where the key before it stands, if it has one. `layout` says how a text is
    written that is not just what it means."""

    place: Place
    value: Scalar | dict[str, Node] | list[Node]
    key: Place | None = None
    layout: Layout | None = None

    @property
    def members(self) -> dict[str, Node]:
        """What stands in a mapping; nothing where this is none."""
        return self.value if isinstance(self.value, dict) else {}

    @property
    def anchor(self) -> Place:
        """Where to point when the value as a whole is meant."""
        return self.key or self.place

    def child(self, part: str | int) -> Node | None:
        if isinstance(self.value, dict) and isinstance(part, str):
            return self.value.get(part)
        if isinstance(self.value, list) and isinstance(part, int) and part < len(self.value):
            return self.value[part]
        return None

    def at(self, offset: int) -> Place:
        """Where in the file the character of a text stands that is `offset` characters into it."""
        if self.layout is not None and isinstance(self.value, str):
            line, column = self.layout.find(self.value, offset)
            return Place(self.place.file, line, column)
        return self.place._replace(column=self.place.column + offset)

    def find(self, keys: Keys) -> Node | None:
        node: Node | None = self
        for part in keys:
            node = node and node.child(part)
        return node

    def section(self, name: str) -> dict[str, Node]:
        """The members of a member; nothing where it is none, or not a mapping."""
        section = self.child(name)
        return section.members if section else {}

    def without(self, *names: str) -> Node:
        """The same mapping with some of its members left out."""
        return Node(self.place, {key: node for key, node in self.members.items() if key not in names}, self.key)

    def plain(self) -> object:
        """The data alone."""
        if isinstance(self.value, dict):
            return {key: node.plain() for key, node in self.value.items()}
        if isinstance(self.value, list):
            return [node.plain() for node in self.value]
        return self.value


def obstacle(path: Path) -> str | None:
    """Why there is nothing to read at a path, None where there is a file."""
    try:
        return None if path.is_file() else "there is no such file"
    except OSError as error:
        return f"the file cannot be read: {error.strerror}"


def content_of(path: Path, report: Report) -> bytes | None:
    """What a file holds, of one that is too large only the beginning; None where it cannot be read, and the report then
    says why."""
    if reason := obstacle(path):
        report.add(Place(str(path)), reason)
        return None
    try:
        with path.open("rb") as file:
            return file.read(MAX_BYTES + 1)
    except OSError as error:
        report.add(Place(str(path)), f"the file cannot be read: {error.strerror}")
        return None


def read(path: Path, report: Report) -> Node | None:
    """The document in a file; None where it cannot be used, and the report then says why."""
    content = content_of(path, report)
    return None if content is None else parse(content, str(path), report)


def parse(content: bytes, file: str, report: Report) -> Node | None:
    """The document in `content`; None where it cannot be used, and the report then says why."""
    if len(content) > MAX_BYTES:
        report.add(Place(file), f"the file is larger than {MAX_BYTES >> 20} MiB", "split it with include")
        return None
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        place = _place_at(file, content[: error.start].decode("utf-8-sig"))
        report.add(place, f"the byte 0x{content[error.start]:02x} is not UTF-8", "save the file as UTF-8")
        return None
    if unprintable := _UNPRINTABLE.search(text):
        place = _place_at(file, text[: unprintable.start()])
        report.add(place, f"the character U+{ord(unprintable[0]):04X} may not stand in YAML")
        return None
    return _Composer(file, text, report).compose()


def _place_at(file: str, before: str) -> Place:
    return Place(file, before.count("\n") + 1, len(before) - before.rfind("\n"))


class _Mark(Protocol):
    """A place as PyYAML's parsers give it: both count from 0."""

    line: int
    column: int


class _Refused(Exception):
    """The rest of the document is not worth reading."""


class _Composer:
    """Builds nodes out of the parser's events, one call a node."""

    def __init__(self, file: str, text: str, report: Report) -> None:
        self.file = file
        self.lines = text.split("\n")
        self.report = report
        self.events: Iterator[yaml.Event] = iter(yaml.parse(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)))
        self.nodes = 0
        self.anchors: set[str] = set()
        self.refusals = 0
        self.duplicates = 0

    def compose(self) -> Node | None:
        try:
            root = self.document()
        except _Refused:
            return None
        except yaml.MarkedYAMLError as error:
            self.explain(error)
            return None
        except yaml.YAMLError as error:
            self.report.add(Place(self.file), f"this is not YAML: {error}")
            return None
        return None if self.refusals else root

    def document(self) -> Node | None:
        next(self.events)  # the start of the stream
        if isinstance(next(self.events), yaml.StreamEndEvent):
            self.report.add(Place(self.file), "the file is empty", "give at least site and cell")
            return None
        root = self.node(next(self.events), 1, None)
        next(self.events)  # the end of the document
        event = next(self.events)
        if not isinstance(event, yaml.StreamEndEvent):
            hint = "one file holds one document: remove the ---"
            self.refuse(self.place(event.start_mark), "a second document starts here", hint)
        return root

    def place(self, mark: _Mark | None) -> Place:
        return Place(self.file, mark.line + 1, mark.column + 1) if mark else Place(self.file)

    def refuse(self, place: Place, message: str, hint: str = "") -> None:
        """Note what makes the document unusable, and go on to find more of the kind."""
        self.report.add(place, message, hint)
        self.refusals += 1
        if self.refusals + self.duplicates >= MAX_PROBLEMS:
            self.report.add(place, "too many mistakes: the rest of this file was not read")
            raise _Refused

    def node(self, event: yaml.Event, depth: int, key: Place | None) -> Node:
        place = self.place(event.start_mark)
        self.bound(place, depth)
        self.check_properties(event, place)
        if isinstance(event, yaml.ScalarEvent):
            return Node(place, self.scalar(event, place), key, self.layout(event))
        if isinstance(event, yaml.SequenceStartEvent):
            return Node(place, self.sequence(depth), key)
        if isinstance(event, yaml.MappingStartEvent):
            return Node(place, self.mapping(depth), key)
        return Node(place, None, key)  # an alias, and refused as such

    def bound(self, place: Place, depth: int) -> None:
        self.nodes += 1
        if depth > MAX_DEPTH:
            self.report.add(place, f"nested deeper than {MAX_DEPTH} levels: the rest of this file was not read")
            raise _Refused
        if self.nodes > MAX_NODES:
            self.report.add(place, f"more than {MAX_NODES} values: the rest of this file was not read")
            raise _Refused

    def check_properties(self, event: yaml.Event, place: Place) -> None:
        hint = "use a template for what devices share"
        if isinstance(event, yaml.AliasEvent) and event.anchor not in self.anchors:
            self.refuse(place, f"aliases are not accepted: *{event.anchor}", hint)
        if not isinstance(event, yaml.ScalarEvent | yaml.CollectionStartEvent):
            return
        if event.anchor is not None:  # its aliases fall with it
            self.anchors.add(event.anchor)
            self.refuse(place, f"anchors are not accepted: &{event.anchor}", hint)
        elif event.tag is not None:
            tag = event.tag.replace("tag:yaml.org,2002:", "!!")
            self.refuse(place, f"tags are not accepted: {tag}", "remove it; quotes make a text of anything")

    def sequence(self, depth: int) -> list[Node]:
        items = []
        while not isinstance(event := next(self.events), yaml.SequenceEndEvent):
            items.append(self.node(event, depth + 1, None))
        return items

    def mapping(self, depth: int) -> dict[str, Node]:
        members: dict[str, Node] = {}
        while not isinstance(event := next(self.events), yaml.MappingEndEvent):
            place = self.place(event.start_mark)
            key = self.key(event, place)
            node = self.node(next(self.events), depth + 1, place)
            first = members.setdefault(key, node)
            if first is not node:
                self.duplicate(key, place, first.anchor)
        return members

    def duplicate(self, key: str, place: Place, first: Place) -> None:
        """A key that stands twice spoils nothing else: the first one counts, and reading goes on."""
        self.duplicates += 1
        self.report.add(place, f"the key {shown(key)} stands here a second time", f"the first is at {first}")

    def key(self, event: yaml.Event, place: Place) -> str:
        if not isinstance(event, yaml.ScalarEvent):
            self.report.add(place, "a key is plain text, not a mapping, a list or an alias")
            raise _Refused
        self.check_properties(event, place)
        value = self.scalar(event, place)
        if not isinstance(value, str):
            self.refuse(place, f"the key {event.value or 'null'} is not text", f'put it in quotes: "{event.value}"')
        if _LINE_BREAK.search(event.value):
            self.refuse(place, f"the key {shown(event.value)} holds a tab or a line break")
        return str(event.value)

    def scalar(self, event: yaml.ScalarEvent, place: Place) -> Scalar:
        if not event.implicit[0]:  # it is quoted, or a block
            if control := _CONTROL.search(event.value):
                self.refuse(place, f"the control character U+{ord(control[0]):04X} may not stand in text")
            return str(event.value)
        try:
            return resolve(event.value)
        except ValueError as error:
            self.refuse(place, str(error))
            return None

    def layout(self, event: yaml.ScalarEvent) -> Layout | None:
        start, end = event.start_mark, event.end_mark
        if start is None or end is None or (event.style is None and start.line == end.line):
            return None
        return Layout(self.lines, start.line, start.column, event.style or "")

    def explain(self, error: yaml.MarkedYAMLError) -> None:
        """A mistake of syntax. The parser cannot go on behind it."""
        place = self.place(error.problem_mark or error.context_mark)
        message = error.problem or error.context or "this is not YAML"
        if "".join(self.lines[place.line - 1 : place.line])[place.column - 1 :].startswith("\t"):
            message = "found a tab character"
        hint = next((hint for part, hint in _SYNTAX_HINTS.items() if part in message), "")
        self.report.add(place, message, hint.format(start=self.place(error.context_mark)))

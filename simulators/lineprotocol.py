"""InfluxDB line protocol, read strictly and without help from anybody: text to points. Pure.

    measurement[,tag=value …] field=value[,field=value …] [time]

What InfluxDB only tolerates is refused here, for it is a writer's mistake: empty tags, tags or fields given twice,
numbers that do not fit their type, NaN and infinities, superfluous spaces.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

FieldValue: TypeAlias = bool | int | float | str

# A backslash escapes only what would end the name, and otherwise stands for itself. Possessive throughout, so that no
# escaped character is ever tried again as a separator.
MEASUREMENT = re.compile(r"(?:\\[, ]|[^, \n])++")
NAME = re.compile(r"(?:\\[,= ]|[^,= \n])++")
STRING = re.compile(r'"((?:\\["\\]|[^"])*+)"')
TOKEN = re.compile(r"[^, \n]++")
FLOAT = re.compile(r"[+-]?(?:\d++(?:\.\d*+)?|\.\d++)(?:[eE][+-]?\d++)?")
INTEGER = re.compile(r"([+-]?\d{1,20})([iu])")
TIME = re.compile(r" (-?\d{1,19})")
ESCAPED = re.compile(r"\\([,= ])")
ESCAPED_IN_MEASUREMENT = re.compile(r"\\([, ])")
ESCAPED_IN_STRING = re.compile(r'\\(["\\])')
BOOLEANS = {
    **dict.fromkeys(("t", "T", "true", "True", "TRUE"), True),
    **dict.fromkeys(("f", "F", "false", "False", "FALSE"), False),
}
RANGES = {"i": (-(2**63), 2**63 - 1), "u": (0, 2**64 - 1)}


class Malformed(ValueError):
    """A line cannot be read; the message says where and why."""


class Field(NamedTuple):
    """`type` is `float`, `integer`, `unsigned`, `boolean` or `string`."""

    type: str
    value: FieldValue


@dataclass(frozen=True, slots=True)
class Point:
    """One line. `time` is as written, in the precision of the request."""

    measurement: str
    tags: tuple[tuple[str, str], ...]
    fields: tuple[tuple[str, Field], ...]
    time: int | None


def split(text: str) -> list[str]:
    """A body's lines; a line break inside a string field ends no line. Empty lines and comments are left out."""
    lines, start, quoted = [], 0, False
    for mark in re.finditer(r'\\.|"|\n', text, re.DOTALL):
        if mark[0] == '"':
            quoted = not quoted
        elif mark[0] == "\n" and not quoted:
            lines.append(text[start : mark.start()])
            start = mark.end()
    lines.append(text[start:])
    return [line for line in lines if line.strip() and not line.startswith("#")]


def parse(line: str) -> Point:
    """Raises Malformed."""
    scanner = Scanner(line)
    measurement = ESCAPED_IN_MEASUREMENT.sub(r"\1", scanner.take(MEASUREMENT, "a measurement"))
    tags: dict[str, str] = {}
    while scanner.skip(","):
        key = scanner.name("a tag", tags)
        tags[key] = ESCAPED.sub(r"\1", scanner.take(NAME, f"the value of tag {key}"))
    scanner.expect(" ", "a space and fields")
    fields: dict[str, Field] = {}
    while not fields or scanner.skip(","):
        key = scanner.name("a field", fields)
        fields[key] = scanner.field(key)
    return Point(measurement, tuple(sorted(tags.items())), tuple(fields.items()), scanner.time())


class Scanner:
    def __init__(self, line: str) -> None:
        self._line = line
        self._at = 0

    def skip(self, mark: str) -> bool:
        found = self._line.startswith(mark, self._at)
        self._at += len(mark) * found
        return found

    def expect(self, mark: str, what: str) -> None:
        if not self.skip(mark):
            raise Malformed(f"column {self._at + 1}: {what} should stand here")

    def take(self, pattern: re.Pattern[str], what: str) -> str:
        match = pattern.match(self._line, self._at)
        if match is None:
            raise Malformed(f"column {self._at + 1}: {what} should stand here")
        self._at = match.end()
        return match[match.lastindex or 0]

    def name(self, what: str, known: dict[str, str] | dict[str, Field]) -> str:
        key = ESCAPED.sub(r"\1", self.take(NAME, what))
        if key in known:
            raise Malformed(f"column {self._at}: {key} is given twice")
        self.expect("=", f"= after {key}")
        return key

    def field(self, key: str) -> Field:
        if self._line.startswith('"', self._at):
            return Field("string", ESCAPED_IN_STRING.sub(r"\1", self.take(STRING, f"the end of string {key}")))
        token = self.take(TOKEN, f"the value of field {key}")
        if token in BOOLEANS:
            return Field("boolean", BOOLEANS[token])
        if match := INTEGER.fullmatch(token):
            return _integer(key, int(match[1]), match[2])
        if FLOAT.fullmatch(token) and abs(float(token)) != float("inf"):
            return Field("float", float(token))
        raise Malformed(f"column {self._at}: {token!r} is no value for field {key}")

    def time(self) -> int | None:
        if self._at == len(self._line):
            return None
        time = int(self.take(TIME, "a space and a time, or the end"))
        if self._at != len(self._line) or not -(2**63) <= time < 2**63:
            raise Malformed(f"column {self._at + 1}: the line should end with a time of 64 bits")
        return time


def _integer(key: str, number: int, suffix: str) -> Field:
    low, high = RANGES[suffix]
    if not low <= number <= high:
        raise Malformed(f"{number}{suffix} in field {key} has more than 64 bits")
    return Field("integer" if suffix == "i" else "unsigned", number)

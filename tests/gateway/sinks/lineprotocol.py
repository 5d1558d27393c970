"""A reader of line protocol for the tests, as InfluxDB 1 scans it: a backslash takes the next character with it when
looking for an end, and goes away only before a character that it was needed for."""

from __future__ import annotations

import re
from typing import NamedTuple

_STRING = re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL)


class Line(NamedTuple):
    measurement: str
    tags: dict[str, str]
    fields: dict[str, tuple[str, str]]
    time: int


def parse(text: str) -> list[Line]:
    """All lines. A field's value is its kind (float, integer, unsigned, boolean, string) and its text.

    Raises ValueError for what InfluxDB would refuse.
    """
    lines = []
    while text:
        line, text = _line(text)
        lines.append(line)
    return lines


def _line(text: str) -> tuple[Line, str]:
    if text.startswith("#"):
        raise ValueError("a comment")
    measurement, end, text = _scan(text, ", ", ", ")
    tags: dict[str, str] = {}
    while end == ",":
        key, end, text = _scan(text, "=", ",= ")
        tags[key], end, text = _scan(text, ", ", ",= ")
    fields: dict[str, tuple[str, str]] = {}
    end = ","
    while end == ",":
        key, _, text = _scan(text, "=", ',= "')
        if key in fields:
            raise ValueError(f"{key!r} stands twice")
        fields[key], end, text = _value(text)
    time, newline, rest = text.partition("\n")
    if not newline or not re.fullmatch(r"-?\d+", time):
        raise ValueError(f"no time: {text!r}")
    return Line(measurement, tags, fields, int(time)), rest


def _scan(text: str, ends: str, special: str = "") -> tuple[str, str, str]:
    """What stands before the first of `ends`, which of them it was, and the rest."""
    at = 0
    while at < len(text) and text[at] not in ends:
        if text[at] == "\n":
            raise ValueError("the line ends in a name")
        at += 2 if text[at] == "\\" else 1
    if at >= len(text) or at == 0:
        raise ValueError(f"no name: {text!r}")
    name = text[:at]
    for character in special:
        name = name.replace("\\" + character, character)
    return name, text[at], text[at + 1 :]


def _value(text: str) -> tuple[tuple[str, str], str, str]:
    if string := _STRING.match(text):
        return ("string", re.sub(r'\\(["\\])', r"\1", string[1])), text[string.end()], text[string.end() + 1 :]
    body, end, rest = _scan(text, ", ")
    for kind, pattern in (
        ("boolean", r"(true|false)"),
        ("integer", r"(-?\d+)i"),
        ("unsigned", r"(\d+)u"),
        ("float", r"(-?\d+(?:\.\d+)?(?:e[+-]?\d+)?)"),
    ):
        if match := re.fullmatch(pattern, body):
            return (kind, match[1]), end, rest
    raise ValueError(f"no value: {body!r}")

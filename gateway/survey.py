"""What a driver found out about a device, as the part of a configuration that reaches it; and names for what it found.

A survey is data: drivers make it, `draft` writes it down. What a device says of itself is not trusted: it becomes names
by `Names` and remarks by `remark`, and nothing else.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

Plain: TypeAlias = "bool | int | float | str | list[Plain] | dict[str, Plain]"
Tell: TypeAlias = Callable[[str], None]
"""Told in a few words what goes on, for the person who waits."""

MOST_REMARK = 100
MOST_NAME = 64

_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9_.-]+")


@dataclass(frozen=True, slots=True)
class Line:
    """A value in one line, and what people should read beside it."""

    value: Plain
    remark: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class Part:
    """A mapping with a line or more for each entry, below the lines of a comment."""

    entries: Mapping[str, Line | Part]
    comment: tuple[str, ...] = field(default=(), compare=False)

    def plain(self) -> dict[str, Plain]:
        """Without comments and remarks."""
        return {key: each.value if isinstance(each, Line) else each.plain() for key, each in self.entries.items()}


@dataclass(frozen=True, slots=True)
class Survey:
    """The sections of a configuration, and what there is to say of them all together."""

    links: Part
    devices: Part
    templates: Part = Part({})
    comment: tuple[str, ...] = ()


class Names:
    """Names as a configuration takes them, each handed out once."""

    def __init__(self) -> None:
        self._taken: set[str] = set()

    def take(self, text: str, *others: str) -> str:
        """The first of these texts that makes a name which is still free, or else the first with a number."""
        names = [name for each in (text, *others) if (name := as_name(each))]
        free = next((name for name in names if name not in self._taken), None)
        number = 2
        while free is None:
            candidate = f"{names[0]}-{number}" if names else f"unnamed-{number}"
            free = None if candidate in self._taken else candidate
            number += 1
        self._taken.add(free)
        return free

    def take_exactly(self, text: str) -> bool:
        """Whether `text` is a name as it stands, and was free until now."""
        if not text or as_name(text) != text or text in self._taken:
            return False
        self._taken.add(text)
        return True


def as_name(text: str) -> str:
    """What can be kept of a text as the name of a device, a group or a tag; nothing if it is empty."""
    plain = unicodedata.normalize("NFKD", text[: 4 * MOST_NAME]).encode("ascii", "ignore").decode()
    return _NOT_IN_NAMES.sub("-", plain).lstrip("_.-")[:MOST_NAME].rstrip(".-")


def remark(text: object, most: int = MOST_REMARK) -> str:
    """What a device says, on one line, without anything that a file or a terminal would take for more than text."""
    line = " ".join("".join(each if each.isprintable() else " " for each in str(text)[: 4 * most]).split())
    return line if len(line) <= most else f"{line[: most - 1]}…"


def shown(value: object) -> str:
    """A value that was seen, as it would be written."""
    if isinstance(value, bool):
        return str(value).lower()
    return remark(f"{value:.7g}" if isinstance(value, float) else value, 40)

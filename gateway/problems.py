"""Mistakes in what people wrote, each with its place and, where we can think of one, a hint."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from typing import NamedTuple, TypeAlias

from gateway.errors import ConfigError

Keys: TypeAlias = tuple[str | int, ...]

_SHOWN = 60
_SHOWN_PATH = 300
_LISTED = 16


class Place(NamedTuple):
    """Where something stands. Line and column count from 1; line 0 is the file as a whole."""

    file: str
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}" if self.line else self.file


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake. As text it reads like a compiler's message: `plant.yaml:14:9: unknown key "adress"`, and the hint on
    a line of its own."""

    file: str
    line: int
    column: int
    message: str
    hint: str = ""

    @property
    def place(self) -> Place:
        return Place(self.file, self.line, self.column)

    def __str__(self) -> str:
        return f"{self.place}: {self.message}" + (f"\n    {self.hint}" if self.hint else "")


class InvalidConfiguration(ConfigError):
    """The configuration cannot be used; `problems` says all that is wrong with it."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(map(str, self.problems)))


class Report:
    """The problems found so far. A mistake in a template that many devices share is one problem."""

    def __init__(self) -> None:
        self._problems: dict[tuple[Place, str], Problem] = {}

    def add(self, place: Place, message: str, hint: str = "", keys: Keys = ()) -> None:
        """Note a problem; `keys` is the way to it from the top of the configuration."""
        where = f" in {dotted(keys)}" if keys else ""
        self._problems.setdefault((place, message), Problem(*place, message + where, hint))

    def __len__(self) -> int:
        return len(self._problems)

    def __iter__(self) -> Iterator[Problem]:
        """File by file in the order in which they first had a problem, and in each from top to bottom."""
        files = list(dict.fromkeys(place.file for place, _ in self._problems))
        return iter(sorted(self._problems.values(), key=lambda each: (files.index(each.file), each.line, each.column)))


def dotted(keys: Keys) -> str:
    """`devices.press-1.groups`, as people write a way through a configuration."""
    text = "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in keys).removeprefix(".")
    return text if len(text) <= _SHOWN_PATH else f"{text[:_SHOWN_PATH]}…"


def shown(value: object) -> str:
    """A value as it may stand in a message: text in quotes, on one line and not too long; a container by its kind."""
    if value is None:
        return "nothing"
    if isinstance(value, dict | list):
        return "a mapping" if isinstance(value, dict) else "a list"
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def listed(names: Iterable[str]) -> str:
    """Names in a row, for a hint."""
    names = list(names)
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return ", ".join(names[:_LISTED]) + more


def closest(name: object, known: Iterable[str]) -> str | None:
    """What somebody who wrote `name` may have meant."""
    close = get_close_matches(name, list(known), n=1) if isinstance(name, str) else []
    return close[0] if close else None


def suggestion(name: object, known: Iterable[str], kind: str) -> str:
    """The hint beside a `name` that is not among the `known` ones, which are of a `kind` in the plural."""
    known = list(known)
    if close := closest(name, known):
        return f"did you mean {shown(close)}?"
    return f"known {kind}: {listed(known)}" if known else f"there are no {kind}"

"""What an expression is made of, and how large it may be."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from gateway.errors import ConfigError

MOST_CHARACTERS: Final = 2048
MOST_DEPTH: Final = 32
MOST_NODES: Final = 256


class ExpressionError(ConfigError):
    """What was written is no expression, or does not suit its tags. `at` is how many characters in."""

    def __init__(self, message: str, at: int, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.at = at
        self.hint = hint


@dataclass(frozen=True, slots=True)
class Number:
    """A literal; `unit` is empty where none was written."""

    value: int | float
    unit: str
    at: int


@dataclass(frozen=True, slots=True)
class Text:
    value: str
    at: int


@dataclass(frozen=True, slots=True)
class Truth:
    value: bool
    at: int


@dataclass(frozen=True, slots=True)
class TagName:
    id: str
    at: int


@dataclass(frozen=True, slots=True)
class Operation:
    """An operator or a function, by its name, and what it is applied to. `-` with one operand is the sign."""

    name: str
    operands: tuple[Node, ...]
    at: int


Node: TypeAlias = Number | Text | Truth | TagName | Operation


@dataclass(frozen=True, slots=True)
class Expression:
    """What somebody wrote. Two are the same when their texts are."""

    text: str
    tree: Node = field(compare=False, repr=False)
    cost: int = field(compare=False, repr=False)
    """The most steps that an evaluation takes: the nodes of the tree."""

    def mentions(self) -> dict[str, int]:
        """The tags that are read, in the order in which they are first named, and where that is."""
        places: dict[str, int] = {}
        for node in walk(self.tree):
            if isinstance(node, TagName):
                places.setdefault(node.id, node.at)
        return dict(sorted(places.items(), key=lambda item: item[1]))


def walk(node: Node) -> Iterator[Node]:
    """The node and all below it."""
    waiting = [node]
    while waiting:
        node = waiting.pop()
        yield node
        if isinstance(node, Operation):
            waiting += node.operands

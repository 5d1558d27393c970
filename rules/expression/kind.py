"""What is true or false, a number, a text; and in which unit.

Units are compared as they are written, but for times: a number of seconds beside a tag in milliseconds is converted.
What a tag without a unit is in, nobody knows, so it goes with every other tag; but a number that states its unit wants
to be checked, and needs a counterpart that has one. The product of two units is not followed any further.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from fractions import Fraction
from typing import Final, NamedTuple

import numpy as np

from gateway.model import Tag, ValueType
from rules.expression.parser import COMPARISONS
from rules.expression.token import quote
from rules.expression.tree import ExpressionError, Node, Number, Operation, TagName, Text, Truth

_TIMES: Final = {
    "ns": Fraction(1, 10**9),
    "us": Fraction(1, 10**6),
    "µs": Fraction(1, 10**6),
    "ms": Fraction(1, 1000),
    "s": Fraction(1),
    "min": Fraction(60),
    "h": Fraction(3600),
    "d": Fraction(86400),
}


class Sort(StrEnum):
    TRUTH = "true or false"
    NUMBER = "a number"
    TEXT = "a text"


_SORTS: Final = {ValueType.BOOL: Sort.TRUTH, ValueType.STRING: Sort.TEXT}


class Kind(NamedTuple):
    """What a part of an expression is. `unit` is empty where it has none, or none that is known."""

    sort: Sort
    unit: str = ""


class _Part(NamedTuple):
    """A part of the tree, settled."""

    node: Node
    kind: Kind


def settle(tree: Node, tags: Mapping[str, Tag]) -> tuple[Node, Kind]:
    """The tree with its literals in the units and in the precision of what they are compared with, and what it is as a
    whole. `tags` are all that it reads, by id. Raises ExpressionError."""
    part = _part(tree, tags)
    return part.node, part.kind


def _part(node: Node, tags: Mapping[str, Tag]) -> _Part:
    if not isinstance(node, Operation):
        return _Part(node, _kind(node, tags))
    parts = [_part(operand, tags) for operand in node.operands]
    if node.name in ("and", "or", "not"):
        return _logical(node, parts)
    if node.name in ("==", "!=") and parts[0].kind.sort is not Sort.NUMBER:
        return _equal(node, parts)
    return _numeric(node, parts, tags)


def _kind(node: Number | Text | Truth | TagName, tags: Mapping[str, Tag]) -> Kind:
    match node:
        case Number():
            return Kind(Sort.NUMBER, node.unit)
        case Text():
            return Kind(Sort.TEXT)
        case Truth():
            return Kind(Sort.TRUTH)
        case TagName():
            tag = tags[node.id]
            return Kind(_SORTS.get(tag.type, Sort.NUMBER), tag.unit)


def _numeric(node: Operation, parts: list[_Part], tags: Mapping[str, Tag]) -> _Part:
    for part in parts:
        _demand(part, Sort.NUMBER, node.name)
    if node.name in ("*", "/"):
        return _Part(_with(node, parts), Kind(Sort.NUMBER, _product(node.name, *(part.kind.unit for part in parts))))
    parts, unit = _agree(parts)
    if node.name in (*COMPARISONS, "between"):
        return _Part(_with(node, _rounded(parts, tags)), Kind(Sort.TRUTH))
    return _Part(_with(node, parts), Kind(Sort.NUMBER, unit))


def _with(node: Operation, parts: list[_Part]) -> Operation:
    return Operation(node.name, tuple(part.node for part in parts), node.at)


def _logical(node: Operation, parts: list[_Part]) -> _Part:
    for part in parts:
        _demand(part, Sort.TRUTH, node.name)
    return _Part(_with(node, parts), Kind(Sort.TRUTH))


def _equal(node: Operation, parts: list[_Part]) -> _Part:
    """Of truths, or of texts."""
    left, right = parts
    if left.kind.sort is not right.kind.sort:
        message = f"{left.kind.sort} cannot be compared with {right.kind.sort}"
        raise ExpressionError(message, right.node.at, _advice(left, right))
    return _Part(_with(node, parts), Kind(Sort.TRUTH))


def _demand(part: _Part, sort: Sort, name: str) -> None:
    if part.kind.sort is sort:
        return
    hint = "compare it with something" if sort is Sort.TRUTH else ""
    if name in COMPARISONS and part.kind.sort is Sort.TEXT:
        hint = "texts are compared with == and !="
    raise ExpressionError(f"{quote(name)} needs {sort}; this is {part.kind.sort}", part.node.at, hint)


def _advice(left: _Part, right: _Part) -> str:
    if Sort.TRUTH in (left.kind.sort, right.kind.sort):
        return "a tag that is true or false is compared with true or false, or needs no comparison"
    return "a number stands without quotes" if isinstance(right.node, Text) else ""


def _product(name: str, left: str, right: str) -> str:
    """The unit of a product, or of a quotient."""
    if not right:
        return left
    return right if name == "*" and not left else ""


def _agree(parts: list[_Part]) -> tuple[list[_Part], str]:
    """The parts in one unit, and which one that is: the one that a tag brings in, else the first that is written."""
    units = [part for part in parts if part.kind.unit]
    if not units:
        return parts, ""
    first = next((part for part in units if not isinstance(part.node, Number)), units[0])
    return [_in(part, first, parts) for part in parts], first.kind.unit


def _in(part: _Part, first: _Part, parts: list[_Part]) -> _Part:
    """A part in the unit of `first`."""
    unit, node = first.kind.unit, part.node
    if isinstance(first.node, Number):
        unmarked = next((each for each in parts if not each.kind.unit and not isinstance(each.node, Number)), None)
        if unmarked is not None:
            hint = "give its tag a unit, or leave the unit out here"
            raise ExpressionError(f"what this is compared with has no unit {quote(unit)}", first.node.at, hint)
    if part.kind.unit in ("", unit):
        return part
    if isinstance(node, Number) and node.unit in _TIMES and unit in _TIMES:
        value = node.value if isinstance(node.value, int) else str(node.value)
        return _Part(Number(_plain(Fraction(value) * _TIMES[node.unit] / _TIMES[unit]), unit, node.at), first.kind)
    hint = f"write it in {unit}" if isinstance(node, Number) else ""
    hint = "write min for minutes" if part.kind.unit == "m" and unit in _TIMES else hint
    raise ExpressionError(f"the units {quote(unit)} and {quote(part.kind.unit)} do not go together", node.at, hint)


def _plain(value: Fraction) -> int | float:
    return int(value) if value.denominator == 1 else float(value)


def _rounded(parts: list[_Part], tags: Mapping[str, Tag]) -> list[_Part]:
    """Beside a float32 a literal is the nearest float32, as a setpoint in the machine would be: a tag that was set to
    0.1 is not above 0.1."""
    others = [part.node for part in parts if not isinstance(part.node, Number)]
    is_narrow = all(isinstance(node, TagName) and tags[node.id].type is ValueType.FLOAT32 for node in others)
    return [_narrowed(part) for part in parts] if others and is_narrow else parts


def _narrowed(part: _Part) -> _Part:
    node = part.node
    if not isinstance(node, Number):
        return part
    with np.errstate(over="ignore"):  # beyond all that a float32 can be
        return part._replace(node=Number(float(np.float32(node.value)), node.unit, node.at))

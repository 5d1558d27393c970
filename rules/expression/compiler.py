"""From a settled tree to closures. A value that is unknown is None, and what follows from it is mostly unknown, too.

Logic is Kleene's: false and unknown is false, true or unknown is true. Whole numbers are exact, however large; a
division is not. What is no number, or none that can be used, is unknown: a division by zero, what overflows.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeAlias

from gateway.model import Value
from rules.expression.tree import Node, Number, Operation, TagName, Text, Truth

Row: TypeAlias = Sequence[Value | None]
Evaluate: TypeAlias = Callable[[Row], Value | None]
Function: TypeAlias = Callable[..., Any]

_MOST_BITS = 1024
"""As far as a float reaches: whole numbers do not grow without bound either."""


def build(tree: Node, slots: Mapping[str, int]) -> Evaluate:
    """A closure over a row of values, in which each tag has its slot. It raises nothing, whatever the values are, as
    long as they are of the tags' types; no number among them is NaN or infinite."""
    match tree:
        case Number() | Text() | Truth():
            constant = tree.value
            return lambda row: constant
        case TagName():
            slot = slots[tree.id]
            return lambda row: row[slot]
    operands = [build(operand, slots) for operand in tree.operands]
    if tree.name in _LOGIC:
        return _LOGIC[tree.name](*operands)
    if tree.name in _COMPARISONS:
        return _compared(_COMPARISONS[tree.name], *operands)
    return _calculated(_named(tree), *operands)


def _named(tree: Operation) -> Function:
    return operator.neg if tree.name == "-" and len(tree.operands) == 1 else _FUNCTIONS[tree.name]


def _compared(function: Function, left: Evaluate, right: Evaluate) -> Evaluate:
    def evaluate(row: Row) -> Value | None:
        first = left(row)
        if first is None:
            return None
        second = right(row)
        return None if second is None else bool(function(first, second))

    return evaluate


def _calculated(function: Function, *operands: Evaluate) -> Evaluate:
    """Unknown as soon as one operand is, and where the outcome is no number that can be used."""

    def evaluate(row: Row) -> Value | None:
        values = []
        for operand in operands:
            value = operand(row)
            if value is None:
                return None
            values.append(value)
        try:
            return _usable(function(*values))
        except (ZeroDivisionError, OverflowError):
            return None

    return evaluate


def _usable(value: int | float | None) -> int | float | None:
    if isinstance(value, int):
        return value if value.bit_length() <= _MOST_BITS else None
    return value if value is not None and math.isfinite(value) else None


def _not(inner: Evaluate) -> Evaluate:
    def evaluate(row: Row) -> Value | None:
        value = inner(row)
        return None if value is None else not value

    return evaluate


def _and(left: Evaluate, right: Evaluate) -> Evaluate:
    def evaluate(row: Row) -> Value | None:
        first = left(row)
        if first is False:
            return False
        second = right(row)
        return second if first or second is False else None

    return evaluate


def _or(left: Evaluate, right: Evaluate) -> Evaluate:
    def evaluate(row: Row) -> Value | None:
        first = left(row)
        if first:
            return True
        second = right(row)
        return second if first is False or second else None

    return evaluate


def _between(value: Evaluate, low: Evaluate, high: Evaluate) -> Evaluate:
    """low <= value and value <= high, with the value looked at once."""

    def evaluate(row: Row) -> Value | None:
        middle, bottom, top = value(row), low(row), high(row)
        if middle is None:
            return None
        above = None if bottom is None else bottom <= middle  # type: ignore[operator] # numbers, as settled
        below = None if top is None else middle <= top  # type: ignore[operator]
        if above is False or below is False:
            return False
        return None if above is None or below is None else True

    return evaluate


def _clamp(value: Any, low: Any, high: Any) -> Any:
    return None if low > high else min(max(value, low), high)


_LOGIC: Final[Mapping[str, Callable[..., Evaluate]]] = {"and": _and, "or": _or, "not": _not, "between": _between}
_COMPARISONS: Final[Mapping[str, Function]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
}
_FUNCTIONS: Final[Mapping[str, Function]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "abs": abs,
    "min": min,
    "max": max,
    "round": round,
    "clamp": _clamp,
}

"""What a plain scalar of YAML means: the core schema of YAML 1.2.2, 10.3.2, in which `no`, `on` and `12:30` are text.

It differs in one thing: 012 stays text too, because to a reader of YAML 1.1 it is 10 and to one of YAML 1.2 it is 12.
"""

from __future__ import annotations

import re
from typing import TypeAlias

MAX_LENGTH = 64

Scalar: TypeAlias = bool | int | float | str | None

_CONSTANTS: dict[str, Scalar] = {"": None, "~": None}
_CONSTANTS |= dict.fromkeys(("null", "Null", "NULL"))
_CONSTANTS |= dict.fromkeys(("true", "True", "TRUE"), True) | dict.fromkeys(("false", "False", "FALSE"), False)
_NUMBER_START = frozenset("+-.0123456789")
_INTEGER = re.compile(r"[-+]?(?:0|[1-9][0-9]*)|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|(?:0|[1-9][0-9]*)(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")


def resolve(text: str) -> Scalar:
    """What a plain scalar means. Raises ValueError for a number that is beyond all use."""
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    if text[0] not in _NUMBER_START:
        return text
    if _NOT_FINITE.fullmatch(text):
        return float(text.replace(".", ""))
    is_integer = _INTEGER.fullmatch(text) is not None
    if not is_integer and _FLOAT.fullmatch(text) is None:
        return text
    if len(text) > MAX_LENGTH:
        raise ValueError(f"a number of {len(text)} characters is too long")
    if is_integer:
        return int(text, 0)
    number = float(text)
    if abs(number) == float("inf"):
        raise ValueError(f"the number {text} is too large")
    return number

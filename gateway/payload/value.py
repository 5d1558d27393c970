"""One value of a message as the type that its tag asks for: strict, exact, and never cut or rounded to fit. Pure.

| type          | takes                                              | otherwise                                   |
|---------------|----------------------------------------------------|---------------------------------------------|
| float32, float64 | a number                                        | too large: BAD_OUT_OF_RANGE                 |
| int8 … uint64 | a number without fraction or exponent, not 3.0     | too large: BAD_OUT_OF_RANGE                 |
| bool          | true, false (as text also 1, 0)                    |                                             |
| string        | a string                                           | over MAX_STRING characters: BAD_OUT_OF_RANGE |

null is BAD_NO_DATA; whatever else does not fit is BAD_TYPE_MISMATCH.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import TypeAlias

import numpy as np

from gateway.model import StatusCode, Value, ValueType

MAX_STRING = 4_096

Convert: TypeAlias = Callable[[object], Value]

_INTEGER = re.compile(r"[+-]?[0-9]{1,400}")
_NUMBER = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?")
_BOOLS = {"true": True, "1": True, "false": False, "0": False}


class BadValue(ValueError):
    """This value cannot be had; its column gets `status`, and the columns beside it are no worse for it."""

    def __init__(self, status: StatusCode) -> None:
        super().__init__(status.name)
        self.status = status


def converter(type: ValueType) -> Convert:
    """What turns a decoded JSON value into a value of `type`, or raises BadValue."""
    if type is ValueType.BOOL:
        return _bool
    if type is ValueType.STRING:
        return _string
    if type.is_float:
        return _float(float(np.finfo(type.value).max))
    limits = np.iinfo(type.value)
    return _integer(int(limits.min), int(limits.max))


def read(text: str, type: ValueType) -> object:
    """A plain text as what JSON would have given. Raises BadValue."""
    if type is ValueType.STRING:
        return text
    text = text.strip()
    if not text:
        raise BadValue(StatusCode.BAD_NO_DATA)
    if type is ValueType.BOOL and text.lower() in _BOOLS:
        return _BOOLS[text.lower()]
    if type is not ValueType.BOOL and _INTEGER.fullmatch(text):
        return int(text)
    if type.is_float and _NUMBER.fullmatch(text):
        return float(text)
    raise BadValue(StatusCode.BAD_TYPE_MISMATCH)


def _misfit(found: object) -> BadValue:
    if found is None:
        return BadValue(StatusCode.BAD_NO_DATA)
    if isinstance(found, float) and math.isinf(found):
        return BadValue(StatusCode.BAD_OUT_OF_RANGE)
    return BadValue(StatusCode.BAD_TYPE_MISMATCH)


# `type(found) is` and not `isinstance`: in Python a bool is an int, on a machine it is not.


def _bool(found: object) -> Value:
    if type(found) is bool:
        return found
    raise _misfit(found)


def _string(found: object) -> Value:
    if type(found) is not str:
        raise _misfit(found)
    if len(found) > MAX_STRING:
        raise BadValue(StatusCode.BAD_OUT_OF_RANGE)
    return found


def _float(largest: float) -> Convert:
    def convert(found: object) -> Value:
        if type(found) is float or type(found) is int:
            if -largest <= found <= largest:
                return float(found)
            raise BadValue(StatusCode.BAD_OUT_OF_RANGE)
        raise _misfit(found)

    return convert


def _integer(low: int, high: int) -> Convert:
    def convert(found: object) -> Value:
        if type(found) is int:
            if low <= found <= high:
                return found
            raise BadValue(StatusCode.BAD_OUT_OF_RANGE)
        raise _misfit(found)

    return convert

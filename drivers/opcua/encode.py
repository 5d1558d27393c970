"""From a value that is to be written to what its node takes. Pure."""

from __future__ import annotations

import sys
from datetime import datetime, timedelta
from typing import Final, TypeAlias

import numpy as np

from drivers.opcua.convert import DTYPES, EPOCH, Kind
from gateway.errors import CommandRefused
from gateway.model import Tag, Value

_LARGEST: Final = sys.float_info.max
_LARGEST_FLOAT: Final = float(np.finfo("float32").max)
_TEXTS: Final = (Kind.STRING, Kind.LOCALIZED_TEXT)

Encoded: TypeAlias = Value | datetime


def encode(tag: Tag, value: Value, kind: int) -> Encoded:
    """`value` for a node whose type is `kind`. Raises CommandRefused for what the tag, or its node, cannot hold."""
    if not tag.writable:
        raise CommandRefused(f"{tag.id} is not writable")
    if kind == Kind.BOOLEAN:
        return _bool(tag, value)
    if kind in _TEXTS:
        return _text(tag, value)
    if kind == Kind.DATETIME:
        return _moment(tag, value)
    if kind not in DTYPES:
        raise CommandRefused(f"{tag.id}: values of its node's type ({kind}) cannot be written")
    number = _number(tag, value)
    return _real(tag, number, kind) if kind in (Kind.FLOAT, Kind.DOUBLE) else _whole(tag, number, DTYPES[kind])


def _bool(tag: Tag, value: Value) -> bool:
    if not isinstance(value, bool):
        raise CommandRefused(f"{tag.id} takes true or false, not {type(value).__name__}")
    return value


def _text(tag: Tag, value: Value) -> str:
    if not isinstance(value, str):
        raise CommandRefused(f"{tag.id} takes a text, not {type(value).__name__}")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise CommandRefused(f"{tag.id}: the text cannot be written as UTF-8") from error
    return value


def _number(tag: Tag, value: Value) -> int | float:
    if isinstance(value, bool | str) or not -_LARGEST <= value <= _LARGEST:
        raise CommandRefused(f"{tag.id} takes a number, not {type(value).__name__}")
    if tag.range is not None and not tag.range[0] <= value <= tag.range[1]:
        raise CommandRefused(f"the value is outside the range of {tag.id}, {tag.range[0]:g} to {tag.range[1]:g}")
    return value


def _real(tag: Tag, number: float, kind: int) -> float:
    if kind == Kind.FLOAT and abs(number) > _LARGEST_FLOAT:
        raise CommandRefused(f"{tag.id}: the value does not fit into a Float")
    return float(number)


def _whole(tag: Tag, number: float, dtype: str) -> int:
    limits = np.iinfo(dtype)
    if round(number) != number:
        raise CommandRefused(f"{tag.id} takes whole numbers")
    if not limits.min <= number <= limits.max:
        raise CommandRefused(f"{tag.id}: the value does not fit into {dtype}")
    return int(number)


def _moment(tag: Tag, value: Value) -> datetime:
    return EPOCH + timedelta(microseconds=_whole(tag, _number(tag, value), "int64") // 1_000)

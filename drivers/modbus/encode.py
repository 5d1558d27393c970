"""From a value that is to be written to the request that writes it. Pure."""

from __future__ import annotations

import math
import sys
from typing import cast

import numpy as np

from drivers.modbus import frame
from drivers.modbus.order import arrangement
from drivers.modbus.settings import TagSettings
from gateway.errors import CommandRefused
from gateway.model import Tag, Value, ValueType

_LARGEST = sys.float_info.max


def encode(unit: int, tag: Tag, value: Value) -> frame.Request:
    """One coil, one register or several. Raises CommandRefused for what the tag, or its registers, cannot hold."""
    settings = cast(TagSettings, tag.address)
    if not tag.writable:
        raise CommandRefused(f"{tag.id} is not writable")
    start = settings.address.start
    if tag.type is ValueType.BOOL:
        return frame.write_coil(unit, start, _bool(tag, value))
    data = _text(tag, settings, value) if tag.type is ValueType.STRING else _number(tag, settings, value)
    return frame.write_register(unit, start, data) if len(data) == 2 else frame.write_registers(unit, start, data)


def landed(tag: Tag, value: Value) -> Value:
    """What the device has after `value` was written: the nearest of its steps, where whole registers are scaled."""
    settings = cast(TagSettings, tag.address)
    if isinstance(value, str) or not settings.is_scaled or settings.raw_type.is_float:
        return value
    return round((value - settings.offset) / settings.scale) * settings.scale + settings.offset


def _bool(tag: Tag, value: Value) -> bool:
    if not isinstance(value, bool):
        raise CommandRefused(f"{tag.id} takes true or false, not {type(value).__name__}")
    return value


def _text(tag: Tag, settings: TagSettings, value: Value) -> bytes:
    if not isinstance(value, str) or "\0" in value:
        raise CommandRefused(f"{tag.id} takes a text, not {type(value).__name__}")
    try:
        letters = value.encode()
    except UnicodeEncodeError as error:
        raise CommandRefused(f"{tag.id}: the text cannot be written as UTF-8") from error
    if len(letters) > (settings.length or 0):
        raise CommandRefused(f"{tag.id} holds {settings.length} bytes, and the text has {len(letters)}")
    padded = np.frombuffer(letters.ljust(2 * settings.count, b"\0"), np.uint8)
    return padded[arrangement(settings.order, len(padded))[::-1]].tobytes()


def _number(tag: Tag, settings: TagSettings, value: Value) -> bytes:
    if isinstance(value, (bool, str)) or not -_LARGEST <= value <= _LARGEST:
        raise CommandRefused(f"{tag.id} takes a number, not {type(value).__name__}")
    if tag.range is not None and not tag.range[0] <= value <= tag.range[1]:
        raise CommandRefused(f"the value is outside the range of {tag.id}, {tag.range[0]:g} to {tag.range[1]:g}")
    raw = (value - settings.offset) / settings.scale if settings.is_scaled else value
    dtype = settings.raw_type.dtype
    number = _real(tag, raw, settings) if settings.raw_type.is_float else _whole(tag, raw, settings)
    native = np.frombuffer(np.array(number, dtype.newbyteorder("<")).tobytes(), np.uint8)
    wire = np.empty(len(native), np.uint8)
    wire[arrangement(settings.order, len(native))] = native
    return wire.tobytes()


def _real(tag: Tag, raw: float, settings: TagSettings) -> float:
    most = float(np.finfo(settings.raw_type.value).max)
    if not -most <= raw <= most:
        raise CommandRefused(f"{tag.id}: the value does not fit into {settings.raw_type}")
    return raw


def _whole(tag: Tag, raw: float, settings: TagSettings) -> int:
    limits = np.iinfo(settings.raw_type.value)
    if not math.isfinite(raw) or not limits.min <= round(raw) <= limits.max:
        raise CommandRefused(f"{tag.id}: the value does not fit into {settings.raw_type}")
    if round(raw) != raw and not settings.is_scaled:
        raise CommandRefused(f"{tag.id} takes whole numbers")
    return round(raw)

"""Scans of one group to bytes and back. Pure, lossless, and fast because it never looks at a single value.

A plane of n rows and w columns is laid out column by column; every value but a column's first becomes the difference to
the one before it (of the bit patterns, so floats come back bit for bit); then the bytes are sorted by their place in
the value. What moves slowly leaves long runs of zeros behind, which is what the compressor lives on. Floats that are
decimals of a few digits, as most measurements are, travel as whole numbers, if these give the very same floats again.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, TypeVar

import msgspec
import numpy as np
import numpy.typing as npt

from gateway.model import Mask, Plane, Rows, Scan, Schema, Span, Statuses, Times, ValueType

_Item = TypeVar("_Item", bound=np.generic)

_UNSIGNED: dict[int, np.dtype[Any]] = {size: np.dtype(f"<u{size}") for size in (1, 2, 4, 8)}
_STATUS, _PRESENT, _TIME_EACH = 1, 2, 4
_RAW = 0xFF
_DIGITS = (0, 1, 2, 3)
_WHOLE = tuple(np.dtype(f"<i{size}") for size in (2, 4, 8))
_LARGEST = {4: 2.0**24, 8: 2.0**53}
"""Up to these, float32 and float64 hold every whole number."""

_SAMPLE = 64


class CodecError(ValueError):
    """The bytes are not what `encode` makes for this schema."""


def encode(scans: Sequence[Scan]) -> bytes:
    """Scans of one group, in order, as bytes. Needs the schema to be read again."""
    group = scans[0].group
    width = len(group.columns)
    flags = 0
    parts: list[bytes] = []
    if any(isinstance(scan.source_time, np.ndarray) for scan in scans):
        flags |= _TIME_EACH
        times = np.stack([np.broadcast_to(np.asarray(scan.source_time, np.int64), width) for scan in scans])
    else:
        times = np.array([scan.source_time for scan in scans], np.int64)
    delays = np.array([scan.gateway_time for scan in scans], np.int64) - _row_times(times)
    parts += (_shuffle(times), _shuffle(delays))
    if any(scan.status is not None for scan in scans):
        flags |= _STATUS
        good = np.zeros(width, np.uint32)
        parts.append(_shuffle(np.stack([good if scan.status is None else scan.status for scan in scans])))
    if any(scan.columns is not None for scan in scans):
        flags |= _PRESENT
        every = np.ones(width, np.bool_)
        present = np.stack([every if scan.columns is None else scan.columns for scan in scans])
        parts.append(np.packbits(present.T).tobytes())
    for number, span in enumerate(group.spans):
        parts.append(_encode_plane(span, [scan.values[number] for scan in scans]))
    return b"".join((bytes((flags,)), *parts))


def decode(schema: Schema, rows: int, data: bytes | memoryview) -> Rows:
    """The rows that `encode` was given. Raises CodecError."""
    reader = _Reader(memoryview(data))
    width = len(schema.columns)
    flags = reader.take(1)[0]
    shape = (rows, width) if flags & _TIME_EACH else (rows,)
    source_time: Times = reader.array(np.dtype("<i8"), shape).astype(np.int64, copy=False)
    gateway_time: Times = reader.array(np.dtype("<i8"), (rows,)) + _row_times(source_time)
    status: Statuses | None = None
    if flags & _STATUS:
        status = reader.array(np.dtype("<u4"), (rows, width)).astype(np.uint32, copy=False)
    present: Mask | None = reader.bits(rows, width) if flags & _PRESENT else None
    values = tuple(reader.plane(span, rows) for span in schema.spans)
    reader.end()
    return Rows(schema, source_time, gateway_time, values, status, present)


def _encode_plane(span: Span, planes: Sequence[Plane]) -> bytes:
    if span.type is ValueType.STRING:
        body = msgspec.msgpack.encode([list(plane) for plane in planes])
        return len(body).to_bytes(4, "little") + body
    if span.type is ValueType.BOOL:
        return np.packbits(np.stack(planes).T.astype(np.bool_, copy=False)).tobytes()
    rows = np.stack(planes).astype(span.type.dtype, copy=False)
    return _encode_floats(rows) if span.type.is_float else _shuffle(rows)


def _row_times(times: Times) -> Times:
    """A time a row; the gateway's is stored as the difference to it."""
    return times if times.ndim == 1 else times[:, 0]


def _encode_floats(rows: npt.NDArray[Any]) -> bytes:
    """A byte that says how, and the plane: as it is, or as whole numbers of so many digits and so many bytes."""
    sample = rows[0, :_SAMPLE]
    digits = next((digits for digits in _DIGITS if _whole(sample, digits) is not None), None)
    whole = None if digits is None else _whole(rows, digits)
    if digits is None or whole is None:
        return bytes((_RAW,)) + _shuffle(rows)
    most = max(-int(whole.min(initial=0)), int(whole.max(initial=0)))
    size = next(number for number, dtype in enumerate(_WHOLE) if most <= np.iinfo(dtype).max)
    return bytes((digits << 4 | size,)) + _shuffle(whole.astype(_WHOLE[size]))


def _whole(values: npt.NDArray[Any], digits: int) -> npt.NDArray[Any] | None:
    """The values as whole numbers of so many decimal digits, still in their own type; None where these would not give
    them back bit for bit."""
    largest = _LARGEST[values.dtype.itemsize]
    with np.errstate(over="ignore", invalid="ignore"):
        whole = values * values.dtype.type(10.0**digits)
        np.rint(whole, out=whole)
        if not (whole.min(initial=0) >= -largest and whole.max(initial=0) <= largest):  # a NaN is neither
            return None
        whole += 0  # there is no negative zero among whole numbers
        again = _decimal(whole, digits)
    bits = _UNSIGNED[values.dtype.itemsize]
    return whole if np.array_equal(again.view(bits), values.view(bits)) else None


def _decimal(whole: npt.NDArray[Any], digits: int) -> npt.NDArray[Any]:
    decimal: npt.NDArray[Any] = whole / whole.dtype.type(10.0**digits)
    return decimal


def _shuffle(rows: npt.NDArray[np.generic]) -> bytes:
    """(rows, …) of one fixed-size type: differences along the rows, bytes sorted by their place. `rows` is used up."""
    size = rows.dtype.itemsize
    bits = np.ascontiguousarray(rows.reshape(len(rows), -1).T).view(_UNSIGNED[size])
    bits[:, 1:] -= bits[:, :-1].copy()
    if size == 1:
        return bits.tobytes()
    return np.ascontiguousarray(bits.reshape(-1).view(np.uint8).reshape(-1, size).T).tobytes()


class _Reader:
    """Takes typed pieces off the front of some bytes."""

    def __init__(self, data: memoryview) -> None:
        self._data = data
        self._at = 0

    def take(self, size: int) -> memoryview:
        piece = self._data[self._at : self._at + size]
        if len(piece) != size:
            raise CodecError(f"{size} bytes wanted, {len(piece)} left")
        self._at += size
        return piece

    def array(self, dtype: np.dtype[_Item], shape: tuple[int, ...]) -> npt.NDArray[_Item]:
        """Undoes `_shuffle`."""
        rows, width, size = shape[0], math.prod(shape[1:]), dtype.itemsize
        raw = np.frombuffer(self.take(rows * width * size), np.uint8)
        columns = np.ascontiguousarray(raw.reshape(size, -1).T).view(_UNSIGNED[size]).reshape(width, rows)
        bits = columns.T.copy()
        for row in range(1, rows):
            np.add(bits[row], bits[row - 1], out=bits[row])
        return bits.view(dtype).reshape(shape)

    def floats(self, dtype: np.dtype[Any], shape: tuple[int, ...]) -> Plane:
        how = self.take(1)[0]
        if how == _RAW:
            return self.array(dtype.newbyteorder("<"), shape)
        digits, size = how >> 4, how & 0x0F
        if digits not in _DIGITS or size >= len(_WHOLE):
            raise CodecError(f"a plane of floats of an unknown kind, {how}")
        return _decimal(self.array(_WHOLE[size], shape).astype(dtype), digits)

    def bits(self, rows: int, width: int) -> Mask:
        raw = np.frombuffer(self.take((rows * width + 7) // 8), np.uint8)
        flat = np.unpackbits(raw, count=rows * width).astype(np.bool_)
        return np.ascontiguousarray(flat.reshape(width, rows).T)

    def plane(self, span: Span, rows: int) -> Plane:
        width = span.stop - span.start
        if span.type is ValueType.BOOL:
            return self.bits(rows, width)
        if span.type.is_float:
            return self.floats(span.type.dtype, (rows, width))
        if span.type is not ValueType.STRING:
            return self.array(span.type.dtype.newbyteorder("<"), (rows, width))
        size = int.from_bytes(self.take(4), "little")
        try:
            lines = msgspec.msgpack.decode(self.take(size), type=list[list[str]])
        except msgspec.MsgspecError as error:
            raise CodecError(f"a plane of strings does not decode: {error}") from error
        plane = np.empty((rows, width), object)
        if [len(line) for line in lines] != [width] * rows:
            raise CodecError("a plane of strings has another shape")
        for row, line in enumerate(lines):
            plane[row] = line
        return plane

    def end(self) -> None:
        if self._at != len(self._data):
            raise CodecError(f"{len(self._data) - self._at} bytes too many")

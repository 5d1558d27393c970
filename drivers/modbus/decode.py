"""From registers as they arrived to the planes of a scan, all columns at once. Pure.

One gather puts the bytes of all columns side by side, every value in little-endian order; what remains is to look at
stretches of it as numbers. So a value costs its bytes copied once, whatever their order was.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias, cast

import numpy as np
import numpy.typing as npt

from drivers.modbus.order import arrangement
from drivers.modbus.plan import Extent
from drivers.modbus.settings import TagSettings
from gateway.model import Plane, TagGroup, ValueType

Bytes: TypeAlias = npt.NDArray[np.uint8]
Index: TypeAlias = npt.NDArray[np.intp]

_ALIGNMENT = 8


@dataclass(frozen=True, slots=True)
class Source:
    """One column: what is to be made of it, and where it stands in the group's memory."""

    settings: TagSettings
    extent: Extent

    def index(self) -> Index:
        """The places of its bytes, the lowest first."""
        size = self.settings.raw_type.dtype.itemsize
        return self.extent.offset + arrangement(self.settings.order, size)


class Decoder:
    """Knows where each byte of each column of one group stands in the group's memory."""

    def __init__(self, group: TagGroup, extents: Sequence[Extent]) -> None:
        """`extents` are those of the group's columns, in their order."""
        sources = [
            Source(cast(TagSettings, tag.address), extent) for tag, extent in zip(group.columns, extents, strict=True)
        ]
        self._planes = [_plane(span.type, sources[span.start : span.stop]) for span in group.spans]
        self._places: list[slice] = []
        index: list[Index] = []
        at = 0
        for plane in self._planes:
            self._places.append(slice(at, at + len(plane.index)))
            index.append(np.pad(plane.index, (0, -len(plane.index) % _ALIGNMENT)))
            at += len(index[-1])
        self._index = np.concatenate(index)

    def decode(self, memory: bytes | bytearray) -> tuple[tuple[Plane, ...], list[int]]:
        """The planes of a row, and the columns whose bytes are no text. The planes share nothing with `memory`."""
        gathered = np.frombuffer(memory, np.uint8).take(self._index)
        garbled: list[int] = []
        planes = tuple(
            plane.decode(gathered[place], garbled) for plane, place in zip(self._planes, self._places, strict=True)
        )
        return planes, garbled


class _PlaneDecoder(Protocol):
    """Makes one plane. `index` says which bytes of the memory it wants to be given as `data`."""

    index: Index

    def decode(self, data: Bytes, garbled: list[int]) -> Plane: ...


def _plane(type_: ValueType, sources: Sequence[Source]) -> _PlaneDecoder:
    if type_ is ValueType.BOOL:
        return _Bits(sources)
    if type_ is ValueType.STRING:
        return _Texts(sources)
    if any(source.settings.is_scaled or source.settings.raw_type is not type_ for source in sources):
        return _Conversions(type_, sources)
    return _Numbers(type_, sources)


def _join(sources: Iterable[Source]) -> Index:
    return np.concatenate([source.index() for source in sources])


class _Numbers:
    """All registers hold the very type that flows: nothing is computed, nothing is copied again."""

    def __init__(self, type_: ValueType, sources: Sequence[Source]) -> None:
        self.index = _join(sources)
        self._dtype = type_.dtype.newbyteorder("<")

    def decode(self, data: Bytes, garbled: list[int]) -> Plane:
        return cast(Plane, data.view(self._dtype))


class _Conversions:
    """Some columns are scaled, or wider than their registers: computed in float64, one raw type after the other."""

    def __init__(self, type_: ValueType, sources: Sequence[Source]) -> None:
        parts: dict[tuple[ValueType, bool], list[int]] = {}
        for i in sorted(range(len(sources)), key=lambda i: -sources[i].settings.raw_type.dtype.itemsize):
            settings = sources[i].settings  # wide ones first, so that all stay aligned
            parts.setdefault((settings.raw_type, settings.is_scaled), []).append(i)
        self.index = _join(sources[i] for part in parts.values() for i in part)
        self._dtype = type_.dtype
        self._width = len(sources)
        self._parts: list[_Part] = []
        at = 0
        for (raw, _), columns in parts.items():
            stop = at + raw.dtype.itemsize * len(columns)
            self._parts.append(_Part.of(raw, columns, slice(at, stop), [sources[i].settings for i in columns]))
            at = stop

    def decode(self, data: Bytes, garbled: list[int]) -> Plane:
        plane = np.empty(self._width, self._dtype)
        with np.errstate(all="ignore"):  # what is out of reach becomes an infinity, as in every other float
            for part in self._parts:
                plane[part.columns] = part.convert(data)
        return plane


@dataclass(frozen=True, slots=True)
class _Part:
    """The columns of a plane that come from one raw type, all scaled or none."""

    dtype: np.dtype[np.generic]
    columns: Index
    place: slice
    scale: npt.NDArray[np.float64] | None
    offset: npt.NDArray[np.float64]

    @staticmethod
    def of(raw: ValueType, columns: Sequence[int], place: slice, settings: Sequence[TagSettings]) -> _Part:
        scale = np.array([one.scale for one in settings]) if settings[0].is_scaled else None
        offset = np.array([one.offset for one in settings])
        return _Part(raw.dtype.newbyteorder("<"), np.array(columns, np.intp), place, scale, offset)

    def convert(self, data: Bytes) -> Plane:
        raw = data[self.place].view(self.dtype)
        return raw if self.scale is None else cast(Plane, raw * self.scale + self.offset)


class _Bits:
    """Coils stand in the memory as a byte each; a bit of a register is in one of its two bytes."""

    def __init__(self, sources: Sequence[Source]) -> None:
        self.index = np.array([self._byte(source) for source in sources], np.intp)
        self._masks = np.array([1 << (source.settings.address.bit or 0) % 8 for source in sources], np.uint8)

    @staticmethod
    def _byte(source: Source) -> int:
        bit = source.settings.address.bit
        if bit is None:
            return source.extent.offset
        return source.extent.offset + int(arrangement(source.settings.order, 2)[bit // 8])

    def decode(self, data: Bytes, garbled: list[int]) -> Plane:
        return cast(Plane, (data & self._masks) != 0)


class _Texts:
    """UTF-8 up to the first NUL, without the spaces that fill it up."""

    def __init__(self, sources: Sequence[Source]) -> None:
        self._columns = [source.extent.column for source in sources]
        self._places: list[slice] = []
        index: list[Index] = []
        at = 0
        for source in sources:
            length = source.settings.length or 0
            text = arrangement(source.settings.order, 2 * source.extent.count)[::-1]  # the first letter first
            index.append(source.extent.offset + text[:length])
            self._places.append(slice(at, at + length))
            at += length
        self.index = np.concatenate(index)

    def decode(self, data: Bytes, garbled: list[int]) -> Plane:
        plane = np.full(len(self._columns), "", dtype=object)
        letters = data.tobytes()
        for i, place in enumerate(self._places):
            try:
                plane[i] = letters[place].partition(b"\0")[0].decode().strip(" ")
            except UnicodeDecodeError:
                garbled.append(self._columns[i])
        return plane

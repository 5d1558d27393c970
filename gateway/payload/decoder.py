"""From the payload of a message to a scan. Pure.

| what comes                                       | what becomes of it                                             |
|--------------------------------------------------|----------------------------------------------------------------|
| no JSON, no UTF-8, too deep, no value of the group | refused as a whole                                           |
| one value missing                                | its column is not there                                        |
| one value null, of a wrong type, or out of range | its column is bad, the others are untouched                    |
| no time, though one is configured; an impossible one | all is kept at the time of arrival, uncertain, with a doubt |
| a retained message without a time of its own     | uncertain: nobody knows how old it is                          |
| a time further off than `stale_after`, either way | all is kept; it is not current, so nobody judges it            |
| the payload's own quality is not good            | all columns are bad; uncertain where it is missing             |

NaN and Infinity are not JSON (RFC 8259, 6). A document that nests deeper than the interpreter's recursion limit (1,000)
is refused by the JSON decoder, which counts its depth.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec
import numpy as np

from gateway.model import Mask, Plane, Scan, StatusCode, Statuses, TagGroup, Value, ValueType, blank
from gateway.payload import moment, path, value
from gateway.payload.path import MISSING, Path
from gateway.payload.settings import GroupSettings
from gateway.payload.value import BadValue, Convert

_GOOD = int(StatusCode.GOOD)
_UNCERTAIN = int(StatusCode.UNCERTAIN)


class Refused(ValueError):
    """Nothing of this message can be used; the text says why."""


class Decoded(NamedTuple):
    """A scan, and what is doubtful about its time; nothing if empty."""

    scan: Scan
    doubt: str


class _Column(NamedTuple):
    position: int
    path: Path
    convert: Convert
    type: ValueType


class Decoder:
    """Makes scans of one group. Knows its columns by position, their paths compiled, their types bound."""

    def __init__(self, group: TagGroup, settings: GroupSettings) -> None:
        self._group = group
        self._settings = settings
        self._columns = tuple(
            _Column(i, settings.path_of(tag.name), value.converter(tag.type), tag.type)
            for i, tag in enumerate(group.columns)
        )
        self._blanks: tuple[Value, ...] = tuple(v for span in group.spans for v in blank(span).tolist())
        self._spans = tuple((span.start, span.stop, span.type.dtype) for span in group.spans)
        self._time_path = path.parse(settings.time.path) if settings.time else None
        self._quality_path = path.parse(settings.quality.path) if settings.quality else None
        self._good = {(type(v), v) for v in settings.quality.good} if settings.quality else set()

    def decode(
        self, payload: bytes | bytearray, now: int, *, column: int | None = None, retained: bool = False
    ) -> Decoded:
        """A scan of all columns, or of the one `column` that the topic names. Raises Refused."""
        columns = self._columns if column is None else self._columns[column : column + 1]
        if self._settings.format == "text":
            document, row = None, self._plain(payload, columns)
        else:
            document = parse(payload)
            row = self._pick(document, columns)
        source_time, doubt = self._time(document, now)
        overall = self._quality(document)
        if overall == _GOOD and (doubt or (retained and self._time_path is None)):
            overall = _UNCERTAIN
        scan = Scan(self._group, source_time, now, self._planes(row.values), row.status(overall), row.mask())
        scan.current = abs(now - source_time) <= self._group.stale_after
        return Decoded(scan, doubt)

    def _pick(self, document: object, columns: tuple[_Column, ...]) -> _Row:
        row = _Row(self._blanks)
        for position, where, convert, _ in columns:
            found = path.find(document, where)
            if found is MISSING:
                continue
            row.present.append(position)
            try:
                row.values[position] = convert(found)
            except BadValue as bad:
                row.bad[position] = bad.status
        if not row.present:
            raise Refused("no value of the group is in the payload")
        return row

    def _plain(self, payload: bytes | bytearray, columns: tuple[_Column, ...]) -> _Row:
        """A text payload is one value, so there is one column for it."""
        try:
            text = payload.decode()
        except UnicodeDecodeError as error:
            raise Refused(f"the payload is not UTF-8: {error}") from None
        row = _Row(self._blanks)
        position, _, convert, wanted = columns[0]
        row.present.append(position)
        try:
            row.values[position] = convert(value.read(text, wanted))
        except BadValue as bad:
            row.bad[position] = bad.status
        return row

    def _planes(self, values: list[Value]) -> tuple[Plane, ...]:
        return tuple([np.array(values[start:stop], dtype) for start, stop, dtype in self._spans])

    def _time(self, document: object, now: int) -> tuple[int, str]:
        if self._time_path is None or self._settings.time is None:
            return now, ""
        found = path.find(document, self._time_path)
        if found is MISSING:
            return now, f"no time at {self._settings.time.path}; the time of arrival is taken instead"
        try:
            return moment.read(found, self._settings.time.format, now), ""
        except ValueError as error:
            return now, f"{error}; the time of arrival is taken instead"

    def _quality(self, document: object) -> int:
        if self._quality_path is None:
            return _GOOD
        found = path.find(document, self._quality_path)
        if found is MISSING:
            return _UNCERTAIN
        # With its type, because 0 == False and 1 == True. A list or an object cannot be looked up, and is not good.
        known = isinstance(found, bool | int | float | str) and (type(found), found) in self._good
        return _GOOD if known else int(StatusCode.BAD)


class _Row:
    """The columns of one scan while they are being collected."""

    __slots__ = ("bad", "present", "values")

    def __init__(self, blanks: tuple[Value, ...]) -> None:
        self.values = list(blanks)
        self.present: list[int] = []
        self.bad: dict[int, int] = {}

    def status(self, overall: int) -> Statuses | None:
        """`overall` for every column, but a column's own reason to be bad comes first."""
        if overall == _GOOD and not self.bad:
            return None
        status = np.full(len(self.values), overall, np.uint32)
        for position, code in self.bad.items():
            status[position] = code
        return status

    def mask(self) -> Mask | None:
        if len(self.present) == len(self.values):
            return None
        mask = np.zeros(len(self.values), np.bool_)
        mask[self.present] = True
        return mask


_decode = msgspec.json.Decoder().decode
_decode_wide = msgspec.json.Decoder(float_hook=float).decode


def parse(payload: bytes | bytearray) -> object:
    """A JSON document, its integers exact, 1e999 as infinity. Raises Refused."""
    try:
        try:
            return _decode(payload)
        except msgspec.ValidationError:
            # A number beyond a double. The slower decoder gives infinity, so that only that column is out of range.
            return _decode_wide(payload)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Refused(f"the payload is not JSON: {error}" if payload else "the payload is empty") from None
    except RecursionError:
        raise Refused("the payload is nested too deeply") from None

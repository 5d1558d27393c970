"""Rows as InfluxDB line protocol: a line a row, or a line a source time where the values of a row have their own.

Measurement = tag group, tags = site, cell and device, fields = tags, and `<tag>.q` beside a value that is not good.
Pure. A schema's lines come from one prepared template; only rows that depart from it are put together field by field.
Syntax: https://docs.influxdata.com/influxdb/v2/reference/syntax/line-protocol/
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Literal, TypeAlias

import numpy as np
import orjson

from gateway.model import Column, Mask, Plane, Quality, Rows, Schema, Span, Statuses, Times, ValueType
from gateway.sinks._rows import marks, moments, times

Unsigned: TypeAlias = Literal["unsigned", "integer", "float", "string"]

MAX_TEMPLATES = 4096

_PICTURES = {code: 0x2400 + code for code in range(0x20)} | {0x7F: 0x2421}
_SWALLOWED = re.compile(r'\\(?=[,= "]|$)')
_UINT64_FORMS: dict[Unsigned, bytes] = {"unsigned": b"%bu", "integer": b"%bi", "float": b"%b", "string": b'"%b"'}
_UINT64_LIMITS: dict[Unsigned, int] = {"integer": 2**63 - 1, "float": 2**53}
_BARE = (ValueType.BOOL, ValueType.FLOAT32, ValueType.FLOAT64, ValueType.STRING)


@dataclass(frozen=True, slots=True)
class Dialect:
    """What a server takes.

    `unsigned` is how uint64 columns are written; a value that this cannot hold exactly stands as text in the field
    `<tag>.text` (for `integer` instead of the value, for `float` beside it). `strings` is false where the server
    would turn a string into a number.
    """

    unsigned: Unsigned = "unsigned"
    strings: bool = True


class Renderer:
    """Renders rows of any schema, and remembers the template of each."""

    def __init__(self, site: str, cell: str, dialect: Dialect) -> None:
        self._site = site
        self._cell = cell
        self._dialect = dialect
        self._templates: dict[bytes, Template] = {}

    def render(self, batches: Iterable[Rows]) -> bytes:
        """The lines of all batches; a row that holds nothing gives none."""
        return b"".join(chain.from_iterable(self._lines(rows) for rows in batches))

    def _lines(self, rows: Rows) -> Iterator[bytes]:
        if not len(rows.gateway_time):
            return
        template = self._template(rows.schema)
        oddities = Oddities(rows, self._dialect)
        odd: list[bool] = np.any(oddities.anywhere, axis=1).tolist()
        planes = [texts(span, plane) for span, plane in zip(rows.schema.spans, rows.values, strict=True)]
        for row, (time, *parts) in enumerate(zip(times(rows.source_time), *planes, strict=True)):
            values = list(chain.from_iterable(parts))
            if isinstance(time, int) and not odd[row]:
                yield template.line % (*values, time)
            else:
                yield from template.compose(oddities.fields(row, values, template), time)

    def _template(self, schema: Schema) -> Template:
        template = self._templates.get(schema.digest)
        if template is None:
            if len(self._templates) >= MAX_TEMPLATES:
                self._templates.clear()
            start = head(schema.group, {"site": self._site, "cell": self._cell, "device": schema.device})
            template = self._templates[schema.digest] = Template(schema, start, self._dialect)
        return template


class Template:
    """What all lines of one schema have in common."""

    __slots__ = ("head", "line", "names", "patterns")

    def __init__(self, schema: Schema, start: bytes, dialect: Dialect) -> None:
        self.head = start
        self.names = [field_key(column.name) for column in schema.columns]
        self.patterns = [
            name.replace(b"%", b"%%") + b"=" + _form(column, dialect)
            for name, column in zip(self.names, schema.columns, strict=True)
        ]
        self.line = start.replace(b"%", b"%%") + b",".join(self.patterns) + b" %d\n"

    def compose(self, fields: Sequence[bytes], time: int | Times) -> Iterator[bytes]:
        """One line for each source time among the fields that are not empty."""
        for moment, columns in moments(time, [i for i, field in enumerate(fields) if field]):
            yield b"%b%b %d\n" % (self.head, b",".join([fields[i] for i in columns]), moment)


class Oddities:
    """Where rows depart from their template, in arrays of shape (rows, columns).

    `hidden`: the value is not written. `codes`: what `.q` says, 0 for nothing. `spelled`: `.text` says the value.
    `anywhere`: any of the three.
    """

    __slots__ = ("anywhere", "codes", "hidden", "spelled")

    def __init__(self, rows: Rows, dialect: Dialect) -> None:
        self.codes: Statuses = marks(rows)
        bad = self.codes >> 30 >= Quality.BAD
        absent = np.False_ if rows.present is None else ~rows.present
        self.hidden: Mask = bad | absent
        self.spelled: Mask = np.zeros_like(self.hidden)
        for span, plane in zip(rows.schema.spans, rows.values, strict=True):
            self._examine(span, plane, dialect)
        self.spelled &= ~(bad | absent)
        self.anywhere: Mask = np.logical_or(self.hidden | self.spelled, self.codes)

    def _examine(self, span: Span, plane: Plane, dialect: Dialect) -> None:
        here = np.s_[:, span.start : span.stop]
        if span.type.is_float:
            self.hidden[here] |= ~np.isfinite(plane)
        elif span.type is ValueType.STRING:
            self.hidden[here] |= not dialect.strings
        elif span.type is ValueType.UINT64 and dialect.unsigned in _UINT64_LIMITS:
            self.spelled[here] = plane > np.uint64(_UINT64_LIMITS[dialect.unsigned])
            self.hidden[here] |= self.spelled[here] & (dialect.unsigned == "integer")

    def fields(self, row: int, values: Sequence[bytes], template: Template) -> list[bytes]:
        """A row, field by field; empty where nothing is to be written."""
        fields = [pattern % value for pattern, value in zip(template.patterns, values, strict=True)]
        odd = np.flatnonzero(self.anywhere[row])
        states = zip(*(array[row, odd].tolist() for array in (self.hidden, self.codes, self.spelled)), strict=True)
        for i, (hide, code, spell) in zip(odd.tolist(), states, strict=True):
            parts = [] if hide else [fields[i]]
            if code:
                parts.append(b"%b.q=%di" % (template.names[i], code))
            if spell:
                parts.append(b'%b.text="%b"' % (template.names[i], values[i]))
            fields[i] = b",".join(parts)
        return fields


def texts(span: Span, plane: Plane) -> Iterator[list[bytes]]:
    """Row by row, the values of one plane as text: numbers in the fewest digits that give the same value again (a
    float32 as a float32), strings in quotes, and anything at all where a float is not finite."""
    if span.type is ValueType.STRING:
        yield from ([quote(str(value)) for value in row] for row in plane)
        return
    body = orjson.dumps(np.ascontiguousarray(plane), option=orjson.OPT_SERIALIZE_NUMPY)
    # Row after row: to split all rows at once takes twice as long, for want of cache.
    yield from (row.split(b",") for row in body[2:-2].split(b"],["))


def head(measurement: str, tags: Mapping[str, str]) -> bytes:
    """The start of a line, up to its fields. Tags go sorted by key; a tag without a value goes nowhere."""
    parts = [_measurement(measurement)]
    parts += [_name(key) + b"=" + _name(value) for key, value in sorted(tags.items()) if value]
    return b",".join(parts) + b" "


def field_key(name: str) -> bytes:
    """InfluxDB refuses a field called `time`."""
    return b"time_" if name == "time" else _name(name)


def quote(text: str) -> bytes:
    """A string field. A lone surrogate, which UTF-8 cannot carry, becomes `?`."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return b'"%b"' % escaped.encode("utf-8", "replace")


def _form(column: Column, dialect: Dialect) -> bytes:
    if column.type is ValueType.UINT64:
        return _UINT64_FORMS[dialect.unsigned]
    return b"%b" if column.type in _BARE else b"%bi"


def _measurement(name: str) -> bytes:
    # A line that starts with # is a comment.
    return _bearable("＃" + name[1:] if name.startswith("#") else name, ", ")


def _name(name: str) -> bytes:
    return _bearable(name, ",= ")


def _bearable(name: str, special: str) -> bytes:
    """A name, escaped, with what names cannot carry replaced by its look-alike: control characters by their Unicode
    pictures, and a backslash that would swallow the character behind it by U+FF3C."""
    name = _SWALLOWED.sub("＼", name.translate(_PICTURES))
    for character in special:
        name = name.replace(character, "\\" + character)
    return name.encode("utf-8", "replace")

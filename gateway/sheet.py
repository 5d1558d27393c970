"""Tags as rows of a spreadsheet, and back, exactly. Pure.

A cell is empty where a setting is not given. What a spreadsheet would run as a formula begins with an apostrophe, and
so does every other text that would not come back as it is: an empty one, one that begins with an apostrophe, one with
space around it. Numbers, truths and bare text are as in YAML; lists and mappings are JSON.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, Final

from pydantic import BaseModel

from gateway.fields import TagSettings
from gateway.problems import Place, Report, listed, shown, suggestion
from gateway.scalar import resolve
from gateway.survey import Plain

PLACE: Final = ("device", "group", "tag")
FIXED: Final = (*PLACE, "type", "unit", "low", "high", "deadband", "writable", "description")
MOST_BYTES: Final = 16 << 20

_FORMULA: Final = frozenset("=+-@\t\r\n＝＋－＠")
_DECIMAL_COMMA = re.compile(r"[-+]?\d+,\d+(?:[eE][-+]?\d+)?")


class Kind(Enum):
    """What the cells of a column hold."""

    TEXT = auto()
    SCALAR = auto()
    STRUCTURE = auto()


@dataclass(frozen=True, slots=True)
class Row:
    """One tag. `number` counts as a spreadsheet does: the row with the names of the columns is 1."""

    number: int
    cells: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Sheet:
    """The columns in their order, and the rows that are not empty. `delimiter` says how numbers may be written."""

    file: str
    columns: Sequence[str]
    rows: Sequence[Row]
    delimiter: str = ","

    def place(self, row: Row, column: str = PLACE[0]) -> Place:
        return Place(self.file, row.number, self.columns.index(column) + 1 if column in self.columns else 1)


def columns(models: Iterable[type[TagSettings]]) -> list[str]:
    """What tags of these kinds have: first what all have, then what each of them adds."""
    own = [name for model in models for name in model.model_fields if name not in TagSettings.model_fields]
    return list(dict.fromkeys([*FIXED, *own]))


# Out


def write(names: Sequence[str], rows: Iterable[Mapping[str, str]]) -> str:
    out = io.StringIO()
    writer = csv.DictWriter(out, names, restval="")  # lines end as in RFC 4180, 2
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


def cells(body: Mapping[str, object]) -> dict[str, str]:
    """The settings of a tag, as they stand in a configuration."""
    made = {name: cell(value) for name, value in body.items() if name != "range"}
    limits = body.get("range")
    if isinstance(limits, list):
        made["low"], made["high"] = map(cell, limits)
    return made


def cell(value: object) -> str:
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case int() | float():
            return repr(value)
        case str():
            is_safe = value and value == value.strip() and value[0] not in _FORMULA and not value.startswith("'")
            return value if is_safe else f"'{value}"
    return json.dumps(value, ensure_ascii=False)


# In


def read(content: bytes, file: str, report: Report) -> Sheet:
    """An empty sheet where it cannot be read at all; the report says all that is wrong."""
    empty = Sheet(file, (), ())
    if len(content) > MOST_BYTES:
        report.add(Place(file), f"the file is larger than {MOST_BYTES >> 20} MiB")
        return empty
    try:
        text = content.decode("utf-8-sig")
        delimiter = _delimiter(text)
        records = list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True))
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        report.add(Place(file, line, 1), "this is not UTF-8", 'save it as "CSV UTF-8"')
        return empty
    except csv.Error as error:
        report.add(Place(file), f"this is not CSV: {error}", "look for a quote that is not closed")
        return empty
    names = [name.strip() for name in records[0]] if records else []
    missing = [name for name in PLACE if name not in names]
    if missing:
        hint = f"the first row has the names of the columns: {', '.join(FIXED[:4])}, …"
        report.add(Place(file, 1, 1), f"there is no column {shown(missing[0])}", hint)
        return empty
    rows = [row for number, record in enumerate(records[1:], 2) if (row := _row(number, names, record, file, report))]
    return Sheet(file, names, rows, delimiter)


def check_columns(sheet: Sheet, known: Sequence[str], report: Report) -> bool:
    """Whether all are known, and each stands there once."""
    seen: set[str] = set()
    before = len(report)
    for number, name in enumerate(sheet.columns, 1):
        place = Place(sheet.file, 1, number)
        if name in seen:
            report.add(place, f"the column {shown(name)} stands here a second time")
        elif name and name not in known:
            report.add(place, f"unknown column {shown(name)}", suggestion(name, known, "columns"))
        seen.add(name)
    return len(report) == before


def body(sheet: Sheet, row: Row, model: type[TagSettings], report: Report) -> dict[str, tuple[Plain, str]]:
    """The settings in a row, each with its column. What a `model` does not have is kept, for it to refuse."""
    kinds = kinds_of(model)
    made: dict[str, tuple[Plain, str]] = {}
    for column in sheet.columns:
        text = row.cells.get(column, "")
        if column in PLACE or not text:
            continue
        try:
            value = _value(text, kinds.get(column, Kind.SCALAR), sheet.delimiter)
        except ValueError as error:
            report.add(sheet.place(row, column), str(error), "", (column,))
            continue
        made[column] = value, column
    return _with_range(sheet, row, made, report)


def _with_range(
    sheet: Sheet, row: Row, made: dict[str, tuple[Plain, str]], report: Report
) -> dict[str, tuple[Plain, str]]:
    low, high = made.pop("low", None), made.pop("high", None)
    if low and high:
        made["range"] = [low[0], high[0]], "low"
    elif low or high:
        there = "low" if low else "high"
        report.add(sheet.place(row, there), "a range has two ends", "fill low and high, or none of them")
    return made


def kinds_of(model: type[BaseModel]) -> dict[str, Kind]:
    """What the cells of each column hold, as the settings of the tag want it."""
    schema = model.model_json_schema()
    definitions: dict[str, Any] = schema.get("$defs", {})
    kinds = {}
    for name, field in schema["properties"].items():
        types = set(_types(field, definitions))
        is_structure = bool(types & {"object", "array"})
        kinds[name] = Kind.TEXT if "string" in types else Kind.STRUCTURE if is_structure else Kind.SCALAR
    return kinds


def _types(schema: dict[str, Any], definitions: dict[str, Any]) -> Iterator[str]:
    if "$ref" in schema:
        yield from _types(definitions[schema["$ref"].rpartition("/")[2]], definitions)
    for branch in schema.get("anyOf", ()):
        yield from _types(branch, definitions)
    if "type" in schema:
        yield schema["type"]


def _value(text: str, kind: Kind, delimiter: str) -> Plain:
    if text.startswith("'"):
        return text[1:]
    text = text.strip()
    if kind is Kind.TEXT:
        return text
    if kind is Kind.STRUCTURE:
        try:
            made: Plain = json.loads(text)
        except ValueError as error:
            raise ValueError(f"{shown(text)} is no JSON: {error}") from None
        return made
    if delimiter != "," and _DECIMAL_COMMA.fullmatch(text):
        text = text.replace(",", ".")
    value = resolve(text)
    return text if value is None else value


def _delimiter(text: str) -> str:
    """The one that makes more columns of the first line."""
    first = text.partition("\n")[0]
    return max(",;\t", key=lambda each: len(first.split(each)))


def _row(number: int, names: Sequence[str], record: Sequence[str], file: str, report: Report) -> Row | None:
    if not any(cell.strip() for cell in record):
        return None
    beyond = [i for i, cell in enumerate(record) if cell.strip() and (i >= len(names) or not names[i])]
    for i in beyond:
        report.add(Place(file, number, i + 1), "this column has no name", f"the columns are: {listed(names)}")
    return Row(number, {name: cell for name, cell in zip(names, record, strict=False) if cell.strip()})

"""Tags as rows, and back: exactly, and harmless for whoever opens them in a spreadsheet."""

from __future__ import annotations

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.coap import TagSettings as CoapTag
from drivers.modbus import TagSettings as ModbusTag
from drivers.mqtt import TagSettings as MqttTag
from gateway import sheet
from gateway.problems import Report
from gateway.sheet import FIXED, Kind, Sheet
from gateway.survey import Plain

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
FORMULAS = st.sampled_from(
    ["=1+1", "@SUM(A1)", "+1", "-2", "'quoted", "", " x ", "\t=1", "\r", "＝1", '"', ";", "a,b", "\n"]
)
NUMBERS = st.integers(-(2**63), 2**64) | st.floats(allow_nan=False, allow_infinity=False)
BODIES = st.fixed_dictionaries(
    {"type": st.sampled_from(["float32", "bool"])},
    optional={
        "unit": TEXT | FORMULAS,
        "description": TEXT | FORMULAS,
        "range": st.tuples(NUMBERS, NUMBERS).map(list),
        "deadband": NUMBERS,
        "writable": st.booleans(),
        "path": TEXT | FORMULAS,
        "command": st.dictionaries(TEXT, TEXT, max_size=3),
    },
)


def read(text: str | bytes) -> tuple[Sheet, list[str]]:
    report = Report()
    page = sheet.read(text.encode() if isinstance(text, str) else text, "tags.csv", report)
    return page, [str(problem) for problem in report]


def saved_with(delimiter: str, text: str) -> str:
    """As a spreadsheet saves it that separates its cells otherwise."""
    out = io.StringIO()
    csv.writer(out, delimiter=delimiter).writerows(csv.reader(io.StringIO(text, newline="")))
    return out.getvalue()


@given(st.lists(BODIES, min_size=1, max_size=5), st.sampled_from(",;\t"), st.booleans())
def test_round_trip(bodies: list[dict[str, Plain]], delimiter: str, marked: bool) -> None:
    columns = sheet.columns([CoapTag])
    text = sheet.write(columns, [{"device": "d", "group": "g", "tag": "t", **sheet.cells(each)} for each in bodies])
    page, problems = read("\ufeff" * marked + saved_with(delimiter, text))
    assert not problems
    report = Report()
    found = [sheet.body(page, row, CoapTag, report) for row in page.rows]
    assert not list(report)
    assert [{name: value for name, (value, _) in each.items()} for each in found] == bodies


@given(BODIES)
def test_no_cell_is_a_formula(body: dict[str, Plain]) -> None:
    for cell in sheet.cells(body).values():
        assert cell[:1] not in tuple("=+@\t\r\n＝＋－＠")
        assert not cell.startswith("-") or float(cell) <= 0  # a number is no formula


def test_the_columns_are_those_of_all_drivers() -> None:
    assert sheet.columns([ModbusTag, MqttTag]) == [
        *FIXED,
        *("address", "raw", "order", "scale", "offset", "length", "path", "command_topic"),
    ]


def test_what_the_cells_of_a_column_hold_is_taken_from_the_settings() -> None:
    kinds = sheet.kinds_of(CoapTag)
    assert (kinds["type"], kinds["unit"], kinds["path"]) == (Kind.TEXT,) * 3
    assert (kinds["deadband"], kinds["writable"]) == (Kind.SCALAR,) * 2
    assert (kinds["range"], kinds["command"]) == (Kind.STRUCTURE,) * 2
    modbus = sheet.kinds_of(ModbusTag)
    assert (modbus["address"], modbus["order"], modbus["scale"], modbus["length"]) == (
        Kind.TEXT,
        Kind.TEXT,
        Kind.SCALAR,
        Kind.SCALAR,
    )


def body(text: str) -> tuple[dict[str, Plain], list[str]]:
    page, problems = read(text)
    assert not problems
    report = Report()
    found = sheet.body(page, page.rows[0], ModbusTag, report)
    return {name: value for name, (value, _) in found.items()}, [str(problem) for problem in report]


def test_what_spreadsheets_do_to_numbers_and_truths_is_understood() -> None:
    text = "device;group;tag;type;scale;low;high;writable;unit\nd;g;t;float32;0,1;-1,5;2,5e3;TRUE;  °C \n"
    assert body(text) == (
        {"type": "float32", "scale": 0.1, "writable": True, "unit": "°C", "range": [-1.5, 2500.0]},
        [],
    )


def test_a_comma_in_a_number_is_none_where_commas_part_the_columns() -> None:
    found, _ = body('device,group,tag,scale\nd,g,t,"0,1"\n')
    assert found == {"scale": "0,1"}


def test_half_a_range() -> None:
    _, problems = body("device,group,tag,low,high\nd,g,t,,5\n")
    assert problems == ["tags.csv:2:5: a range has two ends\n    fill low and high, or none of them"]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", 'tags.csv:1:1: there is no column "device"'),
        ("device,tag\n", 'tags.csv:1:1: there is no column "group"'),
        (b"device,group,tag\nd,g,\xff\n", "tags.csv:2:1: this is not UTF-8"),
        ('device,group,tag\nd,g,"x\n', "tags.csv: this is not CSV"),
        ("device,group,tag\nd,g,t,what\n", "tags.csv:2:4: this column has no name"),
        ("device,group,,tag\nd,g,what,t\n", "tags.csv:2:3: this column has no name"),
    ],
)
def test_what_cannot_be_read(text: str | bytes, problem: str) -> None:
    _, problems = read(text)
    assert len(problems) == 1
    assert problems[0].startswith(problem)


def test_empty_rows_are_passed_over_and_rows_are_counted_as_the_spreadsheet_does() -> None:
    page, _ = read('device,group,tag,description\n\nd,g,t,"two\nlines"\n,,,\nd,g,u,\n')
    assert [(row.number, row.cells["tag"]) for row in page.rows] == [(3, "t"), (5, "u")]


def test_unknown_and_double_columns() -> None:
    page, _ = read("device,group,tag,adress,type,type\n")
    report = Report()
    sheet.check_columns(page, sheet.columns([ModbusTag]), report)
    assert [str(problem) for problem in report] == [
        'tags.csv:1:4: unknown column "adress"\n    did you mean "address"?',
        'tags.csv:1:6: the column "type" stands here a second time',
    ]

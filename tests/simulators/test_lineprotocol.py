from __future__ import annotations

import math
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from influxdb_client.client.write.point import Point as Written

from simulators.lineprotocol import Field, Malformed, parse, split

SURROGATE: tuple[Literal["Cs"]] = ("Cs",)
CONTROL: tuple[Literal["Cc"], Literal["Cs"]] = ("Cc", "Cs")

# Names as a careful writer makes them: influxdb-client escapes no backslash, and turns line breaks into text.
NAMES = st.text(st.characters(exclude_characters='\\\n\r\t"', exclude_categories=CONTROL), min_size=1, max_size=8)
SCALARS = (
    st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=SURROGATE), max_size=12)
)
TYPES = {bool: "boolean", int: "integer", float: "float", str: "string"}


@given(
    NAMES.filter(lambda n: n[0] != "#"),
    st.dictionaries(NAMES, NAMES, max_size=3),
    st.dictionaries(NAMES, SCALARS, min_size=1),
    st.integers(0, 2**62),
)
def test_what_influxdb_client_writes_is_read_back(
    measurement: str, tags: dict[str, str], fields: dict[str, bool | int | float | str], time: int
) -> None:
    written = Written(measurement).time(time)  # type: ignore[no-untyped-call]
    for key, tag in tags.items():
        written.tag(key, tag)
    for key, value in fields.items():
        written.field(key, value)
    (line,) = split(written.to_line_protocol())
    point = parse(line)
    assert (point.measurement, dict(point.tags), point.time) == (measurement, tags, time)
    assert {key: field for key, field in point.fields} == {key: Field(TYPES[type(v)], v) for key, v in fields.items()}


@given(st.text(st.characters(codec="utf-8"), max_size=40) | st.text('m,a=1 i"\\\n-.u', max_size=40))
def test_any_text_is_read_or_refused(text: str) -> None:
    for line in split(text):
        try:
            point = parse(line)
        except Malformed:
            continue
        assert point.fields
        assert all(not isinstance(f.value, float) or math.isfinite(f.value) for _, f in point.fields)


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("1", Field("float", 1.0)),
        ("-1.5e3", Field("float", -1500.0)),
        (".5", Field("float", 0.5)),
        ("9223372036854775807i", Field("integer", 2**63 - 1)),
        ("18446744073709551615u", Field("unsigned", 2**64 - 1)),
        ("T", Field("boolean", True)),
        ("false", Field("boolean", False)),
        ('"a \\"b\\" \\\\ , = c"', Field("string", 'a "b" \\ , = c')),
        ('""', Field("string", "")),
    ],
)
def test_field_types(text: str, field: Field) -> None:
    assert parse(f"m v={text} 5").fields == (("v", field),)


def test_names_are_unescaped() -> None:
    point = parse(r"my\ m\,x\=,tag\ a=b\=c\,\d f\,1=1")
    assert (point.measurement, point.tags, point.fields[0][0], point.time) == (
        r"my m,x\=",
        (("tag a", r"b=c,\d"),),
        "f,1",
        None,
    )


@pytest.mark.parametrize(
    "line",
    [
        "m",
        "m ",
        "m v",
        "m v=",
        "m v=1 ",
        "m  v=1",
        "m v=1  5",
        "m v=1 5.0",
        "m v=1 99999999999999999999",
        "m v=1 9223372036854775808",
        "m v=1,",
        "m v=1,v=2",
        "m,a= v=1",
        "m,=b v=1",
        "m,a=b,a=c v=1",
        "m,a v=1",
        "m, v=1",
        ",a=b v=1",
        " v=1",
        "m v=NaN",
        "m v=inf",
        "m v=1e999",
        "m v=nonsense",
        "m v=1.5i",
        "m v=9223372036854775808i",
        "m v=-1u",
        "m v=TrUe",
        'm v="open',
        'm v="a"b',
        r"m\ v=1",
    ],
)
def test_what_a_writer_should_not_write_is_refused(line: str) -> None:
    with pytest.raises(Malformed):
        parse(line)


def test_a_line_break_in_a_string_ends_no_line() -> None:
    assert split('m v="a\nb" 1\n\n# comment\nm v=2 2\n') == ['m v="a\nb" 1', "m v=2 2"]

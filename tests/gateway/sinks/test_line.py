from __future__ import annotations

import struct
from collections.abc import Mapping

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.model import Rows, Value, ValueType
from gateway.sinks import _line
from gateway.sinks._line import Dialect, Renderer, Unsigned
from tests.gateway.sinks.lineprotocol import Line, parse
from tests.gateway.sinks.samples import NOT_CONNECTED, START, UNCERTAIN, rows

F32, F64, U64, TEXT = ValueType.FLOAT32, ValueType.FLOAT64, ValueType.UINT64, ValueType.STRING
TWO: Mapping[str, ValueType] = {"speed": ValueType.INT16, "load": F32}
HEAD = b"fast,cell=line-a,device=press-1,site=plant-1 "

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
# What stands in names as it is: everything but control characters and backslashes.
plain = st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\\"), min_size=1, max_size=12)


def render(*batches: Rows, unsigned: Unsigned = "unsigned", strings: bool = True) -> bytes:
    return Renderer("plant-1", "line-a", Dialect(unsigned, strings)).render(batches)


def read(*batches: Rows, site: str = "plant-1", cell: str = "line-a") -> list[Line]:
    return parse(Renderer(site, cell, Dialect()).render(batches).decode())


def test_one_line_a_row() -> None:
    body = render(rows(TWO, (7, 0.1), (-7, 2.0)))
    assert body == HEAD + b"speed=7i,load=0.1 %d\n" % START + HEAD + b"speed=-7i,load=2.0 %d\n" % (
        START + 1_000_000_000
    )


@pytest.mark.parametrize(
    ("type", "value", "text"),
    [
        (ValueType.BOOL, True, b"true"),
        (ValueType.BOOL, False, b"false"),
        (ValueType.INT8, -128, b"-128i"),
        (ValueType.UINT8, 255, b"255i"),
        (ValueType.UINT32, 2**32 - 1, b"4294967295i"),
        (ValueType.INT64, -(2**63), b"-9223372036854775808i"),
        (ValueType.INT64, 2**63 - 1, b"9223372036854775807i"),
        (U64, 2**64 - 1, b"18446744073709551615u"),
        (F32, 0.1, b"0.1"),
        (F32, 16777216.0, b"16777216.0"),
        (F64, 0.1 + 0.2, b"0.30000000000000004"),
        (F64, -0.0, b"-0.0"),
        (TEXT, 'say "no" \\ ü', b'"say \\"no\\" \\\\ \xc3\xbc"'),
        (TEXT, "two\nlines", b'"two\nlines"'),
        (TEXT, "\ud800", b'"?"'),
    ],
)
def test_every_type(type: ValueType, value: Value, text: bytes) -> None:
    assert render(rows({"x": type}, (value,))) == HEAD + b"x=%b %d\n" % (text, START)


@given(st.floats(width=32, allow_nan=False, allow_infinity=False))
def test_a_float32_comes_back_as_it_was(value: float) -> None:
    ((kind, text),) = read(rows({"x": F32}, (value,)))[0].fields.values()
    assert (kind, struct.pack("f", float(text))) == ("float", struct.pack("f", value))


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_float64_comes_back_as_it_was(value: float) -> None:
    ((kind, text),) = read(rows({"x": F64}, (value,)))[0].fields.values()
    assert (kind, struct.pack("d", float(text))) == ("float", struct.pack("d", value))


def test_a_bad_value_leaves_only_its_code() -> None:
    body = render(rows(TWO, (7, 0.5), status=[[NOT_CONNECTED, 0]]))
    assert body == HEAD + b"speed.q=%di,load=0.5 %d\n" % (NOT_CONNECTED, START)


def test_an_uncertain_value_stands_beside_its_code() -> None:
    body = render(rows(TWO, (7, 0.5), status=[[0, UNCERTAIN]]))
    assert body == HEAD + b"speed=7i,load=0.5,load.q=%di %d\n" % (UNCERTAIN, START)


def test_a_good_code_is_not_worth_a_field() -> None:
    good_clamped = 0x0030_0000
    assert render(rows(TWO, (7, 0.5), status=[[good_clamped, 0]])) == render(rows(TWO, (7, 0.5)))


def test_severity_three_is_bad() -> None:
    assert render(rows({"x": F64}, (1.0,), status=[[0xC000_0000]])) == HEAD + b"x.q=3221225472i %d\n" % START


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("type", [F32, F64])
def test_no_finite_number_is_bad(type: ValueType, value: float) -> None:
    body = render(rows({"x": type, "y": type}, (value, 1.5)))
    assert body == HEAD + b"x.q=2147483648i,y=1.5 %d\n" % START


def test_no_finite_number_keeps_the_code_it_came_with() -> None:
    assert render(rows({"x": F64}, (float("nan"),), status=[[UNCERTAIN]])) == HEAD + b"x.q=%di %d\n" % (
        UNCERTAIN,
        START,
    )


def test_what_is_not_there_is_left_out() -> None:
    batch = rows(TWO, (7, float("nan")), (8, 1.5), present=[[True, False], [False, True]], status=[[0, UNCERTAIN]] * 2)
    assert [line.fields for line in parse(render(batch).decode())] == [
        {"speed": ("integer", "7")},
        {"load": ("float", "1.5"), "load.q": ("integer", str(UNCERTAIN))},
    ]


def test_a_row_with_nothing_in_it_gives_no_line() -> None:
    assert render(rows(TWO, (7, 0.5), present=[[False, False]])) == b""
    assert render(rows(TWO)) == b""
    assert render() == b""


def test_each_source_time_has_its_line() -> None:
    columns = {"a": F64, "b": F64, "c": F64}
    batch = rows(columns, (1.0, 2.0, 3.0), (4.0, 5.0, 6.0), times=[[30, 10, 30], [40, 40, 40]])
    assert render(batch) == HEAD + b"b=2.0 10\n" + HEAD + b"a=1.0,c=3.0 30\n" + HEAD + b"a=4.0,b=5.0,c=6.0 40\n"


def test_the_time_of_what_is_not_there_means_nothing() -> None:
    batch = rows({"a": F64, "b": F64}, (1.0, 2.0), times=[[10, 99]], present=[[True, False]])
    assert render(batch) == HEAD + b"a=1.0 10\n"


@pytest.mark.parametrize(
    ("unsigned", "small", "large"),
    [
        ("unsigned", b"x=5u", b"x=18446744073709551615u"),
        ("integer", b"x=5i", b'x.text="18446744073709551615"'),
        ("float", b"x=5", b'x=18446744073709551615,x.text="18446744073709551615"'),
        ("string", b'x="5"', b'x="18446744073709551615"'),
    ],
)
def test_what_a_server_cannot_hold_exactly_is_marked(unsigned: Unsigned, small: bytes, large: bytes) -> None:
    body = render(rows({"x": U64}, (5,), (2**64 - 1,), times=[1, 2]), unsigned=unsigned)
    assert body == HEAD + small + b" 1\n" + HEAD + large + b" 2\n"


def test_the_largest_integer_needs_no_substitute() -> None:
    assert render(rows({"x": U64}, (2**63 - 1,)), unsigned="integer") == HEAD + b"x=9223372036854775807i %d\n" % START


def test_a_bad_unsigned_has_no_substitute_either() -> None:
    body = render(rows({"x": U64}, (2**64 - 1,), status=[[NOT_CONNECTED]]), unsigned="integer")
    assert body == HEAD + b"x.q=%di %d\n" % (NOT_CONNECTED, START)


def test_strings_stay_here_where_the_server_takes_none() -> None:
    assert render(rows({"x": F64, "s": TEXT}, (1.0, "run")), strings=False) == HEAD + b"x=1.0 %d\n" % START


def test_names_are_escaped() -> None:
    batch = rows({"a b,c=d%": F64}, (1.0,), device="press 1", group="f,a=s t")
    assert render(batch).startswith(rb"f\,a=s\ t,cell=line-a,device=press\ 1,site=plant-1 a\ b\,c\=d%=1.0 ")


def test_what_a_name_cannot_carry_is_replaced_by_its_look_alike() -> None:
    batch = rows({"time": F64, "a\\=b": F64, "c\\": F64}, (1.0, 2.0, 3.0), device="end\\", group="#1\n")
    line = read(batch)[0]
    assert (line.measurement, line.tags["device"]) == ("＃1␊", "end＼")
    assert list(line.fields) == ["time_", "a＼=b", "c＼"]


def test_a_tag_without_a_value_goes_nowhere() -> None:
    assert read(rows({"x": F64}, (1.0,)), site="", cell="")[0].tags == {"device": "press-1"}


@given(plain, plain, plain, plain, texts)
def test_plain_names_and_any_string_come_back(site: str, device: str, group: str, name: str, text: str) -> None:
    batch = rows({name: TEXT}, (text,), device=device, group=group)
    (line,) = read(batch, site=site)
    field = "time_" if name == "time" else name
    assert line.tags == {"cell": "line-a", "device": device, "site": site}
    assert line.measurement == ("＃" + group[1:] if group.startswith("#") else group)
    assert line.fields == {field: ("string", text)}


@given(texts.filter(bool), texts.filter(bool), texts.filter(bool))
def test_no_name_breaks_a_line(device: str, group: str, name: str) -> None:
    (line,) = read(rows({name: F64}, (1.5,), device=device, group=group))
    assert line.time == START
    assert line.tags.keys() == {"cell", "device", "site"}
    assert list(line.fields.values()) == [("float", "1.5")]


@given(
    st.lists(
        st.tuples(st.booleans(), st.integers(-(2**63), 2**63 - 1), st.integers(0, 2**64 - 1), st.floats(), texts),
        min_size=1,
        max_size=4,
    )
)
def test_both_ways_of_putting_a_row_together_agree(values: list[tuple[bool, int, int, float, str]]) -> None:
    columns = {"b": ValueType.BOOL, "i": ValueType.INT64, "u": U64, "f": F64, "s": TEXT}
    with_absent = [(*row, "never") for row in values]
    absent = rows({**columns, "absent": TEXT}, *with_absent, present=[[True] * 5 + [False]] * len(values))
    assert render(absent) == render(rows(columns, *values))


def test_only_so_many_templates_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_line, "MAX_TEMPLATES", 2)
    renderer = Renderer("plant-1", "line-a", Dialect())
    for group in ("a", "b", "c", "a"):
        assert renderer.render([rows({"x": F64}, (1.0,), group=group)]).startswith(group.encode())
        assert len(renderer._templates) <= 2


def test_planes_need_not_be_contiguous() -> None:
    batch = rows({"x": F32, "y": F32}, (1.0, 2.0), (3.0, 4.0))
    turned = Rows(batch.schema, batch.source_time, batch.gateway_time, (np.asfortranarray(batch.values[0]),))
    assert render(turned) == render(batch)

"""Types and units are checked when an expression is loaded, and literals put into the units of their tags."""

from __future__ import annotations

import pytest

from gateway.model import Tag, Value, ValueType
from rules.expression import ExpressionError, Sort, build, parse, settle

TAGS = {
    tag.id: tag
    for tag in (
        Tag("a/pressure", ValueType.FLOAT64, "bar"),
        Tag("a/setpoint", ValueType.FLOAT64, "bar"),
        Tag("a/temperature", ValueType.FLOAT64, "°C"),
        Tag("a/speed", ValueType.FLOAT64, "m/s"),
        Tag("a/gauge", ValueType.FLOAT64, "bar(g)"),
        Tag("a/cycle", ValueType.UINT32, "ms"),
        Tag("a/pause", ValueType.UINT32, "s"),
        Tag("a/small", ValueType.FLOAT32),
        Tag("a/bare", ValueType.INT64),
        Tag("a/on", ValueType.BOOL),
        Tag("a/mode", ValueType.STRING),
    )
}


def unit(text: str) -> str:
    """Of a number."""
    kind = settle(parse(text).tree, TAGS)[1]
    assert kind.sort is Sort.NUMBER
    return kind.unit


def run(text: str, **values: Value) -> Value | None:
    slots = {id_: slot for slot, id_ in enumerate(TAGS)}
    evaluate = build(settle(parse(text).tree, TAGS)[0], slots)
    return evaluate([values.get(id_.removeprefix("a/")) for id_ in TAGS])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a/pressure", "bar"),
        ("-a/pressure", "bar"),
        ("a/pressure + 1", "bar"),
        ("1 - a/pressure", "bar"),
        ("a/pressure - a/bare", "bar"),
        ("abs(a/pressure - a/setpoint)", "bar"),
        ("max(a/pressure, 2 bar, 5)", "bar"),
        ("2 * a/pressure", "bar"),
        ("a/pressure / 2", "bar"),
        ("a/pressure / a/setpoint", ""),
        ("2 / a/pressure", ""),
        ("a/pressure * a/speed", ""),
        ("a/bare", ""),
        ("5 bar", "bar"),
    ],
)
def test_the_unit_of_what_is_computed(text: str, expected: str) -> None:
    assert unit(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "a/pressure > 2.5 bar",
        "a/pressure > 2.5bar",
        "2.5 bar < a/pressure",
        "a/pressure > a/bare",
        "a/pressure - a/setpoint > 0.5 bar",
        "a/temperature > 80 °C",
        "a/temperature > 80°C",
        "a/speed > 5 m/s and a/on",
        'a/gauge > 5 "bar(g)" or a/on',
        "a/pressure * a/speed > 5",
    ],
)
def test_units_that_go_together(text: str) -> None:
    assert settle(parse(text).tree, TAGS)[1].sort is Sort.TRUTH


@pytest.mark.parametrize(
    ("text", "at", "message"),
    [
        ("a/pressure > 2 psi", 13, 'the units "bar" and "psi" do not go together'),
        ("a/pressure > a/temperature", 13, 'the units "bar" and "°C" do not go together'),
        ("a/pressure + a/speed > 5", 13, 'the units "bar" and "m/s" do not go together'),
        ("a/cycle > a/pause", 10, 'the units "ms" and "s" do not go together'),
        ("a/bare > 5 bar", 9, 'what this is compared with has no unit "bar"'),
        ("a/pressure / a/setpoint > 2 bar", 26, 'what this is compared with has no unit "bar"'),
        ("min(a/pressure, 2 psi) > 1", 16, 'the units "bar" and "psi" do not go together'),
        ("a/pressure between 1 bar and 2 psi", 29, 'the units "bar" and "psi" do not go together'),
    ],
)
def test_units_that_do_not_go_together(text: str, at: int, message: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        settle(parse(text).tree, TAGS)
    assert (caught.value.at, caught.value.message) == (at, message)


def test_times_are_converted_exactly() -> None:
    assert run("a/cycle > 5 s", cycle=5000) is False
    assert run("a/cycle > 5 s", cycle=5001) is True
    assert run("a/cycle == 0.1 s", cycle=100) is True
    assert run("a/cycle == 1.5 min", cycle=90_000) is True
    assert run("a/pause == 1500 ms", pause=1) is False
    assert run("a/pause between -1 min and 1 h", pause=3600) is True
    assert run("a/cycle + 1 s == 2 s", cycle=1000) is True


def test_beside_a_float32_a_number_is_the_nearest_float32() -> None:
    tenth = 0.10000000149011612  # what a float32 makes of 0.1
    assert run("a/small > 0.1", small=tenth) is False
    assert run("a/small == 0.1", small=tenth) is True
    assert run("a/small between 0.1 and 1", small=tenth) is True
    assert run("a/small == 16777217", small=16777216.0) is True
    assert run("a/small < 1e60", small=3.4e38) is True
    assert run("a/pressure > 0.1", pressure=tenth) is True, "a float64 can tell them apart"
    assert run("0.1 < 0.10000000001") is True


def test_whole_numbers_are_exact() -> None:
    assert run("a/bare == 9007199254740993", bare=2**53 + 1) is True
    assert run("a/bare == 9007199254740992", bare=2**53 + 1) is False
    assert run("a/bare == 9007199254740992.0", bare=2**53 + 1) is False
    assert run("a/bare * a/bare - 1 < a/bare * a/bare", bare=2**62) is True


@pytest.mark.parametrize(
    "text", ["1 / 0 > 1", "0 / 0 == 0", "1e300 * 1e300 > 1", "1e300 * 1e300 < 1", "clamp(1, 5, 2) > 0", "a/bare > 1"]
)
def test_what_is_no_number_is_unknown(text: str) -> None:
    assert run(text) is None

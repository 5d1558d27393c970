from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pytest
from pydantic import ValidationError

from gateway.model import Scan, StatusCode, Tag, ValueType
from rules.conditions.limit import Condition, Settings
from tests.rules.plant import group, scan


def judged(type_: str, settings: Mapping[str, object], values: Sequence[float]) -> list[bool | None]:
    """What each value in turn makes of the condition: it holds from now, or no more, or (None) nothing changes."""
    pump = group(x=type_)
    condition = Condition(pump, [(7, Settings.model_validate({"tag": "pump/x", **settings}))])
    answers = [condition.judge(scan(pump, x=value)) for value in values]
    assert all(key == 7 for answer in answers for key, _ in answer)
    return [answer[0][1] if answer else None for answer in answers]


def problem(tag: Tag, **settings: object) -> str:
    return Settings.model_validate({"tag": tag.id, **settings}).problem({tag.id: tag}) or ""


def test_high_holds_above_and_not_at_the_limit() -> None:
    assert judged("float64", {"high": 80}, [80, 80.5, 81, 80, 80.5]) == [None, True, None, False, True]


def test_low_holds_below_and_not_at_the_limit() -> None:
    assert judged("int16", {"low": -5}, [-5, -6, -7, -5, -6]) == [None, True, None, False, True]


def test_deadband_of_high() -> None:
    assert judged("uint16", {"high": 80, "deadband": 5}, [81, 80, 76, 75, 80, 81]) == [
        True,
        None,
        None,
        False,
        None,
        True,
    ]


def test_deadband_of_low() -> None:
    assert judged("uint16", {"low": 10, "deadband": 5}, [9, 10, 14, 15, 10, 9]) == [True, None, None, False, None, True]


def test_both_limits_are_one_condition() -> None:
    settings = {"low": 10, "high": 80, "deadband": 5}
    assert judged("int32", settings, [50, 81, 9, 12, 78, 75, 9, 15]) == [
        None,
        True,
        None,
        None,
        None,
        False,
        True,
        False,
    ]


def test_a_limit_with_a_fraction_keeps_its_meaning_on_whole_numbers() -> None:
    assert judged("uint8", {"high": 80.5}, [80, 81, 80]) == [None, True, False]
    assert judged("int8", {"low": -3.5}, [-3, -4, -3]) == [None, True, False]
    assert judged("uint8", {"high": 80, "deadband": 0.5}, [81, 80, 79]) == [True, None, False]


def test_the_ends_of_64_bits_are_exact() -> None:
    top = 2**64 - 1
    assert judged("uint64", {"high": 2**63}, [2**63, 2**63 + 1, 2**63]) == [None, True, False]
    assert judged("uint64", {"high": top - 1, "deadband": 1}, [top - 1, top, top - 1, top - 2]) == [
        None,
        True,
        None,
        False,
    ]
    assert judged("int64", {"high": 2**63 - 2}, [2**63 - 2, 2**63 - 1]) == [None, True]
    assert judged("int64", {"low": -(2**63) + 1}, [-(2**63) + 1, -(2**63)]) == [None, True]
    assert judged("int64", {"high": 2**53}, [2**53, 2**53 + 1]) == [None, True]


def test_a_limit_on_float32_is_a_float32() -> None:
    tenth = float(np.float32(0.1))
    above = float(np.nextafter(np.float32(0.1), np.float32(1)))
    assert tenth > 0.1
    assert judged("float32", {"high": 0.1}, [tenth, above, tenth]) == [None, True, False]


def test_limit_and_deadband_are_subtracted_as_they_were_written() -> None:
    assert 0.3 - 0.1 != 0.2
    assert judged("float64", {"high": 0.3, "deadband": 0.1}, [0.4, 0.21, 0.2]) == [True, None, False]


def test_infinities_are_judged_and_nan_is_not() -> None:
    assert judged("float64", {"high": 80}, [math.nan, math.inf, math.nan, -math.inf]) == [None, True, None, False]
    assert judged("float32", {"low": 0}, [math.inf, -math.inf, math.nan, math.inf]) == [None, True, None, False]


def test_a_signalling_nan_is_a_nan() -> None:
    pump = group(x="float32")
    condition = Condition(pump, [(0, Settings(tag="pump/x", high=80))])
    row = np.array([0x7F80_0001], np.uint32).view(np.float32)
    assert not condition.judge(Scan(pump, 0, 0, (row,)))
    assert condition.doubtful(Scan(pump, 0, 0, (row,))) == [0]


@pytest.mark.parametrize("status", [StatusCode.UNCERTAIN, 0x408F_0000, StatusCode.BAD, 0xC000_0000, 0xFFFF_FFFF])
def test_what_is_not_good_neither_begins_nor_ends_it(status: int) -> None:
    pump = group(x="uint16", y="uint16")
    condition = Condition(pump, [(0, Settings(tag="pump/x", high=80))])
    assert not condition.judge(scan(pump, {"x": status}, x=99, y=0))
    assert condition.judge(scan(pump, {"y": status}, x=99, y=0)) == [(0, True)]
    assert not condition.judge(scan(pump, {"x": status}, x=0, y=0))
    assert not condition.judge(scan(pump, y=0))
    assert condition.judge(scan(pump, x=0, y=0)) == [(0, False)]


def test_good_has_more_than_one_code() -> None:
    pump = group(x="uint16")
    condition = Condition(pump, [(0, Settings(tag="pump/x", high=80))])
    assert condition.judge(scan(pump, {"x": 0x002D_0000}, x=99)) == [(0, True)]  # OPC UA: GoodClamped and its like


def test_a_value_that_is_missing_is_not_doubtful() -> None:
    pump = group(x="float64", y="uint16")
    condition = Condition(pump, [(3, Settings(tag="pump/x", high=80)), (4, Settings(tag="pump/y", high=80))])
    assert condition.doubtful(scan(pump, {"x": StatusCode.BAD}, x=1.0)) == [3]
    assert condition.doubtful(scan(pump, {"y": StatusCode.BAD}, y=1)) == [4]
    assert condition.doubtful(scan(pump, x=math.nan, y=1)) == [3]
    assert not condition.doubtful(scan(pump, x=1.0, y=1))


def test_a_bad_value_leaves_no_trace_for_a_later_partial_scan() -> None:
    pump = group(x="float64", y="float64")
    condition = Condition(pump, [(0, Settings(tag="pump/x", high=80))])
    condition.judge(scan(pump, {"x": StatusCode.BAD}, x=99.0, y=0.0))
    assert not condition.judge(scan(pump, y=1.0))


def test_forget_starts_anew() -> None:
    pump = group(x="uint16", y="uint16")
    condition = Condition(pump, [(0, Settings(tag="pump/x", high=80, deadband=20))])
    assert condition.judge(scan(pump, x=99, y=0)) == [(0, True)]
    condition.forget(0)
    assert not condition.judge(scan(pump, y=0)), "the value from before is forgotten, too"
    assert not condition.judge(scan(pump, x=70, y=0)), "within the deadband it does not begin"
    assert condition.judge(scan(pump, x=81, y=0)) == [(0, True)]


@pytest.mark.parametrize(
    ("type_", "value"), [("uint64", 2**64 - 1), ("int64", 2**63 - 1), ("float32", float(np.float32(0.2))), ("int8", 4)]
)
def test_value_is_exact_and_in_python_s_own_types(type_: str, value: float) -> None:
    pump = group(x=type_)
    condition = Condition(
        pump, [(0, Settings.model_validate({"tag": "pump/x", "high": 0.1 if type_ == "float32" else 3}))]
    )
    condition.judge(scan(pump, x=value))
    assert condition.value(0) == value
    assert type(condition.value(0)) is type(value)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "give high, low or both"),
        ({"high": 5, "low": 5}, "low must lie below high"),
        ({"high": True}, "write a number"),
        ({"high": "80"}, "write a number"),
        ({"low": math.nan}, "write a number"),
        ({"high": math.inf}, "write a number"),
        ({"high": 5, "deadband": -1}, "write 0 or more"),
    ],
)
def test_settings_that_make_no_sense_are_told_once(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message) as caught:
        Settings.model_validate({"tag": "pump/x", **settings})
    assert caught.value.error_count() == 1


def test_tags_that_a_limit_does_not_suit() -> None:
    assert Settings(tag="pump/z", high=1).problem({}) == "there is no tag pump/z"
    assert problem(Tag("a/b", ValueType.BOOL), high=1) == "a/b is bool; a limit needs a number"
    assert problem(Tag("a/b", ValueType.STRING), high=1) == "a/b is string; a limit needs a number"


def test_a_limit_that_nothing_can_pass() -> None:
    byte = Tag("a/b", ValueType.UINT8)
    tank = Tag("a/b", ValueType.FLOAT32, range=(0.0, 0.3))
    assert problem(byte, high=255) == "a high limit of 255 is always passed or never: a/b goes from 0 to 255"
    assert problem(byte, high=-1).startswith("a high limit of -1")
    assert problem(byte, low=0).startswith("a low limit of 0")
    assert problem(byte, low=1, high=400).startswith("a high limit of 400")
    assert problem(tank, high=0.3) == "a high limit of 0.3 is always passed or never: a/b goes from 0 to 0.3"
    assert problem(Tag("a/b", ValueType.FLOAT64), high=10**400).startswith("a high limit")
    assert not problem(byte, high=254) + problem(byte, low=1) + problem(tank, high=0.2)
    assert not problem(Tag("a/b", ValueType.FLOAT64, range=(0, math.inf)), high=1e300)


def test_a_deadband_that_leaves_no_way_back() -> None:
    byte = Tag("a/b", ValueType.UINT8)
    assert problem(byte, high=10, deadband=11) == "with a deadband of 11 no value of a/b would end the condition"
    assert problem(byte, low=250, deadband=6)
    assert problem(byte, low=10, high=20, deadband=6)
    assert problem(byte, low=10.2, high=10.8)
    assert problem(Tag("a/b", ValueType.FLOAT64), high=-1e308, deadband=1e308)
    assert not problem(byte, high=10, deadband=10) + problem(byte, low=250, deadband=5)
    assert not problem(byte, low=10, high=20, deadband=5)

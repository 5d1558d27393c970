from __future__ import annotations

import contextlib
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.model import StatusCode, ValueType
from gateway.payload import value
from gateway.payload.value import BadValue

MISFIT = StatusCode.BAD_TYPE_MISMATCH
RANGE = StatusCode.BAD_OUT_OF_RANGE
INTEGERS = [kind for kind in ValueType if "int" in kind.value]


@pytest.mark.parametrize("kind", INTEGERS)
def test_integers_to_their_very_ends(kind: ValueType) -> None:
    limits = np.iinfo(kind.value)
    convert = value.converter(kind)
    assert convert(int(limits.min)) == limits.min
    assert convert(int(limits.max)) == limits.max
    for beyond in (int(limits.min) - 1, int(limits.max) + 1, 10**300):
        with pytest.raises(BadValue) as caught:
            convert(beyond)
        assert caught.value.status == RANGE


@pytest.mark.parametrize(
    ("kind", "found", "status"),
    [
        ("int32", 3.0, MISFIT),
        ("int32", True, MISFIT),
        ("int32", "3", MISFIT),
        ("int32", None, StatusCode.BAD_NO_DATA),
        ("float64", "3", MISFIT),
        ("float64", True, MISFIT),
        ("float64", [], MISFIT),
        ("float64", math.inf, RANGE),
        ("float64", 10**400, RANGE),
        ("int32", math.inf, RANGE),
        ("float32", 1e39, RANGE),
        ("bool", 1, MISFIT),
        ("bool", "true", MISFIT),
        ("string", 1, MISFIT),
        ("string", {}, MISFIT),
        ("string", "x" * 4097, RANGE),
    ],
)
def test_what_does_not_fit(kind: str, found: object, status: StatusCode) -> None:
    with pytest.raises(BadValue) as caught:
        value.converter(ValueType(kind))(found)
    assert caught.value.status == status


@pytest.mark.parametrize(
    ("kind", "found"), [("float64", 3), ("float64", -0.0), ("float32", 0.1), ("bool", False), ("string", "x" * 4096)]
)
def test_what_fits(kind: str, found: object) -> None:
    assert value.converter(ValueType(kind))(found) == found


@pytest.mark.parametrize(
    ("text", "kind", "found"),
    [
        (" 12 \n", "int32", 12),
        ("-12", "float64", -12),
        ("1.50", "float64", 1.5),
        (".5e-3", "float64", 0.0005),
        ("TRUE", "bool", True),
        ("0", "bool", False),
        (" as it is ", "string", " as it is "),
        ("", "string", ""),
    ],
)
def test_plain_text(text: str, kind: str, found: object) -> None:
    assert value.read(text, ValueType(kind)) == found


@pytest.mark.parametrize(
    ("text", "kind", "status"),
    [
        ("", "int32", StatusCode.BAD_NO_DATA),
        ("nan", "float64", MISFIT),
        ("inf", "float64", MISFIT),
        ("1_000", "int32", MISFIT),
        ("١٢", "int32", MISFIT),  # digits to Python, not to a machine
        ("1.0", "int32", MISFIT),
        ("1,5", "float64", MISFIT),
        ("on", "bool", MISFIT),
        ("2", "bool", MISFIT),
    ],
)
def test_text_that_does_not_fit(text: str, kind: str, status: StatusCode) -> None:
    with pytest.raises(BadValue) as caught:
        value.read(text, ValueType(kind))
    assert caught.value.status == status


@given(st.text(), st.sampled_from(ValueType))
def test_any_text_is_a_value_or_a_bad_value(text: str, kind: ValueType) -> None:
    with contextlib.suppress(BadValue):
        found = value.converter(kind)(value.read(text, kind))
        assert np.array([found], kind.dtype).tolist() == [found] or kind is ValueType.FLOAT32

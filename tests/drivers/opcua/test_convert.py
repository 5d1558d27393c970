from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace
from uuid import UUID

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.opcua.convert import ARRAY, DTYPES, BadValue, Kind, convert, converters
from gateway.model import StatusCode, ValueType

INTEGERS = [kind for kind, dtype in DTYPES.items() if np.issubdtype(dtype, np.integer)]
NUMBERS = [type for type in ValueType if type not in (ValueType.BOOL, ValueType.STRING)]


@given(st.sampled_from(NUMBERS), st.sampled_from(INTEGERS), st.data())
def test_an_integer_comes_out_as_it_was_or_not_at_all(type: ValueType, kind: int, data: st.DataObject) -> None:
    """And whether it comes does not depend on the value, but on whether both ends of its range would."""
    ends = np.iinfo(DTYPES[kind])
    take = converters(type).get(kind)
    assert (take is not None) == (_holds(type, int(ends.min)) and _holds(type, int(ends.max)))
    if take is not None:
        value = data.draw(st.integers(int(ends.min), int(ends.max)))
        assert int(np.array(take(value), type.dtype)) == value


def _holds(type: ValueType, value: int) -> bool:
    if type.is_float:
        return bool(abs(value) < 2 ** (np.finfo(type.value).nmant + 1))
    limits = np.iinfo(type.value)
    return bool(limits.min <= value <= limits.max)


@pytest.mark.parametrize(
    ("type", "kind", "value", "found"),
    [
        ("bool", Kind.BOOLEAN, True, True),
        ("float32", Kind.FLOAT, 0.5, 0.5),
        ("float64", Kind.FLOAT, 0.5, 0.5),
        ("float64", Kind.DOUBLE, 0.1, 0.1),
        ("float64", Kind.UINT32, 7, 7.0),
        ("string", Kind.STRING, "Grüße", "Grüße"),
        ("string", Kind.STRING, None, ""),
        ("string", Kind.LOCALIZED_TEXT, SimpleNamespace(Text="pump"), "pump"),
        ("string", Kind.GUID, UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        ("int64", Kind.DATETIME, datetime(2023, 11, 14, 22, 13, 20, 123456, UTC), 1_700_000_000_123_456_000),
    ],
)
def test_what_fits(type: str, kind: int, value: object, found: object) -> None:
    assert convert(converters(ValueType(type)), kind, value) == found


@pytest.mark.parametrize(
    ("type", "kind", "value", "status"),
    [
        ("bool", Kind.BYTE, 1, StatusCode.BAD_TYPE_MISMATCH),
        ("int32", Kind.BOOLEAN, True, StatusCode.BAD_TYPE_MISMATCH),
        ("float32", Kind.DOUBLE, 0.5, StatusCode.BAD_TYPE_MISMATCH),
        ("float64", Kind.INT64, 1, StatusCode.BAD_TYPE_MISMATCH),
        ("int64", Kind.UINT64, 1, StatusCode.BAD_TYPE_MISMATCH),
        ("int64", Kind.DOUBLE, 1.0, StatusCode.BAD_TYPE_MISMATCH),
        ("float64", ARRAY, [1.0], StatusCode.BAD_TYPE_MISMATCH),
        ("float64", 22, object(), StatusCode.BAD_TYPE_MISMATCH),
        ("float64", Kind.NULL, None, StatusCode.BAD_NO_DATA),
        ("string", Kind.STRING, "x" * 4097, StatusCode.BAD_OUT_OF_RANGE),
        ("string", Kind.DATETIME, datetime.now(UTC), StatusCode.BAD_TYPE_MISMATCH),
    ],
)
def test_what_does_not_fit(type: str, kind: int, value: object, status: StatusCode) -> None:
    with pytest.raises(BadValue) as caught:
        convert(converters(ValueType(type)), kind, value)
    assert caught.value.status is status

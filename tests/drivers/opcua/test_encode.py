from __future__ import annotations

from datetime import UTC, datetime

import pytest

from drivers.opcua.convert import Kind
from drivers.opcua.encode import encode
from gateway.errors import CommandRefused
from gateway.model import Tag, Value, ValueType

TAG = Tag("plc/x", ValueType.FLOAT64, writable=True)
RANGED = Tag("plc/x", ValueType.FLOAT64, writable=True, range=(0, 100))


@pytest.mark.parametrize(
    ("kind", "value", "encoded"),
    [
        (Kind.BOOLEAN, True, True),
        (Kind.BYTE, 255, 255),
        (Kind.INT16, 7.0, 7),
        (Kind.UINT64, 2**64 - 1, 2**64 - 1),
        (Kind.FLOAT, 1, 1.0),
        (Kind.DOUBLE, 0.1, 0.1),
        (Kind.STRING, "Grüße", "Grüße"),
        (Kind.LOCALIZED_TEXT, "pump", "pump"),
        (Kind.DATETIME, 1_700_000_000_123_456_000, datetime(2023, 11, 14, 22, 13, 20, 123456, UTC)),
    ],
)
def test_what_a_node_takes(kind: int, value: Value, encoded: object) -> None:
    found = encode(TAG, value, kind)
    assert (found, type(found)) == (encoded, type(encoded))


@pytest.mark.parametrize(
    ("tag", "kind", "value", "problem"),
    [
        (Tag("plc/x", ValueType.BOOL), Kind.BOOLEAN, True, "not writable"),
        (TAG, Kind.BOOLEAN, 1, "takes true or false"),
        (TAG, Kind.BYTE, 256, "does not fit into uint8"),
        (TAG, Kind.BYTE, 1.5, "takes whole numbers"),
        (TAG, Kind.BYTE, True, "takes a number"),
        (TAG, Kind.DOUBLE, float("nan"), "takes a number"),
        (TAG, Kind.DOUBLE, 10**400, "takes a number"),
        (TAG, Kind.FLOAT, 1e39, "does not fit into a Float"),
        (TAG, Kind.STRING, 1, "takes a text"),
        (TAG, Kind.STRING, "\ud800", "cannot be written as UTF-8"),
        (TAG, Kind.GUID, "x", "cannot be written"),
        (TAG, 22, 1, "cannot be written"),
        (RANGED, Kind.DOUBLE, 101, "outside the range"),
        (TAG, Kind.DATETIME, 2**63, "does not fit into int64"),
    ],
)
def test_what_it_does_not_take(tag: Tag, kind: int, value: Value, problem: str) -> None:
    with pytest.raises(CommandRefused, match=problem):
        encode(tag, value, kind)

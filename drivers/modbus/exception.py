"""What a device may answer instead of doing what it was asked (MODBUS Application Protocol V1.1b3, 7), as data."""

from __future__ import annotations

from gateway.model import StatusCode

ILLEGAL_ADDRESS = 2
ILLEGAL_VALUE = 3

_WORDS = {
    1: "illegal function",
    2: "illegal data address",
    3: "illegal data value",
    4: "server device failure",
    5: "acknowledged, but not done yet",
    6: "server device busy",
    7: "negative acknowledge",
    8: "memory parity error",
    10: "gateway path unavailable",
    11: "gateway target device failed to respond",
}

_STATUS = {
    1: StatusCode.BAD_CONFIGURATION_ERROR,
    2: StatusCode.BAD_NODE_ID_UNKNOWN,
    3: StatusCode.BAD_NODE_ID_UNKNOWN,
    4: StatusCode.BAD_DEVICE_FAILURE,
    5: StatusCode.BAD_NO_DATA,
    6: StatusCode.BAD_NO_DATA,
    8: StatusCode.BAD_DEVICE_FAILURE,
    10: StatusCode.BAD_NO_COMMUNICATION,
    11: StatusCode.BAD_NO_COMMUNICATION,
}

ADDRESSING = frozenset({ILLEGAL_ADDRESS, ILLEGAL_VALUE})
"""One address of the block may be to blame: smaller reads can still succeed."""

SILENCE = frozenset({10, 11})
"""A gateway speaks, and what it says is that the device behind it does not."""


def words(code: int) -> str:
    return _WORDS.get(code, f"exception {code}")


def status(code: int) -> StatusCode:
    """The status of the values that could not be read because of it."""
    return _STATUS.get(code, StatusCode.BAD)

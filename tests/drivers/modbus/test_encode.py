from __future__ import annotations

import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.modbus.encode import encode, landed
from gateway.errors import CommandRefused
from gateway.model import Tag, Value
from tests.drivers.modbus.device import group_of
from tests.drivers.modbus.test_decode import FORMATS, ORDERS, decode, numbers


def tag_of(**settings: Any) -> Tag:
    return group_of({"t": {"address": "holding:10", "writable": True} | settings}).columns[0]


def data_of(tag: Tag, value: Value) -> bytes:
    """The registers that would be written."""
    request = encode(1, tag, value)
    return request.body[2:] if request.function == 6 else request.body[5:]


def test_one_register_goes_out_with_function_6_more_with_16() -> None:
    assert encode(3, tag_of(type="int16"), -2).encode(1) == bytes.fromhex("0001 0000 0006 03 06 000A FFFE")
    assert encode(3, tag_of(type="int32"), 1).encode(1) == bytes.fromhex("0001 0000 000B 03 10 000A 0002 04 0000 0001")
    assert encode(3, tag_of(type="bool", address="coil:4"), True).encode(1) == bytes.fromhex(
        "0001 0000 0006 03 05 0004 FF00"
    )


@given(st.data(), st.sampled_from(list(FORMATS)), st.sampled_from(ORDERS))
def test_what_is_written_reads_back_the_same(data: st.DataObject, type_: str, order: str) -> None:
    value = data.draw(numbers(type_).filter(lambda x: abs(x) < float("inf")))
    settings = {"address": "holding:10", "type": type_, "order": order, "writable": True}
    got, _ = decode({"t": settings}, {"t": data_of(tag_of(**settings), value)})
    assert got == {"t": value}


@pytest.mark.parametrize(("order", "data"), [("ABCD", b"oil\0\0\0"), ("BADC", b"io\0l\0\0")])
def test_text_is_filled_up_with_nul(order: str, data: bytes) -> None:
    assert data_of(tag_of(type="string", length=5, order=order), "oil") == data


def test_scaling_is_undone_and_rounded() -> None:
    tag = tag_of(type="float32", raw="int16", scale=0.1, offset=-5)
    assert data_of(tag, 12.34) == struct.pack(">h", 173)


@pytest.mark.parametrize(
    ("settings", "value", "hint"),
    [
        ({"type": "uint16"}, 65_536, "does not fit into uint16"),
        ({"type": "uint16"}, -1, "does not fit into uint16"),
        ({"type": "uint16"}, 1.5, "whole numbers"),
        ({"type": "uint16"}, True, "takes a number"),
        ({"type": "uint16"}, "7", "takes a number"),
        ({"type": "int32", "raw": "int16"}, 40_000, "does not fit into int16"),
        ({"type": "float32"}, float("nan"), "takes a number"),
        ({"type": "float64"}, float("inf"), "takes a number"),
        ({"type": "float32"}, 1e39, "does not fit into float32"),
        ({"type": "float32"}, 10**400, "takes a number"),
        ({"type": "float64", "raw": "int16", "scale": 1e-9}, 1e308, "does not fit into int16"),
        ({"type": "float32", "range": [0, 10]}, 10.5, "outside the range"),
        ({"type": "float32", "raw": "int16", "scale": 0.001}, 40.0, "does not fit into int16"),
        ({"type": "bool", "address": "coil:1"}, 1, "true or false"),
        ({"type": "string", "length": 4}, "valve", "holds 4 bytes"),
        ({"type": "string", "length": 4}, "a\0b", "takes a text"),
        ({"type": "string", "length": 4}, 5, "takes a text"),
        ({"type": "string", "length": 4}, "\ud800", "UTF-8"),
        ({"type": "uint16", "writable": False}, 1, "not writable"),
    ],
)
def test_what_cannot_be_held_is_refused(settings: dict[str, Any], value: Value, hint: str) -> None:
    with pytest.raises(CommandRefused) as caught:
        encode(1, tag_of(**settings), value)
    assert hint in str(caught.value)


def test_what_landed_is_the_nearest_step() -> None:
    tag = tag_of(type="float32", raw="int16", scale=0.1)
    assert landed(tag, 0.07) == pytest.approx(0.1)
    assert landed(tag, 12.3) == pytest.approx(12.3)
    assert landed(tag_of(type="float32"), 0.07) == 0.07

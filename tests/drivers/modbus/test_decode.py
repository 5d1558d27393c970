from __future__ import annotations

import math
import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.modbus.decode import Decoder
from drivers.modbus.plan import Extent, Limits, Plan
from drivers.modbus.settings import TagSettings
from gateway.model import TagGroup, Value
from tests.drivers.modbus.device import group_of

FORMATS = {
    "int16": "h",
    "uint16": "H",
    "int32": "i",
    "uint32": "I",
    "int64": "q",
    "uint64": "Q",
    "float32": "f",
    "float64": "d",
}
ORDERS = ["ABCD", "CDAB", "BADC", "DCBA"]


def registers(value: float, type_: str, order: str) -> bytes:
    """As they arrive, told the slow way."""
    big = struct.pack(">" + FORMATS[type_], value)
    pairs = [big[i : i + 2] for i in range(0, len(big), 2)]
    if order in ("CDAB", "DCBA"):
        pairs.reverse()
    return b"".join(pair[::-1] if order in ("BADC", "DCBA") else pair for pair in pairs)


def settings_of(group: TagGroup) -> list[TagSettings]:
    found = [tag.address for tag in group.columns]
    assert all(isinstance(one, TagSettings) for one in found)
    return found  # type: ignore[return-value]


def decode(tags: dict[str, dict[str, Any]], arrived: dict[str, bytes]) -> tuple[dict[str, Value], list[str]]:
    """The values by name, and the names of those that are no text."""
    group = group_of(tags)
    extents = [Extent(s.address.table, s.address.start, s.count, i) for i, s in enumerate(settings_of(group))]
    plan = Plan(1, extents, Limits())
    memory = bytearray(plan.size)
    for tag, extent in zip(group.columns, plan.extents, strict=True):
        data = arrived[tag.name]
        memory[extent.offset : extent.offset + len(data)] = data
    planes, garbled = Decoder(group, plan.extents).decode(memory)
    for span, plane in zip(group.spans, planes, strict=True):
        assert plane.dtype == span.type.dtype
        assert plane.flags.aligned
    values = [value for plane in planes for value in plane.tolist()]
    names = [tag.name for tag in group.columns]
    return dict(zip(names, values, strict=True)), [names[column] for column in garbled]


def numbers(type_: str) -> st.SearchStrategy[float]:
    if type_ in ("float32", "float64"):
        return st.floats(width=32 if type_ == "float32" else 64)
    limits = np.iinfo(type_)
    return st.integers(int(limits.min), int(limits.max))


@given(st.data())
def test_every_type_in_every_order_equals_struct(data: st.DataObject) -> None:
    kinds = data.draw(st.lists(st.tuples(st.sampled_from(list(FORMATS)), st.sampled_from(ORDERS)), min_size=1))
    sent = [data.draw(numbers(type_)) for type_, _ in kinds]
    tags = {
        f"t{i}": {"address": f"holding:{4 * i}", "type": type_, "order": order}
        for i, (type_, order) in enumerate(kinds)
    }
    arrived = {f"t{i}": registers(value, *kind) for i, (value, kind) in enumerate(zip(sent, kinds, strict=True))}
    got, _ = decode(tags, arrived)
    for i, (value, (type_, _)) in enumerate(zip(sent, kinds, strict=True)):
        seen = got[f"t{i}"]
        assert isinstance(seen, (int, float))
        assert struct.pack(FORMATS[type_], seen) == struct.pack(FORMATS[type_], value)


def test_scaled_and_plain_columns_share_a_plane() -> None:
    tags: dict[str, dict[str, Any]] = {
        "scaled": {"address": "holding:0", "type": "float32", "raw": "int16", "scale": 0.5, "offset": -10},
        "plain": {"address": "holding:1", "type": "float32"},
        "wide": {"address": "holding:3", "type": "float32", "raw": "uint32", "scale": 2, "order": "CDAB"},
        "other": {"address": "holding:5", "type": "float32", "raw": "int16", "offset": 1},
        "widened": {"address": "holding:6", "type": "float32", "raw": "uint16"},
        "minus": {"address": "holding:7", "type": "float32"},
    }
    got, _ = decode(
        tags,
        {
            "scaled": struct.pack(">h", -7),
            "plain": struct.pack(">f", 1.1),
            "wide": registers(70_000, "uint32", "CDAB"),
            "other": struct.pack(">h", 41),
            "widened": struct.pack(">H", 65_535),
            "minus": struct.pack(">f", -0.0),
        },
    )
    assert got == {
        "scaled": -13.5,
        "plain": float(np.float32(1.1)),
        "wide": 140_000.0,
        "other": 42.0,
        "widened": 65_535.0,
        "minus": 0.0,
    }
    assert math.copysign(1, float(got["minus"])) == -1


def test_what_scaling_drives_out_of_reach_is_an_infinity() -> None:
    tag: dict[str, Any] = {"address": "holding:0", "type": "float32", "raw": "float64", "scale": 1e300}
    assert decode({"t": tag}, {"t": struct.pack(">d", 1e300)}) == ({"t": math.inf}, [])


def test_narrower_integers_widen_exactly() -> None:
    tags: dict[str, dict[str, Any]] = {
        "a": {"address": "holding:0", "type": "int64", "raw": "int16"},
        "b": {"address": "holding:1", "type": "int64", "raw": "uint32"},
        "c": {"address": "holding:3", "type": "int64"},
    }
    arrived = {"a": struct.pack(">h", -1), "b": struct.pack(">I", 2**32 - 1), "c": struct.pack(">q", 2**62 + 1)}
    assert decode(tags, arrived)[0] == {"a": -1, "b": 2**32 - 1, "c": 2**62 + 1}


@pytest.mark.parametrize("order", ["ABCD", "BADC"])
def test_bits_come_from_coils_and_from_registers(order: str) -> None:
    tags: dict[str, dict[str, Any]] = {
        f"b{i}": {"address": f"holding:5.{i}", "type": "bool", "order": order} for i in range(16)
    }
    tags |= {"on": {"address": "coil:3", "type": "bool"}, "off": {"address": "discrete:3", "type": "bool"}}
    word = registers(0b1000_0001_0100_0010, "uint16", order)
    got, _ = decode(tags, {f"b{i}": word for i in range(16)} | {"on": b"\1", "off": b"\0"})
    assert [i for i in range(16) if got[f"b{i}"]] == [1, 6, 8, 15]
    assert (got["on"], got["off"]) == (True, False)


@pytest.mark.parametrize(
    ("length", "order", "data", "text"),
    [
        (6, "ABCD", b"pump 1", "pump 1"),
        (6, "BADC", b"uppm1 ", "pump 1"),
        (8, "ABCD", b"oil\0\0\0\0\0", "oil"),
        (8, "ABCD", b"oil     ", "oil"),
        (8, "ABCD", b"oil\0junk", "oil"),
        (5, "ABCD", b"valve!", "valve"),
        (4, "ABCD", "°C\0".encode(), "°C"),
        (2, "ABCD", b"\0\0", ""),
    ],
)
def test_text_ends_at_its_fill(length: int, order: str, data: bytes, text: str) -> None:
    tag = {"address": "holding:0", "type": "string", "length": length, "order": order}
    assert decode({"t": tag}, {"t": data}) == ({"t": text}, [])


def test_a_text_that_is_none_spoils_only_itself() -> None:
    tags = {f"t{i}": {"address": f"holding:{2 * i}", "type": "string", "length": 4} for i in range(3)}
    got, garbled = decode(tags, {"t0": b"good", "t1": b"\xff\xfe\xfd\xfc", "t2": b"fine"})
    assert got == {"t0": "good", "t1": "", "t2": "fine"}
    assert garbled == ["t1"]


def test_planes_do_not_change_with_the_next_read() -> None:
    group = group_of({"t": {"address": "holding:0", "type": "uint16"}})
    plan = Plan(1, [Extent(settings_of(group)[0].address.table, 0, 1, 0)], Limits())
    memory = bytearray(b"\0\1")
    planes, _ = Decoder(group, plan.extents).decode(memory)
    memory[:] = b"\0\2"
    assert planes[0].tolist() == [1]

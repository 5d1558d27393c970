"""What devices that others made tell of themselves."""

from __future__ import annotations

import struct
import tempfile
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymodbus import ModbusDeviceIdentification
from pymodbus.datastore import ModbusDeviceContext, ModbusSequentialDataBlock, ModbusServerContext
from pymodbus.server import ModbusTcpServer

from drivers.modbus import survey
from drivers.modbus.address import Table
from drivers.modbus.prospect import Claim
from drivers.modbus.survey import MOST_BITS, MOST_REGISTERS, _device, choose, floats
from gateway import draft
from gateway.errors import ConfigError, ConnectionLost
from gateway.settings import load
from gateway.survey import Line, Part, Survey
from tests.drivers.modbus.device import Query, Wire, serving
from tests.parts import libmodbus
from tests.parts.process import free_port


def quiet(text: str) -> None:
    """Nobody waits."""


def tags(found: Survey) -> Mapping[str, object]:
    (device,) = found.devices.plain().values()
    assert isinstance(device, dict)
    groups = device["groups"]
    assert isinstance(groups, dict)
    return {name: tag for group in groups.values() for name, tag in group["tags"].items()}  # type: ignore[call-overload,index,union-attr]


@pytest.mark.real("libmodbus")
async def test_libmodbus(tmp_path: Path) -> None:
    part = libmodbus.start(tmp_path, "--hole", "7", registers=40)
    told: list[str] = []
    try:
        found = await survey(f"modbus://127.0.0.1:{part.port}", told.append)
    finally:
        part.stop()
    assert told == [f"unit 1: looking for {table} addresses" for table in ("holding", "input", "coil", "discrete")]
    text = draft.write(found)
    assert "units 1, 255, 0 answered" in text
    assert "# holding addresses that answer: 0 to 6, 8 to 39\n" in text
    assert "r39" not in text
    assert tags(found)["i8"] == {"address": "input:8", "type": "uint16"}
    assert "c5: {address: coil:5, type: bool}   # true\n" in text
    path = tmp_path / "edgeward.yaml"
    path.write_text(text)
    assert load(path).links[0].driver == "modbus"


async def test_pymodbus_says_who_made_it() -> None:
    block = ModbusSequentialDataBlock(101, [0x4248, 0xF5C3, 7])  # type: ignore[no-untyped-call]
    names = {"VendorName": "Acme", "ProductCode": "P7", "MajorMinorRevision": "1.0"}
    maker = ModbusDeviceIdentification(info_name=names)  # type: ignore[no-untyped-call]
    context = ModbusServerContext(devices=ModbusDeviceContext(hr=block), single=True)
    server = ModbusTcpServer(context, identity=maker, address=("127.0.0.1", port := free_port()))
    assert await server.listen()
    try:
        found = await survey(f"modbus://127.0.0.1:{port}?unit=3", quiet)
    finally:
        await server.shutdown()  # type: ignore[no-untyped-call]
    assert list(found.devices.entries) == ["Acme-P7-1.0"]
    text = draft.write(found)
    assert text.startswith("# Acme P7 1.0; unit 3 answered.\n")
    assert "    unit: 3\n" in text
    assert "r100: {address: holding:100, type: uint16}   # 16968; as float32 ABCD 50.24\n" in text


async def test_a_gateway_whose_units_are_silent() -> None:
    def behave(wire: Wire, query: Query) -> None:
        wire.send(query.exception(11))

    async with serving(behave) as (port, _):
        with pytest.raises(ConfigError, match=r"no unit answers of 1, 255, 0: name yours with \?unit=N"):
            await survey(f"modbus://127.0.0.1:{port}", quiet)


async def test_a_device_without_any_address() -> None:
    def behave(wire: Wire, query: Query) -> None:
        wire.send(query.exception(2))

    async with serving(behave) as (port, opened):
        with pytest.raises(ConfigError, match="none of the addresses that were tried is there"):
            await survey(f"modbus://127.0.0.1:{port}", quiet)
    assert sum(len(wire.queries) for wire in opened) <= 200


async def test_a_device_that_has_everything_is_asked_200_times_at_most() -> None:
    def behave(wire: Wire, query: Query) -> None:
        wire.send(query.good() if query.function < 5 else query.exception(1))

    async with serving(behave) as (port, opened):
        found = await survey(f"modbus://127.0.0.1:{port}", quiet)
    assert sum(len(wire.queries) for wire in opened) <= 200
    assert len(tags(found)) == 2 * MOST_REGISTERS + 2 * MOST_BITS


async def test_nobody_there() -> None:
    with pytest.raises(ConnectionLost, match="Connection refused"):
        await survey(f"modbus://127.0.0.1:{free_port()}", quiet)


def test_what_is_not_zero_is_chosen_first() -> None:
    claim = Claim(Table.HOLDING, [range(0, 100)], {i: int(i > 80) for i in range(100)})
    assert choose(claim) == [*range(MOST_REGISTERS - 19), *range(81, 100)]


def test_what_looks_like_a_float_is_said_in_its_order() -> None:
    high, low = struct.unpack(">HH", struct.pack(">f", 71.5))
    assert list(floats({0: high, 1: low}, 0)) == [("ABCD", 71.5)]
    assert list(floats({0: low, 1: high}, 0)) == []  # 71.5 has a zero word, and zero says nothing
    high, low = struct.unpack(">HH", struct.pack(">f", 71.51))
    assert dict(floats({0: low, 1: high}, 0))["CDAB"] == pytest.approx(71.51)
    assert list(floats({0: 17}, 0)) == []
    assert list(floats({0: 0x7FC0, 1: 1}, 0)) == []


ADDRESSES = st.integers(0, 65_535)


@given(
    st.lists(st.sampled_from(Table), min_size=1, unique=True),
    st.dictionaries(ADDRESSES, st.integers(0, 65_535), min_size=1, max_size=50),
    st.integers(1, 125),
)
def test_whatever_is_found_the_configuration_is_good(tables: list[Table], values: dict[int, int], block: int) -> None:
    claims = [Claim(table, [range(each, each + 1) for each in sorted(values)], values, block) for table in tables]
    link = Part({"modbus": Line({"driver": "modbus", "host": "h"})})
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "edgeward.yaml"
        path.write_text(draft.write(Survey(link, Part({"device-1": _device(1, claims)}))), encoding="utf-8")
        load(path)

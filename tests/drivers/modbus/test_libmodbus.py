"""Against libmodbus, and against mbpoll to see what we wrote."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.errors import CommandRefused, ConnectionLost
from gateway.model import StatusCode, TagGroup, Value
from tests.drivers.modbus.device import group_of, link_of, session, words
from tests.drivers.modbus.test_decode import FORMATS, ORDERS
from tests.parts import libmodbus
from tests.parts.process import Part

pytestmark = [pytest.mark.real("libmodbus")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("libmodbus")


@pytest.fixture
def server(folder: Path) -> Iterator[Part]:
    part = libmodbus.start(folder)
    yield part
    part.stop()


def everything() -> TagGroup:
    """Every type in every order, writable, and what else a device may hold."""
    tags = {
        f"{type_}.{order}": {
            "address": f"holding:{16 * i + 4 * j}",
            "type": type_,
            "order": order,
            "writable": True,
        }
        for i, type_ in enumerate(FORMATS)
        for j, order in enumerate(ORDERS)
    }
    tags["text"] = {"address": "holding:200", "type": "string", "length": 12, "writable": True}
    tags["swapped"] = {"address": "holding:210", "type": "string", "length": 11, "order": "BADC", "writable": True}
    tags["scaled"] = {"address": "holding:220", "type": "float32", "raw": "int16", "scale": 0.5, "writable": True}
    tags["coil"] = {"address": "coil:21", "type": "bool", "writable": True}
    tags["contact"] = {"address": "discrete:21", "type": "bool"}
    tags["bit"] = {"address": "holding:300.2", "type": "bool"}
    tags["input"] = {"address": "input:777", "type": "uint16"}
    return group_of(tags)


def value_for(name: str) -> Value | None:
    """Something to write that fills every byte; None for what cannot be written."""
    special: dict[str, Value] = {"text": "pump 1 °C", "swapped": "bearing 23A", "scaled": -12.5, "coil": False}
    plain: dict[str, Value] = {
        "int16": -0x1234,
        "uint16": 0xFEDC,
        "int32": -0x1234_5678,
        "uint32": 0xFEDC_BA98,
        "int64": -0x1234_5678_9ABC_DEF0,
        "uint64": 0xFEDC_BA98_7654_3210,
        "float32": -1.5e-38,
        "float64": 1.1e300,
    }
    return special.get(name, plain.get(name.partition(".")[0]))


@pytest.mark.parametrize("in_flight", [1, 8])
async def test_what_is_written_reads_back_in_every_type_and_order(server: Part, in_flight: int) -> None:
    group = everything()
    link = link_of(server.port, group, link={"in_flight": in_flight, "timeout": "2s"}, max_gap=3)
    async with session(link) as driver:
        for tag in group.columns:
            value = value_for(tag.name)
            if value is not None:
                await driver.write(tag, value)
        scan = await driver.read(group)
        assert driver.statistics().discarded == 0
    assert scan.status is None
    got = dict(zip([tag.name for tag in group.columns], [v for p in scan.values for v in p.tolist()], strict=True))
    others = {"contact": True, "bit": 300 >> 2 & 1 == 1, "input": 777}
    for name, seen in got.items():
        expected = others.get(name, value_for(name))
        if name.startswith("float32"):
            assert isinstance(seen, float)
            assert seen == pytest.approx(expected, rel=1e-7)
        else:
            assert seen == expected, name


@pytest.mark.real("mbpoll")
async def test_another_client_sees_what_was_written(server: Part) -> None:
    group = group_of(
        {
            "word": {"address": "holding:10", "type": "uint16", "writable": True},
            "long": {"address": "holding:20", "type": "int32", "writable": True},
            "real": {"address": "holding:30", "type": "float32", "writable": True},
            "coil": {"address": "coil:40", "type": "bool", "writable": True},
        }
    )
    values: dict[str, Value] = {"word": 4711, "long": -70_000, "real": 2.5, "coil": True}
    async with session(link_of(server.port, group, link={"timeout": "2s"})) as driver:
        for tag in group.columns:
            await driver.write(tag, values[tag.name])
    port = server.port
    assert await asyncio.to_thread(libmodbus.poll, port, "4", 10) == ["4711"]
    assert await asyncio.to_thread(libmodbus.poll, port, "4", 9) == ["9"]
    assert await asyncio.to_thread(libmodbus.poll, port, "4:int", 20) == ["-70000"]
    assert await asyncio.to_thread(libmodbus.poll, port, "4:float", 30) == ["2.5"]
    assert await asyncio.to_thread(libmodbus.poll, port, "0", 40) == ["1"]


@pytest.mark.parametrize("in_flight", [1, 8])
async def test_holes_cost_only_themselves(folder: Path, in_flight: int) -> None:
    holes = {7, 400, 401}
    part = libmodbus.start(folder, *(word for hole in holes for word in ("--hole", str(hole))), registers=990)
    group = group_of(words(1000))
    try:
        async with session(link_of(part.port, group, link={"in_flight": in_flight, "timeout": "2s"})) as driver:
            for _ in range(6):
                scan = await driver.read(group)
            reads = driver.statistics().requests
            scan = await driver.read(group)
            assert driver.statistics().requests - reads <= 10
            with pytest.raises(CommandRefused, match="not writable"):
                await driver.write(group.columns[0], 1)
    finally:
        part.stop()
    bad = holes | set(range(990, 1000))
    assert scan.status is not None
    assert {i for i in range(1000) if scan.status[i] == StatusCode.BAD_NODE_ID_UNKNOWN} == bad
    assert all(scan.values[0][i] == i for i in range(1000) if i not in bad)


async def test_a_server_that_dies_takes_the_connection_along(folder: Path) -> None:
    part = libmodbus.start(folder)
    group = group_of(words(10))
    async with session(link_of(part.port, group, link={"timeout": "2s"})) as driver:
        await driver.read(group)
        part.kill()
        with pytest.raises(ConnectionLost):
            await driver.run()

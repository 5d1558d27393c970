from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from drivers.modbus.plan import RELEARN
from gateway.errors import CommandRefused, ConnectionLost, DeviceSilent
from gateway.model import Scan, StatusCode, Value
from tests.drivers.modbus.device import Query, Room, Wire, group_of, link_of, obedient, serving, session, words

GAP = 50  # registers: more than any block bridges


def values(scan: Scan) -> list[Value]:
    return [value for plane in scan.values for value in plane.tolist()]


def status(scan: Scan) -> list[int]:
    return [StatusCode.GOOD] * scan.points if scan.status is None else scan.status.tolist()


def refusing(code: int) -> Callable[[Wire, Query], None]:
    def behave(wire: Wire, query: Query) -> None:
        wire.send(query.exception(code))

    return behave


def apart(count: int) -> dict[str, Any]:
    """Registers that need a block each."""
    return {f"r{i}": {"address": f"holding:{GAP * i}", "type": "uint16"} for i in range(count)}


async def test_all_tables_and_types_come_in_one_scan() -> None:
    group = group_of(
        {
            "long": {"address": "holding:256", "type": "uint32"},
            "short": {"address": "input:9", "type": "uint16"},
            "scaled": {"address": "input:300", "type": "float64", "raw": "uint16", "scale": 0.5, "offset": 1},
            "coil": {"address": "coil:33", "type": "bool"},
            "contact": {"address": "discrete:44", "type": "bool"},
            "bit": {"address": "holding:260.2", "type": "bool"},
            "text": {"address": "holding:16705", "type": "string", "length": 4},
        }
    )
    room = Room()
    async with serving(obedient) as (port, wires), session(link_of(port, group), room) as driver:
        scan = await driver.read(group)
    got = dict(zip([tag.name for tag in group.columns], values(scan), strict=True))
    assert got == {
        "long": 256 << 16 | 257,
        "short": 9,
        "scaled": 151.0,
        "coil": True,
        "contact": False,
        "bit": True,
        "text": "AAAB",
    }
    assert scan.status is None
    assert scan.source_time == scan.gateway_time == room.clock.now()
    assert len(wires[0].queries) == 6


async def test_an_exception_costs_only_its_own_block() -> None:
    def behave(wire: Wire, query: Query) -> None:
        wire.send(query.exception(4) if query.start == GAP else query.good())

    group = group_of(apart(3))
    async with serving(behave) as (port, _), session(link_of(port, group)) as driver:
        scan = await driver.read(group)
    assert status(scan) == [StatusCode.GOOD, StatusCode.BAD_DEVICE_FAILURE, StatusCode.GOOD]
    assert values(scan) == [0, 0, 2 * GAP]


async def test_a_value_that_is_gone_does_not_stay_as_it_was() -> None:
    failing = False

    def behave(wire: Wire, query: Query) -> None:
        wire.send(query.exception(4) if failing else query.good())

    group = group_of(words(1, start=7))
    async with serving(behave) as (port, _), session(link_of(port, group)) as driver:
        assert values(await driver.read(group)) == [7]
        failing = True
        assert values(await driver.read(group)) == [0]


@pytest.mark.parametrize("in_flight", [1, 8])
async def test_a_missing_register_is_cornered_within_the_read_and_left_alone_for_an_hour(in_flight: int) -> None:
    def behave(wire: Wire, query: Query) -> None:
        missing = query.start <= 37 < query.start + query.amount
        wire.send(query.exception(2) if missing else query.good())

    group = group_of(words(100))
    room = Room()
    expected = [StatusCode.BAD_NODE_ID_UNKNOWN if i == 37 else StatusCode.GOOD for i in range(100)]
    async with serving(behave) as (port, wires):
        link = link_of(port, group, link={"in_flight": in_flight})
        async with session(link, room) as driver:
            for _ in range(2):
                scan = await driver.read(group)
                assert status(scan) == expected
                assert values(scan) == [0 if i == 37 else i for i in range(100)]
            asked = [(query.start, query.amount) for query in wires[0].queries]
            assert asked[-2:] == [(0, 37), (38, 62)]
            room.time.advance(RELEARN)
            await driver.read(group)
            assert (0, 100) in [(query.start, query.amount) for query in wires[0].queries[len(asked) :]]


async def test_a_device_that_refuses_everything_is_asked_again_next_time() -> None:
    ready = False

    def behave(wire: Wire, query: Query) -> None:
        wire.send(query.good() if ready else query.exception(2))

    group = group_of(words(2))
    async with serving(behave) as (port, _), session(link_of(port, group)) as driver:
        assert status(await driver.read(group)) == [StatusCode.BAD_NODE_ID_UNKNOWN] * 2
        ready = True
        assert status(await driver.read(group)) == [StatusCode.GOOD] * 2


async def test_a_device_that_refuses_everything_costs_a_bounded_number_of_reads() -> None:
    group = group_of(words(1000))
    async with (
        serving(refusing(2)) as (port, wires),
        session(link_of(port, group)) as driver,
    ):
        scan = await driver.read(group)
        assert len(wires[0].queries) <= 8 + 2 * 32
    assert set(status(scan)) == {StatusCode.BAD_NODE_ID_UNKNOWN}


async def test_a_silent_device_is_waited_for_once() -> None:
    group = group_of(apart(5))
    async with serving(lambda wire, query: None) as (port, wires), session(link_of(port, group)) as driver:
        with pytest.raises(DeviceSilent):
            await driver.read(group)
        assert [query.start for query in wires[0].queries] == [0]
        with pytest.raises(DeviceSilent):
            await driver.read(group)
        assert [query.start for query in wires[0].queries] == [0, GAP]


async def test_a_silent_block_is_bad_and_goes_last() -> None:
    def behave(wire: Wire, query: Query) -> None:
        if query.start != GAP:
            wire.send(query.good())

    group = group_of(apart(3))
    async with serving(behave) as (port, wires), session(link_of(port, group)) as driver:
        for _ in range(2):
            scan = await driver.read(group)
            assert status(scan) == [StatusCode.GOOD, StatusCode.BAD_TIMEOUT, StatusCode.GOOD]
        assert [query.start // GAP for query in wires[0].queries] == [0, 1, 2, 0, 2, 1]


async def test_two_silent_blocks_end_the_scan() -> None:
    def behave(wire: Wire, query: Query) -> None:
        if query.start in (0, 4 * GAP):
            wire.send(query.good())

    group = group_of(apart(5))
    async with serving(behave) as (port, wires), session(link_of(port, group)) as driver:
        bad = StatusCode.BAD_TIMEOUT
        assert status(await driver.read(group)) == [StatusCode.GOOD, bad, bad, bad, bad]
        assert status(await driver.read(group)) == [StatusCode.GOOD, bad, bad, bad, StatusCode.GOOD]
        assert len(wires[0].queries) == 3 + 4


@pytest.mark.parametrize("changed", [{"unit": 9}, {"function": 4}])
async def test_a_device_that_answers_something_else_is_said_to(changed: dict[str, int]) -> None:
    group = group_of(WRITABLE)

    def behave(wire: Wire, query: Query) -> None:
        wire.send(query.good(**changed))

    async with serving(behave) as (port, _), session(link_of(port, group)) as driver:
        with pytest.raises(DeviceSilent, match=r"unit 1: no answer in time: what came does not fit what was asked$"):
            await driver.read(group)
        with pytest.raises(DeviceSilent, match="does not fit what was asked; whether it was written is not known"):
            await driver.write(group.columns[0], True)


async def test_a_dead_unit_behind_a_gateway_does_not_touch_the_others() -> None:
    def behave(wire: Wire, query: Query) -> None:
        wire.send(query.exception(11) if query.unit == 1 else query.good())

    dead, alive = group_of(apart(3), "dead"), group_of(apart(3), "alive")
    async with serving(behave) as (port, wires), session(link_of(port, dead, alive)) as driver:
        with pytest.raises(DeviceSilent, match="gateway"):
            await driver.read(dead)
        assert status(await driver.read(alive)) == [StatusCode.GOOD] * 3
        assert [query.unit for query in wires[0].queries] == [1, 2, 2, 2]


@pytest.mark.parametrize("in_flight", [1, 8])
async def test_late_replies_never_become_values(in_flight: int) -> None:
    """Every reply is late by anything up to three times the timeout; each register holds its own address."""
    timeout = 0.004
    chance = random.Random(1)
    probed = in_flight == 1

    def behave(wire: Wire, query: Query) -> None:
        if not probed:
            wire.send(query.good())
            return
        asyncio.get_running_loop().call_later(chance.uniform(0, 3 * timeout), wire.send, query.good())

    groups = [group_of(words(20, start=100 * i), name=f"g{i}") for i in range(10)]
    good = 0
    async with serving(behave) as (port, _):
        link = link_of(port, *groups, link={"timeout": "4ms", "in_flight": in_flight})
        async with session(link) as driver:
            probed = True
            for turn in range(60):
                group = groups[turn % len(groups)]
                try:
                    scan = await driver.read(group)
                except DeviceSilent:
                    continue
                good += 1
                assert values(scan) == list(range(100 * (turn % 10), 100 * (turn % 10) + 20))
            assert driver.statistics().discarded > 0
    assert 0 < good < 60


async def test_a_connection_closed_in_the_middle_is_lost_for_reader_and_runner() -> None:
    def behave(wire: Wire, query: Query) -> None:
        if query.start == GAP:
            wire.transport.abort()
        else:
            wire.send(query.good())

    group = group_of(apart(3))
    async with serving(behave) as (port, _), session(link_of(port, group)) as driver:
        with pytest.raises(ConnectionLost):
            await driver.read(group)
        with pytest.raises(ConnectionLost):
            await driver.run()
        with pytest.raises(ConnectionLost):
            await driver.read(group)


class Jams:
    """A second request before the answer to the first jams the connection, or ends it."""

    def __init__(self, hangs_up: bool) -> None:
        self.hangs_up = hangs_up
        self.answered: dict[Wire, int] = {}

    def __call__(self, wire: Wire, query: Query) -> None:
        asyncio.get_running_loop().call_soon(self.answer, wire, query)

    def answer(self, wire: Wire, query: Query) -> None:
        if len(wire.queries) == self.answered.get(wire, 0) + 1:
            self.answered[wire] = len(wire.queries)
            wire.send(query.good())
        elif self.hangs_up:
            wire.transport.abort()


@pytest.mark.parametrize("hangs_up", [False, True])
async def test_who_cannot_pipeline_is_asked_one_at_a_time(hangs_up: bool) -> None:
    group = group_of(apart(5))
    async with serving(Jams(hangs_up)) as (port, wires):
        async with session(link_of(port, group, link={"in_flight": 4})) as driver:
            for _ in range(3):
                assert values(await driver.read(group)) == [GAP * i for i in range(5)]
        assert [len(wire.queries) for wire in wires] == [2, 15]


async def test_who_can_pipeline_keeps_the_connection() -> None:
    group = group_of(apart(5))
    async with (
        serving(obedient) as (port, wires),
        session(link_of(port, group, link={"in_flight": 4})) as driver,
    ):
        assert values(await driver.read(group)) == [GAP * i for i in range(5)]
        assert [len(wire.queries) for wire in wires] == [2 + 5]
        assert driver.statistics().window == 4


WRITABLE = {
    "run": {"address": "coil:3", "type": "bool", "writable": True},
    "speed": {"address": "holding:7", "type": "float32", "writable": True, "range": [0, 100]},
}


async def test_a_write_returns_after_its_echo() -> None:
    group = group_of(WRITABLE)
    async with serving(obedient) as (port, wires), session(link_of(port, group)) as driver:
        await driver.write(group.columns[0], True)
        await driver.write(group.columns[1], 1.0)
        assert [query.frame[6:] for query in wires[0].queries] == [
            bytes.fromhex("01 05 0003 FF00"),
            bytes.fromhex("01 10 0007 0002 04 3F80 0000"),
        ]


@pytest.mark.parametrize(
    ("code", "error", "words_"),
    [
        (2, CommandRefused, "illegal data address"),
        (4, CommandRefused, "server device failure"),
        (99, CommandRefused, "exception 99"),
        (11, DeviceSilent, "gateway target device failed to respond"),
    ],
)
async def test_a_refused_write_says_why(code: int, error: type[Exception], words_: str) -> None:
    group = group_of(WRITABLE)
    async with (
        serving(refusing(code)) as (port, _),
        session(link_of(port, group)) as driver,
    ):
        with pytest.raises(error, match=words_):
            await driver.write(group.columns[0], True)


async def test_a_wrong_echo_confirms_nothing() -> None:
    group = group_of(WRITABLE)
    async with (
        serving(lambda wire, query: wire.send(query.reply(b"\0\x03\0\0"))) as (port, _),
        session(link_of(port, group)) as driver,
    ):
        with pytest.raises(DeviceSilent):
            await driver.write(group.columns[0], True)
        assert driver.statistics().discarded == 1


async def test_a_write_out_of_range_never_leaves() -> None:
    group = group_of(WRITABLE)
    async with serving(obedient) as (port, _), session(link_of(port, group)) as driver:
        with pytest.raises(CommandRefused, match="range"):
            await driver.write(group.columns[1], 101.0)
        assert driver.statistics().requests == 0


async def test_a_write_overtakes_the_reads_that_wait() -> None:
    group = group_of(apart(10) | WRITABLE)
    run = group.columns[group.index["press/run"]]
    async with (
        serving(obedient) as (port, wires),
        session(link_of(port, group)) as driver,
        asyncio.TaskGroup() as tasks,
    ):
        reading = tasks.create_task(driver.read(group))
        await asyncio.sleep(0)
        await driver.write(run, True)
        await reading
        assert [query.function for query in wires[0].queries] == [1, 5, *[3] * 10]


async def test_text_that_is_none_is_bad_and_the_rest_is_good() -> None:
    group = group_of(
        {
            "ok": {"address": "holding:0", "type": "uint16"},
            "text": {"address": "holding:65000", "type": "string", "length": 2},
        }
    )
    async with serving(obedient) as (port, _), session(link_of(port, group)) as driver:
        scan = await driver.read(group)
    assert status(scan) == [StatusCode.GOOD, StatusCode.BAD_DECODING_ERROR]
    assert scan.status is not None
    assert scan.status.dtype == np.uint32


async def test_closing_never_raises() -> None:
    group = group_of(words(1))
    async with serving(obedient) as (port, _):
        async with session(link_of(port, group)) as driver:
            await driver.close()
        async with session(link_of(port, group)) as driver, asyncio.TaskGroup() as tasks:
            tasks.create_task(driver.close())
            with pytest.raises(ConnectionLost, match="closed by us"):
                await driver.run()

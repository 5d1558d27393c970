"""Which addresses a device has, on devices that have them anywhere."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.modbus.address import SPACE, Table
from drivers.modbus.client import Client, connect
from drivers.modbus.prospect import MOST_SILENCES, Claim, Prospector
from tests.drivers.modbus.device import Query, Wire, serving

MOST = 60


class Machine:
    """Has the addresses of `ranges`, grants at most `most` of them at once, and says `code` to all else; to say nothing
    at all its code is 0."""

    def __init__(self, *ranges: range, most: int = 125, code: int = 2) -> None:
        self.ranges = ranges
        self.most = most
        self.code = code
        self.queries = 0

    def __call__(self, wire: Wire, query: Query) -> None:
        self.queries += 1
        wanted = range(query.start, query.start + query.amount)
        there = any(wanted[0] in each and wanted[-1] in each for each in self.ranges)
        if there and query.amount <= self.most:
            wire.send(query.good())
        elif self.code:
            wire.send(query.exception(self.code))


async def look(machine: Machine, table: Table = Table.HOLDING, timeout: float = 1.0) -> Claim:
    async with serving(machine) as (port, _):
        client: Client = await connect("127.0.0.1", port, 1, timeout)
        try:
            return await Prospector(client, 1, table, MOST).search()
        finally:
            await client.close()


@pytest.mark.parametrize(
    "there",
    [
        (range(0, 1),),
        (range(0, 125),),
        (range(0, 126),),
        (range(3, 9),),
        (range(0, 10), range(100, 137), range(40_000, 40_010)),
        (range(950, 1_010),),
        (range(49_700, 50_200),),
    ],
)
async def test_ranges_are_found_to_the_address(there: tuple[range, ...]) -> None:
    claim = await look(Machine(*there))
    assert tuple(claim.ranges) == there
    assert claim.is_complete
    assert all(claim.values[address] == address for each in there for address in each)


async def test_a_device_that_gives_less_at_once_is_not_taken_for_a_small_one() -> None:
    claim = await look(Machine(range(0, 300), most=50))
    assert claim.ranges[0] == range(0, 300)
    assert claim.block == 50


async def test_bits_are_addresses_like_others() -> None:
    claim = await look(Machine(range(0, 200)), Table.COIL)
    assert claim.ranges == [range(0, 200)]
    assert [claim.values[i] for i in range(4)] == [0, 1, 0, 1]


async def test_a_device_that_has_everything_costs_no_more_than_others() -> None:
    machine = Machine(range(0, SPACE))
    claim = await look(machine)
    assert claim.ranges[0].start == 0
    assert not claim.is_complete
    assert machine.queries <= MOST


async def test_a_table_that_is_not_there_costs_one_request() -> None:
    machine = Machine(code=1)
    assert (await look(machine)).ranges == []
    assert machine.queries == 1


async def test_a_device_that_says_nothing_is_left_alone_soon() -> None:
    machine = Machine(code=0)
    assert (await look(machine, timeout=0.01)).ranges == []
    assert machine.queries == MOST_SILENCES


@settings(max_examples=20)
@given(st.integers(0, 60_000), st.integers(1, 400), st.integers(1, 125))
def test_what_is_claimed_is_there_and_the_requests_are_bounded(start: int, size: int, most: int) -> None:
    machine = Machine(range(start, start + size), most=most)
    claim = asyncio.run(look(machine))
    assert machine.queries <= MOST
    assert all(start <= each.start < each.stop <= start + size for each in claim.ranges)

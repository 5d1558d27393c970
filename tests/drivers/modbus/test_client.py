from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.modbus import frame
from drivers.modbus.client import Client, connect
from drivers.modbus.frame import Request
from drivers.modbus.transaction import Transaction
from gateway.errors import ConfigError, ConnectionLost
from tests.parts.process import free_port


class Line(asyncio.Transport):
    """A wire without a network: what the client wrote, and the client to answer to."""

    def __init__(self, client: Client) -> None:
        super().__init__()
        self.client = client
        self.writes: list[bytes] = []
        self._written = asyncio.Event()
        client.connection_made(self)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.writes.append(bytes(data))
        self._written.set()

    async def wait_asked(self, count: int) -> None:
        while len(self.asked) < count:
            self._written.clear()
            await self._written.wait()

    def abort(self) -> None:
        self.client.connection_lost(None)

    @property
    def asked(self) -> list[tuple[int, int]]:
        """(transaction id, address) of all requests so far; all of them are reads."""
        wire = b"".join(self.writes)
        return [(struct.unpack_from(">H", wire, at)[0], struct.unpack_from(">H", wire, at + 8)[0])
                for at in range(0, len(wire), 12)]  # fmt: skip

    def answer(self, number: int, value: int, unit: int = 1, function: int = 3) -> bytes:
        """A register's value as the reply to a transaction."""
        return struct.pack(">HHHBBBH", number, 0, 5, unit, function, 2, value)


class Notes(Transaction):
    """Writes down how each request ended, by its address."""

    def __init__(self, addresses: Iterable[int], name: str = "") -> None:
        requests = {frame.read(1, 3, address, 1): address for address in addresses}
        super().__init__(requests)
        self.name = name
        self.addresses = requests
        self.ends: dict[int, int | str] = {}

    def answered(self, request: Request, body: bytes) -> None:
        self._end(request, struct.unpack_from(">H", body, 1)[0])

    def refused(self, request: Request, code: int) -> None:
        self._end(request, f"exception {code}")

    def missed(self, request: Request) -> None:
        self._end(request, "missed")

    def _end(self, request: Request, how: int | str) -> None:
        assert self.addresses[request] not in self.ends, "settled twice"
        self.ends[self.addresses[request]] = how


@asynccontextmanager
async def performing(client: Client, *transactions: Transaction) -> AsyncIterator[list[asyncio.Task[None]]]:
    async with asyncio.timeout(2), asyncio.TaskGroup() as tasks:
        started = [tasks.create_task(client.perform(one)) for one in transactions]
        await asyncio.sleep(0)
        yield started


async def test_the_window_is_filled_with_one_write_and_no_further() -> None:
    line = Line(client := Client(in_flight=3, timeout=1))
    notes = Notes(range(5))
    async with performing(client, notes):
        assert len(line.writes) == 1
        assert [address for _, address in line.asked] == [0, 1, 2]
        client.data_received(b"".join(line.answer(number, address) for number, address in line.asked[:2]))
        assert len(line.writes) == 2
        assert [address for _, address in line.asked] == [0, 1, 2, 3, 4]
        for number, address in line.asked[2:]:
            client.data_received(line.answer(number, address))
    assert notes.ends == {i: i for i in range(5)}
    assert client.statistics().in_flight == 0


async def test_an_answer_may_come_byte_by_byte() -> None:
    line = Line(client := Client(in_flight=1, timeout=1))
    notes = Notes([7])
    async with performing(client, notes):
        for byte in line.answer(*line.asked[0]):
            assert not notes.ends
            client.data_received(bytes([byte]))
    assert notes.ends == {7: 7}


async def test_what_does_not_fit_is_dropped_and_counted() -> None:
    line = Line(client := Client(in_flight=1, timeout=1))
    notes = Notes([7])
    async with performing(client, notes):
        number, _ = line.asked[0]
        client.data_received(line.answer(number + 1, 99))
        client.data_received(line.answer(number, 99, unit=2))
        client.data_received(line.answer(number, 99, function=4))
        client.data_received(struct.pack(">HHHBBBI", number, 0, 7, 1, 3, 4, 99))
        client.data_received(struct.pack(">HHHBB", number, 0, 2, 1, 0x83))
        assert not notes.ends
        client.data_received(line.answer(number, 7))
        client.data_received(line.answer(number, 99))
    assert notes.ends == {7: 7}
    assert client.statistics().discarded == 6


@given(st.data())
def test_every_request_gets_its_own_answer_or_none(data: st.DataObject) -> None:
    """Replies come in any order, twice, for strangers, or as exceptions; each register holds its own address."""

    async def play() -> None:
        line = Line(client := Client(in_flight=data.draw(st.integers(1, 16)), timeout=60))
        notes = Notes(range(100, 100 + data.draw(st.integers(1, 30))))
        async with performing(client, notes):
            while not notes.done.done():
                open_ = [(number, address) for number, address in line.asked if address not in notes.ends]
                number, address = data.draw(st.sampled_from(open_))
                stranger = data.draw(st.integers(0, 0xFFFF))
                if stranger not in dict(open_):
                    client.data_received(line.answer(stranger, 1))
                client.data_received(line.answer(number, address) * data.draw(st.integers(1, 2)))
        assert notes.ends == {address: address for address in notes.addresses.values()}

    asyncio.run(play())


async def test_an_exception_is_an_answer() -> None:
    line = Line(client := Client(in_flight=1, timeout=1))
    notes = Notes([7])
    async with performing(client, notes):
        client.data_received(struct.pack(">HHHBBB", line.asked[0][0], 0, 3, 1, 0x83, 4))
    assert notes.ends == {7: "exception 4"}


async def test_a_late_answer_is_nobodys() -> None:
    line = Line(client := Client(in_flight=1, timeout=0.01))
    notes = Notes([1, 2])
    async with performing(client, notes):
        await line.wait_asked(2)
        (late, _), (number, _) = line.asked
        assert notes.ends == {1: "missed"}
        client.data_received(line.answer(late, 1))
        client.data_received(line.answer(number, 2))
    assert notes.ends == {1: "missed", 2: 2}
    assert client.statistics().discarded == client.statistics().timeouts == 1


async def test_transactions_take_turns_and_writes_go_first() -> None:
    line = Line(client := Client(in_flight=1, timeout=1))
    urgent = Notes([99])
    async with performing(client, Notes([1, 2, 3]), Notes([11, 12, 13])), asyncio.TaskGroup() as tasks:
        tasks.create_task(client.perform(urgent, urgent=True))
        await asyncio.sleep(0)
        for _ in range(7):
            client.data_received(line.answer(*line.asked[-1]))
    assert [address for _, address in line.asked] == [1, 99, 2, 11, 3, 12, 13]


async def test_a_write_leaves_at_once_if_there_is_room() -> None:
    line = Line(client := Client(in_flight=2, timeout=1))
    async with performing(client, Notes([1])), asyncio.TaskGroup() as tasks:
        tasks.create_task(client.perform(Notes([99]), urgent=True))
        await asyncio.sleep(0)
        assert [address for _, address in line.asked] == [1, 99]
        client.data_received(b"".join(line.answer(*asked) for asked in line.asked))


async def test_garbage_ends_the_connection_for_all() -> None:
    line = Line(client := Client(in_flight=1, timeout=1))
    with pytest.raises(ExceptionGroup) as caught:
        async with performing(client, Notes([1]), Notes([2])):
            client.data_received(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    assert caught.group_contains(ConnectionLost, match="not Modbus TCP")
    assert "not Modbus TCP" in await client.wait_lost()
    assert len(line.asked) == 1
    with pytest.raises(ConnectionLost):
        await client.perform(Notes([3]))


async def test_who_is_cancelled_takes_what_was_not_sent_along() -> None:
    line = Line(client := Client(in_flight=1, timeout=1))
    gone, other = Notes([1, 2]), Notes([11])
    async with performing(client, gone, other) as tasks:
        tasks[0].cancel()
        await asyncio.sleep(0)
        client.data_received(line.answer(*line.asked[0]))
        client.data_received(line.answer(*line.asked[1]))
    assert [address for _, address in line.asked] == [1, 11]
    assert other.ends == {11: 11}


async def test_a_pause_follows_every_reply() -> None:
    pause = 0.01
    line = Line(client := Client(in_flight=1, timeout=1, pause=pause))
    loop = asyncio.get_running_loop()
    async with performing(client, Notes([1, 2])):
        heard = loop.time()
        client.data_received(line.answer(*line.asked[0]))
        assert len(line.asked) == 1
        await line.wait_asked(2)
        assert loop.time() - heard >= pause
        client.data_received(line.answer(*line.asked[1]))


async def test_transaction_ids_wrap_without_zero() -> None:
    line = Line(client := Client(in_flight=1, timeout=1))
    client._number = 0xFFFE
    async with performing(client, Notes([1, 2])):
        client.data_received(line.answer(*line.asked[0]))
        client.data_received(line.answer(*line.asked[1]))
    assert [number for number, _ in line.asked] == [0xFFFF, 1]


async def test_nobody_at_home_is_a_lost_connection() -> None:
    with pytest.raises(ConnectionLost, match="cannot connect"):
        await connect("127.0.0.1", free_port(), 1, 1.0)


async def test_a_name_that_cannot_be_one_needs_a_person() -> None:
    with pytest.raises(ConfigError, match="name of a host"):
        await connect("a" * 64 + ".invalid", 502, 1, 1.0)

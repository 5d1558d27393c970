from __future__ import annotations

import re
import struct
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from pymodbus.client import AsyncModbusTcpClient

from simulators.fault import Faults
from simulators.log import Log
from simulators.modbus import PLANT, Unit, serve
from simulators.plant import Plant
from simulators.registers import Table
from simulators.service import Clock, Outlet
from tests.parts.process import find
from tests.simulators.process import Simulator, lines


@asynccontextmanager
async def session(log: Path, *faults: str) -> AsyncIterator[AsyncModbusTcpClient]:
    """A client on a served plant whose bearing is about to fail."""
    with Log(log) as out:
        unit = Unit(Plant(1, 60), PLANT, Outlet(Clock(), Faults(faults), out))
        async with serve(unit, 0) as port:
            client = AsyncModbusTcpClient("127.0.0.1", port=port, timeout=0.2, retries=0)
            assert await client.connect()
            try:
                yield client
            finally:
                client.close()


def test_the_map_has_no_overlaps() -> None:
    for table in Table:
        taken = [r.address + i for r in PLANT if r.table is table for i in range(r.width)]
        assert len(taken) == len(set(taken))


async def test_the_log_holds_what_was_read(tmp_path: Path) -> None:
    log = tmp_path / "modbus.jsonl"
    async with session(log) as client:
        replies = [(await client.read_input_registers(0, count=25)).registers for _ in range(20)]
    served = lines(log)
    assert [line["sequence"] for line in served] == list(range(1, 21))
    for words, line in zip(replies, served, strict=True):
        values = line["values"]
        assert isinstance(values, dict)
        sequence, clock, status, rpm, temperature = struct.unpack(">IQHHf", struct.pack(">10H", *words[:10]))
        found = (values["sequence"], values["clock"], values["status"], values["rpm"], values["bearing.temperature"])
        assert found == (sequence, clock, status, rpm, temperature)


async def test_a_read_beside_the_sequence_does_not_count(tmp_path: Path) -> None:
    async with session(tmp_path / "log") as client:
        await client.read_input_registers(0, count=2)
        await client.read_input_registers(8, count=2)
        await client.read_input_registers(1, count=2)
        assert (await client.read_input_registers(0, count=2)).registers == [0, 2]
    served = lines(tmp_path / "log")
    assert [(line["sequence"], list(line["values"])) for line in served] == [  # type: ignore[call-overload]
        (1, ["sequence"]),
        (None, ["bearing.temperature"]),
        (None, []),
        (2, ["sequence"]),
    ]


async def test_writing_the_coil_stops_the_pump(tmp_path: Path) -> None:
    async with session(tmp_path / "log") as client:
        assert (await client.read_coils(0, count=1)).bits[0]
        assert not (await client.write_coil(0, False)).isError()
        assert not (await client.read_coils(0, count=1)).bits[0]
        assert (await client.read_discrete_inputs(0, count=2)).bits[:2] == [True, False]
    assert {"write": "run", "value": False} in [
        {k: v for k, v in line.items() if k != "time_ns"} for line in lines(tmp_path / "log")
    ]


async def test_setpoints_are_checked(tmp_path: Path) -> None:
    async with session(tmp_path / "log") as client:
        words = list(struct.unpack(">2H", struct.pack(">f", 55.5)))
        assert not (await client.write_registers(0, words)).isError()
        assert (await client.read_holding_registers(0, count=3)).registers == [*words, 60]
        assert (await client.write_register(2, 101)).exception_code == 3
        assert (await client.read_holding_registers(2, count=1)).registers == [60]


@pytest.mark.parametrize(("address", "count"), [(25, 1), (24, 2), (0, 30)])
async def test_what_is_not_there_is_an_illegal_address(tmp_path: Path, address: int, count: int) -> None:
    async with session(tmp_path / "log") as client:
        assert (await client.read_input_registers(address, count=count)).exception_code == 2
        assert (await client.write_coil(7, True)).exception_code == 2
    assert lines(tmp_path / "log") == []


async def test_a_dropped_reply_is_neither_sent_nor_logged(tmp_path: Path) -> None:
    async with session(tmp_path / "log", "drop:1") as client:
        with pytest.raises(Exception, match="No response"):
            await client.read_input_registers(0, count=25)
    assert lines(tmp_path / "log") == []


async def test_a_lie_and_a_spike_reach_the_wire_and_the_log(tmp_path: Path) -> None:
    async with session(tmp_path / "log", "lie:1,amount=-3600", "spike:1,amount=1000") as client:
        words = (await client.read_input_registers(0, count=25)).registers
    (line,) = lines(tmp_path / "log")
    values = line["values"]
    assert isinstance(values, dict)
    assert words[6] == values["status"] == 1
    assert isinstance(line["time_ns"], int)
    assert line["time_ns"] // 1_000_000 - values["clock"] == pytest.approx(3_600_000, abs=1000)
    assert max(value for name, value in values.items() if "." in name and name != "tank.balance") > 1000


@pytest.mark.real("mbpoll")
def test_mbpoll_reads_and_writes(tmp_path: Path) -> None:
    program = find("mbpoll", "mbpoll")
    with Simulator("modbus", "--port", 0, "--log", tmp_path / "log", "--control") as plant:
        poll = [program, "-m", "tcp", "-p", str(plant.port), "-a", "1", "-0", "-1", "-q"]

        def run(*arguments: str) -> str:
            done = subprocess.run([*poll, *arguments], check=True, capture_output=True, text=True, timeout=10)
            return done.stdout

        rows = re.findall(r"\[(\d+)\]:\s+(\S+)", run("-t", "3:float", "-B", "-r", "8", "-c", "6", "127.0.0.1"))
        run("-t", "0", "-r", "0", "127.0.0.1", "0")
        assert re.findall(r"\[0\]:\s+(\d)", run("-t", "0", "-r", "0", "-c", "1", "127.0.0.1")) == ["0"]
        assert plant.ask({"faults": ["drop:1"]}) == {"faults": ["drop:1,start=0,stop=inf,amount=0"]}
        poll[1:1] = ["-o", "0.2"]
        with pytest.raises(subprocess.CalledProcessError):
            run("-t", "3:float", "-B", "-r", "8", "-c", "1", "127.0.0.1")
    read, written, coil = lines(tmp_path / "log")
    assert isinstance(read["values"], dict)
    assert [float(value) for _, value in rows] == pytest.approx(list(read["values"].values()), rel=1e-5)
    assert (written["write"], written["value"], coil["values"]) == ("run", False, {"run": False})

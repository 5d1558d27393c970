"""A device served as a Modbus TCP server: each read is answered from the device as it is at that moment.

The plant's register map, for every unit id (`order: ABCD`, addresses from 0):

| address    | name                | type    | unit  |
|------------|---------------------|---------|-------|
| input:0    | sequence            | uint32  |       |
| input:2    | clock               | uint64  | unix ms |
| input:6    | status              | uint16  | 0 good, 1 bad |
| input:7    | rpm                 | uint16  | 1/min |
| input:8    | bearing.temperature | float32 | °C    |
| input:10   | bearing.vibration   | float32 | mm/s  |
| input:12   | oil.pressure        | float32 | bar   |
| input:14   | flow                | float32 | m³/h  |
| input:16   | motor.current       | float32 | A     |
| input:18   | tank.level          | float32 | %     |
| input:20   | tank.balance        | int32   | l/h   |
| input:22   | starts              | uint16  |       |
| input:23   | motor.temperature   | float32 | °C    |
| discrete:0 | running             | bool    |       |
| discrete:1 | failed              | bool    |       |
| holding:0  | speed.setpoint      | float32 | %     |
| holding:2  | valve.setpoint      | uint16  | %     |
| coil:0     | run                 | bool    |       |

`sequence` counts the reads that hold it, so that whatever was made of a reply can be matched with the reply itself.

The log has a line for every reply that went out to a read, with the values that lie wholly within it, decoded from the
reply's own registers: `{"sequence": 7, "time_ns": …, "table": "input", "values": {"sequence": 7, "rpm": 2950, …}}`
(`sequence` is null where the read did not hold it), and for every accepted write
`{"write": "run", "value": false, "time_ns": …}`.

Faults strike reads, never writes. A delayed reply should come before the client gives up: pymodbus remembers only the
last request of a connection, and would give the late reply that request's transaction id.
"""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import cast

from pymodbus.constants import ExcCodes
from pymodbus.exceptions import NoSuchIdException
from pymodbus.pdu import ModbusPDU
from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

from simulators import service
from simulators.device import Device, Message, Value
from simulators.plant import Plant
from simulators.registers import Register, Table, pack, unpack
from simulators.service import Outlet

PLANT = (
    Register("sequence", Table.INPUT, 0, "uint32"),
    Register("clock", Table.INPUT, 2, "uint64"),
    Register("status", Table.INPUT, 6, "uint16"),
    Register("rpm", Table.INPUT, 7, "uint16"),
    Register("bearing.temperature", Table.INPUT, 8, "float32"),
    Register("bearing.vibration", Table.INPUT, 10, "float32"),
    Register("oil.pressure", Table.INPUT, 12, "float32"),
    Register("flow", Table.INPUT, 14, "float32"),
    Register("motor.current", Table.INPUT, 16, "float32"),
    Register("tank.level", Table.INPUT, 18, "float32"),
    Register("tank.balance", Table.INPUT, 20, "int32"),
    Register("starts", Table.INPUT, 22, "uint16"),
    Register("motor.temperature", Table.INPUT, 23, "float32"),
    Register("running", Table.DISCRETE, 0),
    Register("failed", Table.DISCRETE, 1),
    Register("speed.setpoint", Table.HOLDING, 0, "float32"),
    Register("valve.setpoint", Table.HOLDING, 2, "uint16"),
    Register("run", Table.COIL, 0),
)
READS = {1: Table.COIL, 2: Table.DISCRETE, 3: Table.HOLDING, 4: Table.INPUT, 23: Table.HOLDING}
TABLES = READS | {5: Table.COIL, 15: Table.COIL, 6: Table.HOLDING, 16: Table.HOLDING, 22: Table.HOLDING}


class Unit:
    """A device behind registers: pymodbus calls `access` for each request and `trace` for each reply."""

    def __init__(self, device: Device, registers: Sequence[Register], outlet: Outlet) -> None:
        self._device = device
        self._stream = outlet.faults.stream("modbus")
        self._tables = {table: [r for r in registers if r.table is table] for table in Table}
        self._outlet = outlet
        self._sequence = 0
        self._address = 0

    def size(self, table: Table) -> int:
        """In registers, or in bits, which pymodbus wants by the word."""
        end = max((r.address + r.width for r in self._tables[table]), default=1)
        return -(-end // 16) * 16 if table.is_bits else end

    async def access(  # noqa: PLR0913 - pymodbus's signature
        self,
        code: int,
        start: int,
        address: int,
        count: int,
        registers: list[int],
        values: list[int] | list[bool] | None,
    ) -> ExcCodes | None:
        """Answer a request by filling `registers`, which hold the whole table; they are sent from there at once.

        pymodbus counts bits by words here, and every table of ours starts at 0.
        """
        table = TABLES[code]
        span = len(values) if values else count * 16 if table.is_bits else count
        if not any(register.touches(address, span) for register in self._tables[table]):
            return ExcCodes.ILLEGAL_ADDRESS
        if values is not None:
            return self._write(table, address, registers, values)
        message = await self._read()
        if any(r.name == "sequence" and r.within(address, count) for r in self._tables[table]):
            self._sequence = (self._sequence + 1) & 0xFFFF_FFFF
        registers[:-1] = self._words(table, self._served(message))
        self._address = address
        return None

    def trace(self, sending: bool, pdu: ModbusPDU) -> ModbusPDU:
        """Log a reply as it leaves. Nothing else runs between `access` and this: pymodbus waits for nothing there."""
        if sending and pdu.function_code in READS:
            table = READS[pdu.function_code]
            words = [int(bit) for bit in pdu.bits] if table.is_bits else pdu.registers
            values = unpack(self._tables[table], self._address, words)
            line = {"sequence": values.get("sequence"), "time_ns": self._outlet.clock.now_ns(), "table": table}
            self._outlet.log.write({**line, "values": values})
        return pdu

    async def _read(self) -> Message:
        clock, now = self._outlet.clock, self._outlet.clock.seconds()
        message = self._stream.send(Message(self._device.read(now), clock.now_ns()), now)
        if message is None:
            raise NoSuchIdException("dropped")  # which pymodbus leaves without a reply
        if message.delay:
            await asyncio.sleep(message.delay)
        return message

    def _served(self, message: Message) -> Mapping[str, Value]:
        clock = max(0, message.time_ns // 1_000_000)
        return {**message.values, "sequence": self._sequence, "clock": clock, "status": 0 if message.good else 1}

    def _words(self, table: Table, values: Mapping[str, Value]) -> list[int]:
        """As pymodbus keeps them: bits in words, the first in the lowest place."""
        words = pack(self._tables[table], values, self.size(table))
        if not table.is_bits:
            return words
        return [sum(bit << i for i, bit in enumerate(words[at : at + 16])) for at in range(0, len(words), 16)]

    def _write(
        self, table: Table, address: int, registers: Sequence[int], values: Sequence[int | bool]
    ) -> ExcCodes | None:
        clock = self._outlet.clock
        words = pack(self._tables[table], self._device.read(clock.seconds()), self.size(table))
        words[address : address + len(values)] = [int(value) for value in values]
        for register in self._tables[table]:
            if register.touches(address, len(values)):
                value = register.decode(words[register.address : register.address + register.width])
                try:
                    self._device.write(register.name, value)
                except ValueError:
                    return ExcCodes.ILLEGAL_VALUE
                self._outlet.log.write({"write": register.name, "value": value, "time_ns": clock.now_ns()})
        return None


@asynccontextmanager
async def serve(unit: Unit, port: int) -> AsyncIterator[int]:
    """Serve on loopback, on any port where it is 0; gives the port."""
    bits = [
        [SimData(0, values=[False] * unit.size(table), datatype=DataType.BITS)]
        for table in (Table.COIL, Table.DISCRETE)
    ]
    words = [[SimData(0, unit.size(table), 0, DataType.REGISTERS)] for table in (Table.HOLDING, Table.INPUT)]
    device = SimDevice(0, (bits[0], bits[1], words[0], words[1]), action=unit.access)
    server = ModbusTcpServer(device, address=("127.0.0.1", port), ignore_missing_devices=True, trace_pdu=unit.trace)
    try:
        await server.serve_forever(background=True)
        listener = cast("asyncio.Server", server.transport)
        yield int(listener.sockets[0].getsockname()[1])
    finally:
        server.close()


class Options(service.Options):
    port: int
    fail_at: float | None
    log: Path | None


async def main(options: Options) -> None:
    with service.outlet(options, options.log) as outlet:
        unit = Unit(Plant(options.seed, options.fail_at), PLANT, outlet)
        async with serve(unit, options.port) as port:
            service.ready(port=port)
            await service.stay(outlet.faults, options.control)


def parser() -> argparse.ArgumentParser:
    options = service.parser("modbus", __doc__)
    options.add_argument("--port", type=int, default=1502, help="0 for any that is free")
    options.add_argument("--fail-at", type=float, metavar="SECONDS", help="life of the bearing at rated speed")
    options.add_argument("--log", type=Path)
    return options


if __name__ == "__main__":
    service.run(main(parser().parse_args(namespace=Options())))

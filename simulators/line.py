"""A production line: one plant behind several protocols, and sound machines beside it.

The pump station answers over Modbus TCP (register map in `simulators.modbus`); its bearing's sensors belong to the MQTT
machine `pump-1` (messages in `simulators.mqtt`). It is one plant: when its `run` coil is written over Modbus, `pump-1`
is seen to cool over MQTT. With `--opcua-port` the station speaks OPC UA as well (nodes in `simulators.opcua`). The logs
are `modbus.jsonl`, `mqtt.jsonl` and `opcua.jsonl` in `--log-dir`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from simulators import modbus, mqtt, service
from simulators.log import Log
from simulators.plant import Plant


class Speaker(Protocol):
    """What sends by itself, at the moments `due`, in seconds of the clock."""

    async def run(self, clock: service.Clock, due: Iterable[float]) -> None: ...


class Options(service.Options):
    broker: mqtt.Address
    machines: int
    rate: float
    fail_at: float | None
    modbus_port: int
    opcua_port: int | None
    log_dir: Path


async def main(options: Options) -> None:
    options.log_dir.mkdir(parents=True, exist_ok=True)
    plants = [Plant(options.seed + i, None if i else options.fail_at) for i in range(options.machines)]
    async with AsyncExitStack() as stack:
        outlet = stack.enter_context(service.outlet(options, options.log_dir / "mqtt.jsonl"))
        field = replace(outlet, log=stack.enter_context(Log(options.log_dir / "modbus.jsonl")))
        port = await stack.enter_async_context(
            modbus.serve(modbus.Unit(plants[0], modbus.PLANT, field), options.modbus_port)
        )
        ports = {"modbus": port}
        speakers: list[Speaker] = [*await mqtt.machines(stack, plants, options.broker, outlet)]
        if options.opcua_port is not None:
            server = replace(outlet, log=stack.enter_context(Log(options.log_dir / "opcua.jsonl")))
            station, ports["opcua"] = await _opcua(stack, plants[0], server, options.opcua_port)
            speakers.append(station)
        async with asyncio.TaskGroup() as tasks:
            for speaker in speakers:
                tasks.create_task(speaker.run(outlet.clock, mqtt.ticks(options.rate, outlet.clock.seconds())))
            service.ready(**ports, broker=options.broker)
            await service.stay(outlet.faults, options.control)


async def _opcua(stack: AsyncExitStack, plant: Plant, outlet: service.Outlet, port: int) -> tuple[Speaker, int]:
    from simulators import opcua  # takes most of a second and 100 MB, so only where it is wanted

    station = opcua.Station(plant, outlet)
    return station, await stack.enter_async_context(opcua.serve(station, port))


if __name__ == "__main__":
    arguments = mqtt.parser("line", __doc__)
    arguments.add_argument("--modbus-port", type=int, default=1502, help="0 for any that is free")
    arguments.add_argument("--opcua-port", type=int, help="0 for any that is free; no OPC UA unless set")
    arguments.add_argument("--log-dir", type=Path, default=Path("build/line"))
    service.run(main(arguments.parse_args(namespace=Options())))

"""A production line: one plant behind two protocols, and sound machines beside it.

The pump station answers over Modbus TCP (register map in `simulators.modbus`); its bearing's sensors belong to the MQTT
machine `pump-1` (messages in `simulators.mqtt`). It is one plant: when its `run` coil is written over Modbus, `pump-1`
is seen to cool over MQTT. The logs are `modbus.jsonl` and `mqtt.jsonl` in `--log-dir`.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

from simulators import modbus, mqtt, service
from simulators.log import Log
from simulators.plant import Plant


class Options(service.Options):
    broker: mqtt.Address
    machines: int
    rate: float
    fail_at: float | None
    modbus_port: int
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
        machines = await mqtt.machines(stack, plants, options.broker, outlet)
        async with asyncio.TaskGroup() as tasks:
            for machine in machines:
                tasks.create_task(machine.run(outlet.clock, mqtt.ticks(options.rate, outlet.clock.seconds())))
            service.ready(modbus=port, broker=options.broker)
            await service.stay(outlet.faults, options.control)


if __name__ == "__main__":
    arguments = mqtt.parser("line", __doc__)
    arguments.add_argument("--modbus-port", type=int, default=1502, help="0 for any that is free")
    arguments.add_argument("--log-dir", type=Path, default=Path("build/line"))
    service.run(main(arguments.parse_args(namespace=Options())))

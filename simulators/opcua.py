"""A device served as an OPC UA server: it reads itself several times a second, and sets its variables.

The variables of the plant, by string ids in the namespace `urn:edgeward:plant`, `nsu=urn:edgeward:plant;s=rpm`:

| id                                                                   | type    |          |
|----------------------------------------------------------------------|---------|----------|
| sequence                                                             | UInt32  |          |
| bearing.temperature, bearing.vibration, motor.current, flow          | Double  |          |
| motor.temperature, oil.pressure, tank.level                          | Double  |          |
| rpm, starts, tank.balance                                            | Int32   |          |
| running, failed                                                      | Boolean |          |
| speed.setpoint                                                       | Double  | writable |
| valve.setpoint                                                       | Int32   | writable |
| run                                                                  | Boolean | writable |

`sequence` counts the updates, from 1, so that each can be found again wherever it went. The first is what the variables
hold before anybody can connect, and nothing drops it. All variables of an update have the same source timestamp, which
strictly increases unless the device lies. A value that the device calls bad is null with the status BadSensorFailure;
`sequence` is always good.

The log has a line for every update, `{"ts": …, "sequence": 7, "good": true, "values": {"rpm": 2950, …}}`, where `ts` is
the source timestamp in unix nanoseconds, and for every accepted write `{"write": "run", "value": false, "time_ns": …}`.
A server sends a value when it differs from the one before, so a client that subscribes need not get every value of an
update; it gets every `sequence`, if it asks for a queue that is long enough.

Faults strike updates, never writes.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import socket
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, cast

from asyncua import ua
from asyncua.common.callback import CallbackType, ServerItemCallback
from asyncua.common.node import Node
from asyncua.server.server import Server
from asyncua.ua.attribute_ids import AttributeIds
from asyncua.ua.status_codes import StatusCodes

from simulators import service
from simulators.device import SECOND, Device, Message, Value
from simulators.mqtt import ticks
from simulators.plant import RANGES, Plant
from simulators.service import Outlet

NAMESPACE: Final = "urn:edgeward:plant"
SEQUENCE: Final = "sequence"
TYPES: Final = {bool: ua.VariantType.Boolean, int: ua.VariantType.Int32, float: ua.VariantType.Double}

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = 1_000


class Station:
    """A device behind variables. `place` makes them, `run` keeps them up to date, `written` obeys clients."""

    def __init__(self, device: Device, outlet: Outlet) -> None:
        self._device = device
        self._stream = outlet.faults.stream("opcua")
        self._outlet = outlet
        self._nodes: dict[str, Node] = {}
        self._sequence = 0
        self._last_ns = 0

    async def place(self, server: Server) -> None:
        index = await server.register_namespace(NAMESPACE)
        folder = await server.nodes.objects.add_object(_node_id("plant", index), ua.QualifiedName("Plant", index))
        moment = self._outlet.clock.seconds()
        first = self._message(moment)
        for name, value in {SEQUENCE: 0, **first.values}.items():
            node_id, label = _node_id(name, index), ua.QualifiedName(name, index)
            node = self._nodes[name] = await folder.add_variable(node_id, label, _variant(name, value))
            if name in RANGES:
                await node.set_writable()
        server.subscribe_server_callback(CallbackType.PostWrite, self.written)
        await self._update(self._stream.send(first, moment) or first)

    async def run(self, clock: service.Clock, due: Iterable[float]) -> None:
        """An update at each of the moments `due`, in seconds of the clock. What is late comes at once."""
        for moment in due:
            await asyncio.sleep(max(0.0, moment - clock.seconds()))
            message = self._stream.send(self._message(moment), moment)
            if message is not None:
                await asyncio.sleep(message.delay)
                await self._update(message)

    def _message(self, moment: float) -> Message:
        wanted = self._outlet.clock.epoch_ns + round(moment * SECOND)
        self._last_ns = max(wanted // _MICROSECOND, self._last_ns // _MICROSECOND + 1) * _MICROSECOND
        return Message(self._device.read(moment), self._last_ns)

    async def _update(self, message: Message) -> None:
        """asyncua waits for nothing meanwhile, so no client sees half of it."""
        self._sequence = (self._sequence + 1) & 0xFFFF_FFFF
        stamp = message.time_ns // _MICROSECOND
        time = cast("ua.DateTime", _EPOCH + timedelta(microseconds=stamp))
        status = _status(StatusCodes.Good if message.good else StatusCodes.BadSensorFailure)
        for name, value in message.values.items():
            await self._nodes[name].write_value(ua.DataValue(_variant(name, value), status, time))
        number = ua.DataValue(_variant(SEQUENCE, self._sequence), _status(StatusCodes.Good), time)
        await self._nodes[SEQUENCE].write_value(number)
        line = {"ts": stamp * _MICROSECOND, SEQUENCE: self._sequence, "good": message.good}
        self._outlet.log.write({**line, "values": message.values})

    def written(self, event: ServerItemCallback, _: object) -> None:
        """A client has written: what the device does not take, it has not written."""
        if not event.is_external:
            return
        names = {node.nodeid: name for name, node in self._nodes.items()}
        for number, item in enumerate(event.request_params.NodesToWrite):
            name = names.get(item.NodeId)
            if name is None or item.AttributeId != AttributeIds.Value or not event.response_params[number].is_good():
                continue
            value = item.Value.Value.Value
            try:
                self._device.write(name, value)
            except ValueError:
                event.response_params[number] = _status(StatusCodes.BadOutOfRange)
                continue
            self._outlet.log.write({"write": name, "value": value, "time_ns": self._outlet.clock.now_ns()})


def _node_id(name: str, index: int) -> ua.NodeId:
    return ua.NodeId.from_string(f"ns={index};s={name}")


def _status(code: int) -> ua.StatusCode:
    return ua.StatusCode(ua.UInt32(code))


def _variant(name: str, value: Value) -> ua.Variant:
    return ua.Variant(value, ua.VariantType.UInt32 if name == SEQUENCE else TYPES[type(value)])


@asynccontextmanager
async def serve(station: Station, port: int) -> AsyncIterator[int]:
    """Serve on loopback, on any port where it is 0, to anybody; gives the port."""
    logging.getLogger("asyncua").setLevel(logging.CRITICAL)  # clients come and go, and it would complain of each
    port = port or _free_port()
    server = Server()
    await server.init()
    server.set_endpoint(f"opc.tcp://127.0.0.1:{port}/plant")
    server.set_server_name("Edgeward's simulated plant")
    server.set_security_policy([ua.SecurityPolicyType.NoSecurity])
    await station.place(server)
    async with server:
        yield port


def _free_port() -> int:
    """The endpoint's URL names the port, so it has to be known before anybody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Options(service.Options):
    port: int
    rate: float
    fail_at: float | None
    log: Path | None


async def main(options: Options) -> None:
    with service.outlet(options, options.log) as outlet:
        station = Station(Plant(options.seed, options.fail_at), outlet)
        async with serve(station, options.port) as port, asyncio.TaskGroup() as tasks:
            tasks.create_task(station.run(outlet.clock, ticks(options.rate, outlet.clock.seconds())))
            service.ready(port=port)
            await service.stay(outlet.faults, options.control)


def parser() -> argparse.ArgumentParser:
    options = service.parser("opcua", __doc__)
    options.add_argument("--port", type=int, default=4840, help="0 for any that is free")
    options.add_argument("--rate", type=float, default=10.0, help="updates per second")
    options.add_argument("--fail-at", type=float, metavar="SECONDS", help="life of the bearing at rated speed")
    options.add_argument("--log", type=Path)
    return options


if __name__ == "__main__":
    service.run(main(parser().parse_args(namespace=Options())))

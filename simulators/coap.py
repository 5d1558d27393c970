"""Pumps on CoAP: a server with a resource for each, or devices that report to a gateway.

Without `--gateway`, a server on `--port`:

| resource               | methods            | is                                     |
|------------------------|--------------------|----------------------------------------|
| /pump-1/state          | GET, also observed | every value of the pump, as JSON       |
| /pump-1/run            | PUT, POST          | the command: true or false             |
| /pump-1/speed.setpoint | PUT, POST          | % of the rated speed, 0 to 100         |
| /pump-1/valve.setpoint | PUT, POST          | opening of the tank's outlet, 0 to 100 |
| /.well-known/core      | GET                | all of these (RFC 6690)                |

A state is `{"ts": …, "sequence": 7, "quality": "good", "bearing": {"temperature": 50.1, …}, …}`, `ts` in unix ms.

Who observes is told `--rate` times a second. The log has a line for every state that was sent,
`{"path": "/pump-1/state", "ts": …, "sequence": 7, "time_ns": …, "values": {"bearing.temperature": 50.1, …}}`, and for
every accepted write `{"write": "run", "path": "/pump-1/run", "value": false, "time_ns": …}`. A fault strikes states,
never writes; a GET that is dropped is acknowledged and never answered.

With `--gateway HOST:PORT`, each pump has a socket of its own and POSTs its state to `/plant/pump-1/state` there,
`--rate` times a second, one after the other. The log has a line for every report: as above with the response's code,
`"2.04"` where the gateway has it. A report that was never answered has the code null: it may or may not have arrived.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson
from aiocoap import Context, Message, error
from aiocoap.numbers.codes import BAD_REQUEST, CHANGED, CONTENT, POST
from aiocoap.numbers.constants import TransportTuning
from aiocoap.resource import ObservableResource, Resource, Site, WKCResource

from simulators import device, service
from simulators.device import SECOND, Device
from simulators.fault import Stream
from simulators.mqtt import MILLISECOND, Address, nest, ticks
from simulators.plant import RANGES, Plant
from simulators.service import Outlet

JSON = 50
COAP_PORT = 5683


class Patience(TransportTuning):  # type: ignore[misc]
    """Five tries of a report, in half a minute at most."""

    ACK_TIMEOUT = 0.8
    ACK_RANDOM_FACTOR = 1.2
    REQUEST_TIMEOUT_S = 35.0


class Teller:
    """What one pump says: read when it is time, bent by its faults, numbered, logged when its fate is known."""

    def __init__(self, path: str, pump: Device, stream: Stream, outlet: Outlet) -> None:
        self.path = path
        self.pump = pump
        self.outlet = outlet
        self._stream = stream
        self._sequence = 0
        self._last_ms = 0

    def read(self, moment: float) -> device.Message | None:
        """The state at `moment`, in seconds of the clock; None where a fault has swallowed it."""
        time_ns = self.outlet.clock.epoch_ns + round(moment * SECOND)
        self._last_ms = max(time_ns // MILLISECOND, self._last_ms + 1)
        return self._stream.send(device.Message(self.pump.read(moment), self._last_ms * MILLISECOND), moment)

    def tell(self, message: device.Message) -> tuple[bytes, dict[str, object]]:
        """The payload, and what the log has to say of it."""
        self._sequence += 1
        head = {"ts": message.time_ns // MILLISECOND, "sequence": self._sequence}
        quality = "good" if message.good else "bad"
        return orjson.dumps({**head, "quality": quality, **nest(message.values)}), {
            "path": self.path,
            **head,
            "values": message.values,
        }

    def log(self, record: dict[str, object], **more: object) -> None:
        self.outlet.log.write({**record, "time_ns": self.outlet.clock.now_ns(), **more})


class State(ObservableResource):  # type: ignore[misc]
    """A pump's state. Every observer gets a reading of its own, so that each line of the log is one datagram."""

    ct = JSON
    rt = "pump.state"

    def __init__(self, teller: Teller) -> None:
        super().__init__()
        self._teller = teller
        self._observers: set[Any] = set()

    async def add_observation(self, request: Any, observation: Any) -> None:
        self._observers.add(observation)
        observation.accept(lambda: self._observers.discard(observation))

    async def render_get(self, request: Any) -> Any:
        message = self._teller.read(self._teller.outlet.clock.seconds())
        if message is None:
            await asyncio.Event().wait()
        assert message is not None
        await asyncio.sleep(message.delay)
        return self._response(message)

    async def run(self, rate: float) -> None:
        clock = self._teller.outlet.clock
        for moment in ticks(rate, clock.seconds()):
            await asyncio.sleep(max(0.0, moment - clock.seconds()))
            for observer in list(self._observers):
                message = self._teller.read(moment)
                if message is not None:
                    await asyncio.sleep(message.delay)
                    observer.trigger(self._response(message))

    def _response(self, message: device.Message) -> Any:
        payload, record = self._teller.tell(message)
        self._teller.log(record)
        return Message(code=CONTENT, payload=payload, content_format=JSON, max_age=2)


class Setting(Resource):  # type: ignore[misc]
    """One value that can be written."""

    rt = "pump.setting"

    def __init__(self, name: str, teller: Teller) -> None:
        super().__init__()
        self._name = name
        self._teller = teller

    async def render_put(self, request: Any) -> Any:
        try:
            value = orjson.loads(request.payload)
            if not isinstance(value, bool | int | float):
                raise ValueError(f"{self._name} is a number")
            self._teller.pump.read(self._teller.outlet.clock.seconds())
            self._teller.pump.write(self._name, value)
        except ValueError as wrong:
            return Message(code=BAD_REQUEST, payload=str(wrong).encode())
        path = self._teller.path.replace("state", self._name)
        self._teller.log({"write": self._name, "path": path, "value": value})
        return Message(code=CHANGED)

    render_post = render_put


@asynccontextmanager
async def serve(tellers: Sequence[Teller], port: int, rate: float) -> AsyncIterator[int]:
    """Serve on loopback, on any port where it is 0; gives the port."""
    site = Site()
    states = [State(teller) for teller in tellers]
    site.add_resource([".well-known", "core"], WKCResource(site.get_resources_as_linkheader))
    for teller, state in zip(tellers, states, strict=True):
        name = teller.path.split("/")[1]
        site.add_resource([name, "state"], state)
        for setting in RANGES:
            site.add_resource([name, setting], Setting(setting, teller))
    port = port or _free_port()
    context = await Context.create_server_context(site, bind=("127.0.0.1", port), transports=["udp6"])
    try:
        async with asyncio.TaskGroup() as tasks:
            running = [tasks.create_task(state.run(rate)) for state in states]
            yield port
            for task in running:
                task.cancel()
    finally:
        await context.shutdown()


async def report(teller: Teller, gateway: Address, rate: float) -> None:
    """POST states to the gateway for ever. What is late comes at once."""
    clock = teller.outlet.clock
    context = await Context.create_client_context(transports=["udp6"])
    try:
        for moment in ticks(rate, clock.seconds()):
            await asyncio.sleep(max(0.0, moment - clock.seconds()))
            message = teller.read(moment)
            if message is not None:
                await asyncio.sleep(message.delay)
                await _post(context, f"coap://{gateway}{teller.path}", message, teller)
    finally:
        await context.shutdown()


async def _post(context: Any, uri: str, message: device.Message, teller: Teller) -> None:
    """One report, logged with its answer, also when the process ends before there is one."""
    payload, record = teller.tell(message)
    request = Message(code=POST, uri=uri, payload=payload, content_format=JSON, transport_tuning=Patience())
    code: str | None = None
    try:
        async with asyncio.timeout(Patience.REQUEST_TIMEOUT_S):
            code = (await context.request(request, handle_blockwise=False).response).code.dotted
    except (error.Error, TimeoutError):
        await asyncio.sleep(0.1)  # nobody is there: not so often
    finally:
        teller.log(record, code=code)


def _free_port() -> int:
    """aiocoap does not tell which port it was given."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _address(text: str) -> Address:
    host, _, port = text.partition(":")
    return Address(host, int(port or COAP_PORT))


class Options(service.Options):
    port: int
    gateway: Address | None
    machines: int
    rate: float
    fail_at: float | None
    log: Path | None


def parser() -> argparse.ArgumentParser:
    options = service.parser("coap", __doc__)
    options.add_argument("--port", type=int, default=COAP_PORT, help="0 for any that is free")
    options.add_argument("--gateway", type=_address, metavar="HOST:PORT", help="report there instead of serving")
    options.add_argument("--machines", type=int, default=1)
    options.add_argument("--rate", type=float, default=10.0, help="states per second and machine, up to 1000")
    options.add_argument("--fail-at", type=float, metavar="SECONDS", help="life of pump-1's bearing at rated speed")
    options.add_argument("--log", type=Path)
    return options


def tellers(options: Options, outlet: Outlet) -> list[Teller]:
    """pump-1, pump-2, …"""
    place = "/pump-{}/state" if options.gateway is None else "/plant/pump-{}/state"
    return [
        Teller(
            place.format(number),
            Plant(options.seed + number - 1, options.fail_at if number == 1 else None),
            outlet.faults.stream(f"pump-{number}"),
            outlet,
        )
        for number in range(1, options.machines + 1)
    ]


async def main(options: Options) -> None:
    logging.getLogger("coap").setLevel(logging.CRITICAL)  # a gateway that goes away is no news here
    with service.outlet(options, options.log) as outlet:
        pumps = tellers(options, outlet)
        if options.gateway is None:
            async with serve(pumps, options.port, options.rate) as port:
                service.ready(port=port)
                await service.stay(outlet.faults, options.control)
        else:
            async with asyncio.TaskGroup() as tasks:
                for pump in pumps:
                    tasks.create_task(report(pump, options.gateway, options.rate))
                service.ready(gateway=options.gateway)
                await service.stay(outlet.faults, options.control)


if __name__ == "__main__":
    service.run(main(parser().parse_args(namespace=Options())))

"""Devices as MQTT clients, each a connection of its own, publishing JSON at QoS 1.

The first of `--machines` is a plant whose bearing may be told to fail (`--fail-at`); the others are sound. Machine
`pump-1` publishes on `plant/pump-1/state`:

    {"ts": 1700000000123, "sequence": 7, "quality": "good",
     "bearing": {"temperature": 50.1, "vibration": 1.2}, "motor": {"current": 22.0, "temperature": 55.0},
     "oil": {"pressure": 4.2}, "tank": {"level": 35.0, "balance": 120}, "speed": {"setpoint": 100.0},
     "valve": {"setpoint": 60}, "rpm": 2950, "flow": 50.2, "starts": 1, "running": true, "failed": false, "run": true}

`ts` is unix time in milliseconds and strictly increases for a machine, unless it lies; `sequence` counts its messages.
A delayed message holds up those behind it, which then follow at once: the machine has one wire.

The log has a line for every message that the broker acknowledged:
`{"topic": …, "ts": …, "sequence": 7, "time_ns": …, "reason": 0, "values": {"bearing.temperature": 50.1, …}}`, where
`time_ns` is when the acknowledgement came and `reason` its MQTT 5 reason code; 16 means that nobody was subscribed.
What was sent but not acknowledged when the process ended has the reason null: it may or may not have arrived.
"""

from __future__ import annotations

import argparse
import asyncio
import math
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import orjson
from paho.mqtt.client import Client, MQTTv5
from paho.mqtt.enums import CallbackAPIVersion

from simulators import service
from simulators.device import SECOND, Device, Message, Value
from simulators.fault import Stream
from simulators.plant import Plant
from simulators.service import Outlet

QUEUE = 1_000  # messages that a machine keeps while the broker is away; later ones are counted and dropped
MILLISECOND = 1_000_000


@dataclass(frozen=True, slots=True)
class Address:
    host: str
    port: int

    @staticmethod
    def parse(text: str) -> Address:
        """Read `HOST:PORT`, or `HOST`."""
        host, _, port = text.partition(":")
        return Address(host, int(port or 1883))

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


class Publisher:
    """One MQTT connection. paho's thread reconnects and redelivers; all else happens on the event loop."""

    def __init__(self, name: str, broker: Address, outlet: Outlet) -> None:
        self.dropped = 0
        self.connected = asyncio.Event()
        self._outlet = outlet
        self._pending: dict[int, Mapping[str, object]] = {}
        self._settled = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._client = Client(CallbackAPIVersion.VERSION2, client_id=name, protocol=MQTTv5)
        self._client.on_connect = lambda *_: self._call(self.connected.set)
        self._client.on_publish = lambda _client, _data, mid, reason, _properties: self._call(
            self._acknowledge, mid, int(reason.value)
        )
        self._client.reconnect_delay_set(1, 5)
        self._client.connect_async(broker.host, broker.port)
        self._client.loop_start()

    def publish(self, topic: str, payload: bytes, record: Mapping[str, object]) -> None:
        """Send, and log `record` once the broker has acknowledged."""
        if len(self._pending) >= QUEUE:
            self.dropped += 1
            return
        self._pending[self._client.publish(topic, payload, qos=1).mid] = record
        self._settled.clear()

    async def close(self) -> None:
        """Wait a little for acknowledgements, say goodbye, and log what is left as unknown."""
        if self._pending and self._client.is_connected():
            with suppress(TimeoutError):
                async with asyncio.timeout(2):
                    await self._settled.wait()
        self._client.disconnect()
        await asyncio.to_thread(self._client.loop_stop)
        for record in self._pending.values():
            self._record(record, None)

    def _call(self, function: Callable[..., object], *arguments: object) -> None:
        """From paho's thread to the loop, which comes to it after whatever it is at: `publish`, perhaps."""
        self._loop.call_soon_threadsafe(function, *arguments)

    def _acknowledge(self, mid: int, reason: int) -> None:
        self._record(self._pending.pop(mid), reason)
        if not self._pending:
            self._settled.set()

    def _record(self, record: Mapping[str, object], reason: int | None) -> None:
        self._outlet.log.write({**record, "time_ns": self._outlet.clock.now_ns(), "reason": reason})


@asynccontextmanager
async def connect(name: str, broker: Address, outlet: Outlet) -> AsyncIterator[Publisher]:
    """A publisher that the broker has welcomed at least once."""
    publisher = Publisher(name, broker, outlet)
    try:
        await publisher.connected.wait()
        yield publisher
    finally:
        await publisher.close()


class Machine:
    """A device that tells its state: reads itself when it is time, passes its faults, and publishes."""

    def __init__(self, topic: str, device: Device, publisher: Publisher, stream: Stream) -> None:
        self._topic = topic
        self._device = device
        self._publisher = publisher
        self._stream = stream
        self._sequence = 0
        self._last_ms = 0

    async def run(self, clock: service.Clock, due: Iterable[float]) -> None:
        """Publish at each of the moments `due`, in seconds of the clock. What is late comes at once."""
        for moment in due:
            await asyncio.sleep(max(0.0, moment - clock.seconds()))
            message = self._message(clock.epoch_ns + round(moment * SECOND), moment)
            if message is not None:
                await asyncio.sleep(message.delay)
                self._publish(message)

    def _message(self, time_ns: int, moment: float) -> Message | None:
        self._last_ms = max(time_ns // MILLISECOND, self._last_ms + 1)
        return self._stream.send(Message(self._device.read(moment), self._last_ms * MILLISECOND), moment)

    def _publish(self, message: Message) -> None:
        self._sequence += 1
        head = {"ts": message.time_ns // MILLISECOND, "sequence": self._sequence}
        record = {"topic": self._topic, **head, "values": message.values}
        payload = {**head, "quality": "good" if message.good else "bad", **nest(message.values)}
        self._publisher.publish(self._topic, orjson.dumps(payload), record)


def nest(values: Mapping[str, Value]) -> dict[str, object]:
    """`{"bearing.temperature": 1}` as `{"bearing": {"temperature": 1}}`."""
    tree: dict[str, object] = {}
    for path, value in values.items():
        *branches, leaf = path.split(".")
        node = tree
        for branch in branches:
            inner = node.setdefault(branch, {})
            if not isinstance(inner, dict):
                raise ValueError(f"{branch} of {path} is a value already")
            node = inner
        node[leaf] = value
    return tree


def ticks(rate: float, start: float) -> Iterator[float]:
    """The moments k / rate from `start` on, for ever."""
    return (k / rate for k in count(math.ceil(start * rate)))


async def machines(stack: AsyncExitStack, plants: Sequence[Plant], broker: Address, outlet: Outlet) -> list[Machine]:
    """A connected machine for each plant: pump-1, pump-2, …; the connections are closed with the stack."""
    names = [f"pump-{i}" for i in range(1, len(plants) + 1)]
    publishers = [await stack.enter_async_context(connect(name, broker, outlet)) for name in names]
    return [
        Machine(f"plant/{name}/state", plant, publisher, outlet.faults.stream(name))
        for name, plant, publisher in zip(names, plants, publishers, strict=True)
    ]


class Options(service.Options):
    broker: Address
    machines: int
    rate: float
    fail_at: float | None
    log: Path | None


def parser(module: str, summary: str | None) -> argparse.ArgumentParser:
    options = service.parser(module, summary)
    options.add_argument("--broker", type=Address.parse, default=Address("127.0.0.1", 1883), metavar="HOST:PORT")
    options.add_argument("--machines", type=int, default=3)
    options.add_argument("--rate", type=float, default=10.0, help="messages per second and machine, up to 1000")
    options.add_argument("--fail-at", type=float, metavar="SECONDS", help="life of pump-1's bearing at rated speed")
    return options


async def main(options: Options) -> None:
    async with AsyncExitStack() as stack:
        outlet = stack.enter_context(service.outlet(options, options.log))
        plants = [Plant(options.seed + i, None if i else options.fail_at) for i in range(options.machines)]
        devices = await machines(stack, plants, options.broker, outlet)
        async with asyncio.TaskGroup() as tasks:
            for machine in devices:
                tasks.create_task(machine.run(outlet.clock, ticks(options.rate, outlet.clock.seconds())))
            service.ready(broker=options.broker)
            await service.stay(outlet.faults, options.control)


if __name__ == "__main__":
    arguments = parser("mqtt", __doc__)
    arguments.add_argument("--log", type=Path)
    service.run(main(arguments.parse_args(namespace=Options())))

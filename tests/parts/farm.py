"""A farm of simulated devices in one process: Modbus TCP units behind listening ports, and devices that publish over
MQTT. All are well until they are told to turn; from then on each is sick in the way that it was made for.

    python -m tests.parts.farm

reads one JSON line `{"stations": [{UNIT: SICKNESS}], "timeout_s": S, "broker": PORT, "topics": {TOPIC: SICKNESS}}`,
answers with a line of the stations' ports, turns at the next line, and ends with its input.

| a unit       | after its turn                                                                |
|--------------|-------------------------------------------------------------------------------|
| ""           | stays well: each register holds its own address                               |
| silent       | takes requests and never answers                                              |
| slow         | answers when 1.2 of the client's timeouts are over                            |
| tardy        | answers when 0.9 of it are over                                               |
| stranger     | answers under another transaction id                                          |
| impostor     | answers for another unit                                                      |
| short        | leaves out the last register                                                  |
| failing      | answers exception 4, server device failure                                    |
| unreachable  | the gateway before it waits half a timeout, then answers exception 11         |
| garbage      | answers something that is not Modbus                                          |
| refused      | its port is closed                                                            |
| hole         | its port swallows connections                                                 |
| hangup       | it hangs up on whoever connects                                               |

| a topic      | after its turn                                                                |
|--------------|-------------------------------------------------------------------------------|
| mute         | nothing is published                                                          |
| frozen       | the same message again and again, time and all                                |
| garbled      | what is published is not JSON                                                 |
"""

from __future__ import annotations

import asyncio
import json
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress

from paho.mqtt.client import Client, MQTTv5
from paho.mqtt.enums import CallbackAPIVersion

Sickness = str

PERIOD_S = 1.0
"""How often a device publishes."""

_HEADER = struct.Struct(">HHHBBHH")
_DELAYS = {"slow": 1.2, "tardy": 0.9, "unreachable": 0.5}
_PORTS = frozenset({"refused", "hole", "hangup"})


class Farm:
    """The process, as a test sees it. `ports` are those of the stations, in their order."""

    def __init__(
        self,
        stations: Sequence[Mapping[int, Sickness]],
        timeout_s: float,
        broker: int,
        topics: Mapping[str, Sickness],
    ) -> None:
        command = [sys.executable, "-m", "tests.parts.farm"]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        spec = {"stations": stations, "timeout_s": timeout_s, "broker": broker, "topics": topics}
        self._tell(json.dumps(spec))
        assert self._process.stdout is not None
        self.ports: list[int] = json.loads(self._process.stdout.readline())

    def turn(self) -> None:
        """The sick become sick."""
        self._tell("turn")

    def stop(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait(10)

    def _tell(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()


class Station:
    """One port, and the units behind it; each connection is served one request after another, as a serial line is."""

    def __init__(self, units: Mapping[int, Sickness], timeout_s: float) -> None:
        self.port = 0
        self._units = units
        self._timeout_s = timeout_s
        self._turned = False
        self._writers: set[asyncio.StreamWriter] = set()
        self._held: list[socket.socket] = []

    async def open(self) -> int:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, backlog=16)
        self.port = int(self._server.sockets[0].getsockname()[1])
        return self.port

    def turn(self) -> None:
        self._turned = True
        sickness = next((each for each in self._units.values() if each in _PORTS), None)
        if sickness is None:
            return
        if sickness != "hangup":
            self._server.close()
        for writer in self._writers:
            writer.transport.abort()
        if sickness == "hole":
            self._held = _hole(self.port)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        # When the farm ends it is cancelled, which Python 3.11's streams would print as an error.
        with suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            while not (self._turned and "hangup" in self._units.values()):
                await self._answer(await reader.readexactly(_HEADER.size), writer)
        self._writers.discard(writer)
        writer.transport.abort()

    async def _answer(self, request: bytes, writer: asyncio.StreamWriter) -> None:
        unit = request[6]
        sickness = self._units.get(unit, "silent") if self._turned else ""
        if delay := _DELAYS.get(sickness):
            await asyncio.sleep(delay * self._timeout_s)
        writer.write(reply(request, sickness))


def reply(request: bytes, sickness: Sickness) -> bytes:
    """The answer to a read of registers."""
    transaction, protocol, _, unit, function, start, count = _HEADER.unpack(request)
    match sickness:
        case "silent":
            return b""
        case "garbage":
            return b"HTTP/1.1 400 Bad Request\r\n\r\n"
        case "failing" | "unreachable":
            code = 4 if sickness == "failing" else 11
            return struct.pack(">HHHBBB", transaction, protocol, 3, unit, function | 0x80, code)
        case "stranger":
            transaction ^= 0x5555
        case "impostor":
            unit ^= 1
        case "short":
            count -= 1
    registers = struct.pack(f">{count}H", *range(start, start + count))
    return struct.pack(">HHHBBB", transaction, protocol, 3 + 2 * count, unit, function, 2 * count) + registers


def _hole(port: int) -> list[socket.socket]:
    """A listener whose queue is full: the kernel drops every further SYN. It lasts as long as these are held."""
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", port))
    listener.listen(0)
    waiting = [socket.socket() for _ in range(2)]
    for each in waiting:
        each.setblocking(False)
        each.connect_ex(("127.0.0.1", port))
    return [listener, *waiting]


class Floor:
    """The devices that publish, all through one connection, their times spread over the period."""

    def __init__(self, broker: int, topics: Mapping[str, Sickness]) -> None:
        self._topics = topics
        self._turned = False
        self._client = Client(CallbackAPIVersion.VERSION2, protocol=MQTTv5)
        self._client.connect("127.0.0.1", broker)
        self._client.loop_start()

    def turn(self) -> None:
        self._turned = True

    async def run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            for number, (topic, sickness) in enumerate(self._topics.items()):
                tasks.create_task(self._publish(topic, sickness, PERIOD_S * number / len(self._topics)))

    async def _publish(self, topic: str, sickness: Sickness, phase: float) -> None:
        loop = asyncio.get_running_loop()
        due, body = loop.time() + phase, b""
        while True:
            await asyncio.sleep(due - loop.time())
            due += PERIOD_S
            now = sickness if self._turned else ""
            if now != "frozen":
                body = b"oil 7 bar" if now == "garbled" else json.dumps({"ts": time.time_ns(), "level": 7}).encode()
            if now != "mute":
                self._client.publish(topic, body, qos=1)

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


async def main() -> None:
    spec = json.loads(await asyncio.to_thread(sys.stdin.readline))
    stations = [
        Station({int(unit): sickness for unit, sickness in units.items()}, spec["timeout_s"])
        for units in spec["stations"]
    ]
    ports = [await station.open() for station in stations]
    floor = Floor(spec["broker"], spec["topics"])
    publishing = asyncio.create_task(floor.run())
    sys.stdout.write(json.dumps(ports) + "\n")
    sys.stdout.flush()
    while await asyncio.to_thread(sys.stdin.readline):
        floor.turn()
        for station in stations:
            station.turn()
    publishing.cancel()
    await asyncio.gather(publishing, return_exceptions=True)
    floor.close()


if __name__ == "__main__":
    asyncio.run(main())

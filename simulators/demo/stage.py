"""All that runs: broker, cloud, gateway, machines. Each is started when what it needs is there."""

from __future__ import annotations

import os
import secrets
import shutil
import sys
import time
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field

import aiohttp

from simulators.demo.child import Child
from simulators.demo.door import Door
from simulators.demo.failure import DemoFailed
from simulators.demo.folder import Folder
from simulators.demo.incident import SECOND

RATE = 10
SEED = 1

_SILENCE = "drop:1"
"""The fault of a machine that says nothing."""
_CONTROL_SECONDS = 10.0
_NONE: Mapping[str, str] = {}
_MOSQUITTO = """\
listener {port} 127.0.0.1
allow_anonymous true
persistence false
# By default it drops what does not fit into a queue of 1,000 messages, while the subscriber is busy.
max_queued_messages 0
"""


@dataclass(frozen=True, slots=True)
class Machines:
    """`line` and `well` send by themselves; from `booster`, one has to fetch."""

    line: Child
    well: Child
    booster: Child

    async def stop(self) -> None:
        """Returns when nothing more is said. What the booster has said last can still be fetched: its server goes on
        until the stage closes. The well is silent before it ends, so that its last report has had its answer."""
        await self.booster.order(_SILENCE)
        await self.well.order(_SILENCE)
        await self.line.end()
        await self.well.end()


@dataclass(slots=True)
class Stage:
    """`children` are the processes in the order in which they were started."""

    folder: Folder
    children: list[Child] = field(default_factory=list)

    @property
    def door(self) -> Door:
        return Door(self.folder.path / "data" / "control.sock")

    async def start_broker(self, wanted: str) -> str:
        """Mosquitto where it is installed, unless another is `wanted`. Returns which."""
        program = None if wanted == "embedded" else _mosquitto()
        if program is None and wanted == "mosquitto":
            raise DemoFailed("mosquitto is not installed: apt-get install mosquitto")
        port = self.folder.ports["broker"]
        if program is None:
            child = await self._python("broker", "simulators.broker", "--port", port)
        else:
            configuration = self.folder.path / "mosquitto.conf"
            configuration.write_text(_MOSQUITTO.format(port=port), "utf-8")
            child = await self._start("broker", program, "-c", configuration)
        await child.listens(port)
        return "the embedded broker" if program is None else "Mosquitto"

    async def start_cloud(self) -> None:
        ports = self.folder.ports
        options = ["--port", ports["cloud"], "--control-port", ports["director"]]
        child = await self._python("cloud", "simulators.cloud", *options, "--log", self.folder.logs / "cloud.jsonl")
        await child.ready()

    async def start_booster(self) -> Child:
        """The OPC UA server. It takes seconds to be ready, which is not waited for, and says nothing new before the
        gateway has subscribed."""
        options = ["--port", self.folder.ports["opcua"], "--seed", SEED + 3, "--rate", RATE]
        options += ["--control", "--fault", _SILENCE, "--log", self.folder.logs / "opcua.jsonl"]
        return await self._python("booster", "simulators.opcua", *options)

    async def start_gateway(self, booster: Child) -> Child:
        """Until it answers, listens and has subscribed: what is published before that is told to nobody."""
        token = {"DEMO_TOKEN": secrets.token_hex(16)}
        child = await self._python("gateway", "gateway", "run", self.folder.configuration, environment=token)
        await booster.ready()
        await child.wait(self._is_subscribed)
        return child

    async def start_machines(self, booster: Child, life: float, age: float) -> Machines:
        """All that the gateway waits for, side by side."""
        machines = Machines(await self._start_line(life, age), await self._start_well(), booster)
        await machines.line.ready()
        await machines.well.ready()
        await booster.order()
        return machines

    async def cut(self, is_cut: bool) -> None:
        """Cut the cloud off, or bring it back. Returns when it is done.

        The stand-in answers every request that it has taken before it closes the connection, and takes none that it
        does not answer. So the gateway is never in doubt about a request, and has no reason to send one twice.
        """
        address = f"http://127.0.0.1:{self.folder.ports['director']}/_control"
        timeout = aiohttp.ClientTimeout(total=_CONTROL_SECONDS)
        session = aiohttp.ClientSession(timeout=timeout, raise_for_status=True)
        try:
            async with session, session.post(address, json={"cut": is_cut}):
                pass
        except aiohttp.ClientError as error:
            raise DemoFailed(f"the cloud does not do what it is told: {error}") from error

    async def close(self) -> None:
        """End what still runs, last started first. Raises DemoFailed for the first one that did not end well."""
        async with AsyncExitStack() as stack:
            for child in self.children:
                stack.push_async_callback(child.end)

    async def _start_line(self, life: float, age: float) -> Child:
        """The pump station and the pumps, whose bearing has run for `age` seconds already and lasts for `life`."""
        ports = self.folder.ports
        epoch = time.time_ns() - round(age * SECOND)
        options = ["--broker", f"127.0.0.1:{ports['broker']}", "--modbus-port", ports["modbus"]]
        options += ["--seed", SEED, "--rate", RATE, "--fail-at", life, "--epoch", epoch]
        return await self._python("line", "simulators.line", *options, "--log-dir", self.folder.logs)

    async def _start_well(self) -> Child:
        """Which reports to the gateway over CoAP."""
        options = ["--gateway", f"127.0.0.1:{self.folder.ports['coap']}", "--seed", SEED + 4, "--rate", RATE]
        options += ["--control", "--log", self.folder.logs / "coap.jsonl"]
        return await self._python("well", "simulators.coap", *options)

    async def _is_subscribed(self) -> bool:
        status = await self.door.status()
        return all(link.online for link in status.links if link.driver != "modbus")

    async def _python(self, name: str, module: str, *options: object, environment: Mapping[str, str] = _NONE) -> Child:
        return await self._start(name, sys.executable, "-m", module, *options, environment=environment)

    async def _start(self, name: str, *command: object, environment: Mapping[str, str] = _NONE) -> Child:
        log = self.folder.logs / f"{name}.log"
        child = await Child.start(name, [str(word) for word in command], log, environment)
        self.children.append(child)
        return child


def _mosquitto() -> str | None:
    """Debian keeps it where only root looks."""
    return shutil.which("mosquitto", path=os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin")))

"""What happens, and when."""

from __future__ import annotations

import asyncio
import math
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import count

from simulators.demo import record
from simulators.demo.child import Child
from simulators.demo.door import Status
from simulators.demo.incident import COMMAND, Outage
from simulators.demo.record import STATION, Logs
from simulators.demo.scene import TAGS, Scene
from simulators.demo.stage import RATE, SEED, Machines, Stage
from simulators.demo.view import View
from simulators.plant import Plant

CUT, HOT, RESTORED = 0.25, 0.45, 0.6
"""Parts of the course: the cloud goes, the bearing is too hot, the cloud comes back."""

LIMIT = 80.0
"""Where `bearing-hot` in config/demo/rules.yaml has it, °C."""

LEAD_SECONDS = 1.5
"""What the machines have for their start, before the course begins."""

_LEAST_LIFE = 30.0
_LOOK_SECONDS = 0.2
_DRAIN_SECONDS = 90.0


@dataclass(frozen=True, slots=True)
class Result:
    """`status` is the gateway's last word, said when nothing moved any more."""

    length: float
    status: Status
    outage: Outage
    peak: int
    logs: Logs


class Course:
    """One performance on a stage."""

    def __init__(self, stage: Stage, view: View, length: float) -> None:
        self.scene = Scene(length)
        self._stage = stage
        self._view = view
        self._zero = math.inf  # nothing has begun

    async def run(self, broker: str) -> Result:
        """Raises DemoFailed, or a group of them."""
        self._tell("The broker, an OPC UA server, the cloud and the gateway start.")
        booster = await self._stage.start_booster()
        name = await self._stage.start_broker(broker)
        await self._stage.start_cloud()
        gateway = await self._stage.start_gateway(booster)
        self._tell(f"The gateway has subscribed at {name} and at the OPC UA server. The machines start.")
        machines = await self._start_machines(booster)
        async with self._watched():
            self._tell("Everything works: values go from the machines through the gateway to the cloud.")
            outage = await self._play()
            await machines.stop()
            self._tell("The machines have stopped, and the gateway delivers what is left.")
            status = await self._drain()
        await gateway.end()
        return Result(self.scene.length, status, outage, self.scene.peak, self._logs())

    async def _start_machines(self, booster: Child) -> Machines:
        self._zero = time.monotonic() + LEAD_SECONDS
        return await self._stage.start_machines(booster, *schedule(self.scene.length))

    async def _play(self) -> Outage:
        """To the end of the course."""
        await self._wait(CUT)
        await self._stage.cut(True)
        began = time.time_ns()
        self.scene.cut_at = self._elapsed()
        self._tell("The cloud is cut off. The gateway reads and judges on, and keeps every value on disk.")
        await self._wait(RESTORED)
        ended = time.time_ns()
        await self._stage.cut(False)
        self.scene.restored_at = self._elapsed()
        self._tell("The cloud is back. The gateway tries again soon: live values go first, the backlog behind them.")
        await self._wait(1.0)
        return Outage(began, ended)

    async def _drain(self) -> Status:
        """Until the gateway has had everything that was sent, and has delivered it; or until that takes too long."""
        logs = self._logs()
        sent = Counter(telegram.device for telegram in logs.telegrams if telegram.arrives)
        sent[STATION] = sum(reply.table != "" for reply in logs.modbus)
        deadline = time.monotonic() + _DRAIN_SECONDS
        while True:
            status = await self._stage.door.status()
            has_all = all(device.scans >= sent[device.id] for device in status.devices)
            if (has_all and status.sink.pending == 0) or time.monotonic() > deadline:
                return status
            await asyncio.sleep(_LOOK_SECONDS / 2)

    @asynccontextmanager
    async def _watched(self) -> AsyncIterator[None]:
        """Shows what goes on, and ends with DemoFailed when a process ends unasked."""
        async with asyncio.TaskGroup() as tasks:
            watching = [self._follow(), self._look(), *(child.watch() for child in self._stage.children)]
            running = [tasks.create_task(each) for each in watching]
            yield
            for task in running:
                task.cancel()

    async def _follow(self) -> None:
        async for readings in self._stage.door.watch(TAGS, _LOOK_SECONDS):
            self.scene.read(readings)

    async def _look(self) -> None:
        scene = self.scene
        is_stopped = is_drained = False
        while True:
            status = await self._stage.door.status()
            scene.elapsed = self._elapsed()
            scene.sample(status)
            if not is_stopped and scene.values.get(COMMAND) is False:
                is_stopped = True
                needless = " It needs no cloud for that." if scene.is_cut else ""
                self._tell(f"The bearing of pump 1 ran hot, so the gateway stopped the pump.{needless}")
            if not is_drained and scene.has_caught_up():
                is_drained = True
                self._tell("The cloud has everything that it missed.")
            self._view.show(scene)
            await asyncio.sleep(_LOOK_SECONDS)

    async def _wait(self, part: float) -> None:
        """Until this part of the course is over."""
        await asyncio.sleep(part * self.scene.length - self._elapsed())

    def _elapsed(self) -> float:
        return time.monotonic() - self._zero

    def _tell(self, text: str) -> None:
        self.scene.elapsed = self._elapsed()
        self.scene.tell(text)
        self._view.show(self.scene)

    def _logs(self) -> Logs:
        return record.load(self._stage.folder.logs)


def schedule(length: float) -> tuple[float, float]:
    """The life of the bearing, and how long it has run when the machines start, so that it is too hot at the right
    moment, however long the course is. Seconds."""
    life = max(_LEAST_LIFE, RESTORED * length)
    return life, max(0.0, hot_at(life) - LEAD_SECONDS - HOT * length)


def hot_at(life: float) -> float:
    """After how many seconds a bearing with this life is above the limit."""
    plant = Plant(SEED, life)
    moments = (tick / RATE for tick in count())
    return next(moment for moment in moments if plant.read(moment)["bearing.temperature"] > LIMIT or plant.failed)

"""What monitoring asks over HTTP: `/metrics` in Prometheus' text format, `/healthz` and `/readyz`."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Iterable, Iterator
from importlib.metadata import version

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.registry import Collector

from gateway import backlog, status
from gateway.cell import Cell
from gateway.errors import ConfigError
from gateway.model import AlarmState, DeviceState
from gateway.site import HttpSettings
from gateway.status import Rates, Status

_log = logging.getLogger(__name__)

_CLOSE_SECONDS = 1.0

_LINK_COUNTS = {
    "sessions": "Sessions begun",
    "refused": "What could not become a scan, and losses of the connection",
}
_DEVICE_COUNTS = {
    "scans": "Scans received",
    "points": "Values received",
    "late": "Scan intervals left out because the ones before took too long",
}
_SINK_COUNTS = {
    "ingested": "Points accepted for this sink: delivered + pending + dead letters + dropped",
    "delivered": "Points that the sink has",
    "dead_letters": "Points that the sink refuses for good",
    "dropped": "Points given up",
}


class Metrics:
    """`open` takes the port, `run` answers until it is cancelled. `port` is the one in use."""

    def __init__(self, cell: Cell, settings: HttpSettings) -> None:
        self.port = settings.port
        self._cell = cell
        self._host = settings.host
        self._runner = web.AppRunner(application(cell), access_log=None, shutdown_timeout=_CLOSE_SECONDS)

    async def open(self) -> None:
        """Raises ConfigError where the port cannot be had."""
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, self._host, self.port).start()
        except OSError as error:
            await self._runner.cleanup()
            reason = error.strerror or str(error)
            raise ConfigError(f"http cannot listen on {self._host}, port {self.port}: {reason}") from error
        self.port = self._runner.addresses[0][1]
        _log.info("metrics at http://%s:%d/metrics", self._host, self.port)

    async def run(self) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await self._runner.cleanup()


def application(cell: Cell) -> web.Application:
    process = ProcessCollector(registry=None)

    async def metrics(request: web.Request) -> web.Response:
        taken = await _take(cell)
        body = generate_latest(Snapshot(taken, process))
        return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def health(request: web.Request) -> web.Response:
        reasons = ailments(await _take(cell))
        return web.json_response({"healthy": not reasons, "reasons": reasons}, status=503 if reasons else 200)

    async def ready(request: web.Request) -> web.Response:
        taken = await _take(cell)
        reasons = ailments(taken) + awaited(taken)
        return web.json_response({"ready": not reasons, "reasons": reasons}, status=503 if reasons else 200)

    app = web.Application()
    app.add_routes([web.get("/metrics", metrics), web.get("/healthz", health), web.get("/readyz", ready)])
    return app


async def _take(cell: Cell) -> Status:
    return status.collect(cell, await backlog.look(cell), Rates())


def ailments(taken: Status) -> list[str]:
    """Why the gateway is not healthy. A far end that is away is no reason: bridging that is what it is for."""
    return [f"the journal fails: {taken.failure}"] if taken.failure else []


def awaited(taken: Status) -> list[str]:
    """Why the gateway is not ready yet: the links that have not been tried."""
    return [f"link {link.id} has not been tried yet" for link in taken.links if not link.sessions]


class Snapshot(Collector):
    """One status as metrics, so that its counts add up, and the process's own."""

    def __init__(self, taken: Status, process: Collector) -> None:
        self._taken = taken
        self._process = process

    def collect(self) -> Iterable[Metric]:
        yield from _cell(self._taken)
        yield from _links(self._taken)
        yield from _devices(self._taken)
        yield from _sinks(self._taken)
        yield from self._process.collect()


def _cell(taken: Status) -> Iterator[Metric]:
    names = {"site": taken.site, "cell": taken.cell, "version": version("edgeward")}
    yield InfoMetricFamily("edgeward_cell", "The cell that this is", names)
    yield GaugeMetricFamily("edgeward_loop_lag_seconds", "How late the event loop wakes up", taken.lag_s)
    yield GaugeMetricFamily("edgeward_journal_bytes", "The journal's size on disk", taken.journal_bytes)
    failing = float(bool(taken.failure))
    yield GaugeMetricFamily("edgeward_journal_failing", "1 while the journal cannot write", failing)
    states = Counter(entry.state for entry in taken.alarms)
    alarms = GaugeMetricFamily("edgeward_alarms", "Alarms that are not normal, by state", labels=["state"])
    for state in AlarmState:
        if state is not AlarmState.NORMAL:
            alarms.add_metric([state], states[state])
    yield alarms
    active = GaugeMetricFamily("edgeward_alarms_active", "Alarms whose condition holds", labels=["priority"])
    for priority, number in Counter(entry.priority for entry in taken.alarms if entry.active).items():
        active.add_metric([priority], number)
    yield active


def _links(taken: Status) -> Iterator[Metric]:
    labels = {link.id: link for link in taken.links}
    online = GaugeMetricFamily("edgeward_link_online", "1 while the connection stands", labels=["link", "driver"])
    for link in taken.links:
        online.add_metric([link.id, link.driver], link.online)
    yield online
    for count, help_ in _LINK_COUNTS.items():
        family = CounterMetricFamily(f"edgeward_link_{count}", help_, labels=["link"])
        for name, link in labels.items():
            family.add_metric([name], getattr(link, count))
        yield family

"""A status as Prometheus metrics: `edgeward_<noun>_<unit>`, and the process's own. Pure but for the latter."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from importlib.metadata import version
from typing import TypeAlias

from prometheus_client import ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.registry import Collector

from gateway.model import AlarmState, DeviceState
from gateway.status import DeviceStatus, LinkStatus, SinkStatus, Status

Samples: TypeAlias = Iterable[tuple[Sequence[str], float | None]]


def expose(status: Status) -> bytes:
    """The text of `/metrics`."""
    return generate_latest(_Snapshot(status))


class _Snapshot(Collector):
    """One status, so that the counts of a sink add up. No registry: nothing is global, nothing is kept."""

    def __init__(self, status: Status) -> None:
        self._status = status
        self._process = ProcessCollector(registry=None)

    def collect(self) -> Iterable[Metric]:
        yield from _cell(self._status)
        yield from _links(self._status.links)
        yield from _devices(self._status.devices)
        yield from _sinks(self._status.sinks)
        yield from self._process.collect()


def _cell(status: Status) -> Iterator[Metric]:
    names = {"site": status.site, "cell": status.cell, "version": version("edgeward")}
    yield InfoMetricFamily("edgeward_cell", "The cell that this is", names)
    yield GaugeMetricFamily("edgeward_loop_lag_seconds", "How late the event loop wakes up", status.lag_s)
    yield GaugeMetricFamily("edgeward_journal_bytes", "Size of the journal on disk", status.journal_bytes)
    failing = float(bool(status.failure))
    yield GaugeMetricFamily("edgeward_journal_failing", "1 while the journal cannot write", failing)
    states = Counter(alarm.state for alarm in status.alarms)
    told = [state.value for state in AlarmState if state is not AlarmState.NORMAL]
    yield _gauge("alarms", "Alarms that are not normal", ["state"], [([state], states[state]) for state in told])
    active = Counter(alarm.priority for alarm in status.alarms if alarm.active)
    counts = [([priority], number) for priority, number in active.items()]
    yield _gauge("alarms_active", "Alarms whose condition holds", ["priority"], counts)


def _links(links: Sequence[LinkStatus]) -> Iterator[Metric]:
    online = [((link.id, link.driver), link.online) for link in links]
    yield _gauge("link_online", "1 while the connection stands", ["link", "driver"], online)
    sessions = [((link.id,), link.sessions) for link in links]
    yield _counter("link_sessions", "Sessions begun", ["link"], sessions)
    refused = [((link.id,), link.refused) for link in links]
    yield _counter("link_refused", "What could not become a scan, and losses of the connection", ["link"], refused)


def _devices(devices: Sequence[DeviceStatus]) -> Iterator[Metric]:
    labels = ["device", "link"]
    names = [(device.id, device.link) for device in devices]
    states = [((*name, state), device.state == state) for name, device in zip(names, devices) for state in DeviceState]
    yield _gauge("device_state", "1 for the state that the device is in", [*labels, "state"], states)
    fresh = zip(names, (device.fresh_s for device in devices))
    yield _gauge("device_freshness_seconds", "Age of the freshest value", labels, fresh)
    scans = zip(names, (device.scans for device in devices))
    yield _counter("device_scans", "Scans received", labels, scans)
    points = zip(names, (device.points for device in devices))
    yield _counter("device_points", "Values received", labels, points)
    late = zip(names, (device.late for device in devices))
    yield _counter("device_late_scans", "Scans left out because those before took too long", labels, late)


def _sinks(sinks: Sequence[SinkStatus]) -> Iterator[Metric]:
    labels = ["sink"]
    names = [(sink.id,) for sink in sinks]
    online = zip(names, (sink.online for sink in sinks))
    yield _gauge("sink_online", "1 while the sink takes what it is given", labels, online)
    ingested = zip(names, (sink.ingested for sink in sinks))
    yield _counter(
        "sink_ingested_points", "Delivered, pending, dead letters and dropped together", labels, ingested
    )
    delivered = zip(names, (sink.delivered for sink in sinks))
    yield _counter("sink_delivered_points", "Points that the sink has", labels, delivered)

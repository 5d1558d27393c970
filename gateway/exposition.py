"""A status in Prometheus' text format: `edgeward_<noun>_<unit>`, and what the process itself takes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Generic, TypeVar

from prometheus_client import ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.registry import Collector

from gateway.model import AlarmState, DeviceState
from gateway.status import AlarmEntry, DeviceStatus, LinkStatus, SinkStatus, Status

_Entry = TypeVar("_Entry")


@dataclass(frozen=True, slots=True)
class Measure(Generic[_Entry]):
    """One figure of every link, device or sink; None where it is not known."""

    family: type[GaugeMetricFamily | CounterMetricFamily]
    name: str
    help: str
    value: Callable[[_Entry], float | None]


LINK: Sequence[Measure[LinkStatus]] = (
    Measure(GaugeMetricFamily, "edgeward_link_online", "1 while the connection stands", lambda link: link.online),
    Measure(CounterMetricFamily, "edgeward_link_sessions", "Sessions begun", lambda link: link.sessions),
    Measure(
        CounterMetricFamily,
        "edgeward_link_refused",
        "What could not become a scan, and losses of the connection",
        lambda link: link.refused,
    ),
)

DEVICE: Sequence[Measure[DeviceStatus]] = (
    Measure(
        GaugeMetricFamily,
        "edgeward_device_freshness_seconds",
        "Age of the freshest value",
        lambda device: device.fresh_s,
    ),
    Measure(CounterMetricFamily, "edgeward_device_scans", "Scans received", lambda device: device.scans),
    Measure(CounterMetricFamily, "edgeward_device_points", "Values received", lambda device: device.points),
    Measure(
        CounterMetricFamily,
        "edgeward_device_late_scans",
        "Scans left out because those before them took too long",
        lambda device: device.late,
    ),
    Measure(
        CounterMetricFamily,
        "edgeward_device_bad_scans",
        "Scans that held bad values",
        lambda device: device.bad_scans,
    ),
)

SINK: Sequence[Measure[SinkStatus]] = (
    Measure(GaugeMetricFamily, "edgeward_sink_online", "1 while the sink takes what it gets", lambda sink: sink.online),
    Measure(
        CounterMetricFamily,
        "edgeward_sink_ingested_points",
        "Points for this sink: those delivered, pending, among the dead letters and dropped together",
        lambda sink: sink.ingested,
    ),
    Measure(
        CounterMetricFamily, "edgeward_sink_delivered_points", "Points that the sink has", lambda sink: sink.delivered
    ),
    Measure(
        GaugeMetricFamily, "edgeward_sink_pending_points", "Points still to be delivered", lambda sink: sink.pending
    ),
    Measure(
        CounterMetricFamily,
        "edgeward_sink_dead_letter_points",
        "Points that the sink refused for good",
        lambda sink: sink.dead_letters,
    ),
    Measure(
        CounterMetricFamily,
        "edgeward_sink_dropped_points",
        "Points that were given up on the way to the sink",
        lambda sink: sink.dropped,
    ),
    Measure(CounterMetricFamily, "edgeward_sink_retries", "Deliveries that failed", lambda sink: sink.retries),
    Measure(
        GaugeMetricFamily,
        "edgeward_sink_pending_age_seconds",
        "Age of the oldest pending point",
        lambda sink: sink.oldest_s if sink.pending else 0,
    ),
)


def expose(status: Status) -> bytes:
    """The text of `/metrics`."""
    return generate_latest(_Snapshot(status))


class _Snapshot(Collector):
    """One status, so that the counts of a sink add up. There is no registry: nothing is global, nothing is kept."""

    def __init__(self, status: Status) -> None:
        self._status = status
        self._process = ProcessCollector(registry=None)

    def collect(self) -> Iterable[Metric]:
        status = self._status
        yield from _cell(status)
        yield from _alarms(status.alarms)
        yield from _measured(LINK, ("link",), [((link.id,), link) for link in status.links])
        devices = [((device.id, device.link), device) for device in status.devices]
        yield _states(status.devices)
        yield from _measured(DEVICE, ("device", "link"), devices)
        yield from _measured(SINK, ("sink",), [((sink.id,), sink) for sink in status.sinks])
        yield from self._process.collect()


def _cell(status: Status) -> Iterator[Metric]:
    names = {"site": status.site, "cell": status.cell, "version": version("edgeward")}
    yield InfoMetricFamily("edgeward_cell", "The cell that this is", names)
    yield GaugeMetricFamily("edgeward_loop_lag_seconds", "How late the event loop wakes up", status.lag_s)
    yield GaugeMetricFamily("edgeward_journal_bytes", "Size of the journal on disk", status.journal_bytes)
    failing = float(bool(status.failure))
    yield GaugeMetricFamily("edgeward_journal_failing", "1 while the journal cannot write", failing)


def _alarms(alarms: Sequence[AlarmEntry]) -> Iterator[Metric]:
    states = Counter(alarm.state for alarm in alarms)
    by_state = GaugeMetricFamily("edgeward_alarms", "Alarms that are not normal", labels=("state",))
    for state in AlarmState:
        if state is not AlarmState.NORMAL:
            by_state.add_metric((state.value,), states[state.value])
    yield by_state
    active = GaugeMetricFamily("edgeward_alarms_active", "Alarms whose condition holds", labels=("priority",))
    for priority, number in sorted(Counter(alarm.priority for alarm in alarms if alarm.active).items()):
        active.add_metric((priority,), number)
    yield active
    suppressed = sum(alarm.suppressed for alarm in alarms)
    yield GaugeMetricFamily("edgeward_alarms_suppressed", "Alarms that are shelved or out of service", suppressed)
    latched = sum(alarm.latched for alarm in alarms)
    yield GaugeMetricFamily("edgeward_alarms_latched", "Alarms that are latched until they are reset", latched)


def _states(devices: Sequence[DeviceStatus]) -> Metric:
    labels = ("device", "link", "state")
    family = GaugeMetricFamily("edgeward_device_state", "1 for the state that the device is in", labels=labels)
    for device in devices:
        for state in DeviceState:
            family.add_metric((device.id, device.link, state.value), device.state == state.value)
    return family


def _measured(
    measures: Sequence[Measure[_Entry]], labels: Sequence[str], entries: Sequence[tuple[Sequence[str], _Entry]]
) -> Iterator[Metric]:
    for measure in measures:
        family = measure.family(measure.name, measure.help, labels=labels)
        for values, entry in entries:
            number = measure.value(entry)
            if number is not None:
                family.add_metric(values, number)
        yield family

"""A status as tables: one for each kind of thing, and the reasons in the last column, where there is room for them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from gateway.cli.table import console, table
from gateway.cli.words import NOTHING, ago, count, date, size, span, value
from gateway.status import AlarmEntry, DeviceStatus, LinkStatus, SinkStatus, Status

_DIGITS = 8
"""Of the hash, which `edgeward status --json` shows whole."""


def show(status: Status, out: Console | None = None) -> None:
    out = out or console()
    out.print(Text(headline(status), "bold"))
    if status.generation.refused:
        out.print(Text(status.generation.refused, "bold red"))
    if status.failure:
        out.print(Text(f"the journal cannot write: {status.failure}", "bold red"))
    for part in parts(status):
        out.print()
        out.print(part)


def headline(status: Status) -> str:
    generation = f"generation {status.generation.number} ({status.generation.sha256[:_DIGITS]})"
    lag = f"{status.lag_s * 1000:.1f} ms"
    up = f"up {span(status.uptime_s)}"
    return f"{status.site}/{status.cell}: {up}, {generation}, loop lag {lag}, journal {size(status.journal_bytes)}"


def parts(status: Status) -> Iterator[Table | str]:
    yield links(status.links) if status.links else "no links"
    yield devices(status.devices) if status.devices else "no devices"
    yield sinks(status.sinks) if status.sinks else "no sinks: nothing is kept"
    yield alarms(status.alarms) if status.alarms else "no alarms"


def links(entries: Sequence[LinkStatus]) -> Table:
    return table(("LINK", "DRIVER", "STATE", "SESSIONS>", "REFUSED>", "REASON"), map(_link, entries))


def _link(link: LinkStatus) -> Sequence[str]:
    state = "online" if link.online else "offline"
    return link.id, link.driver, state, count(link.sessions), count(link.refused), link.reason


def devices(entries: Sequence[DeviceStatus]) -> Table:
    columns = ("DEVICE", "LINK", "STATE", "SINCE>", "POINTS/S>", "POINTS>", "LATE>", "FRESH>", "REASON")
    return table(columns, map(_device, entries))


def _device(device: DeviceStatus) -> Sequence[str]:
    return (
        device.id,
        device.link,
        device.state,
        ago(device.since),
        NOTHING if device.rate is None else count(device.rate),
        count(device.points),
        count(device.late),
        span(device.fresh_s),
        device.reason,
    )


def sinks(entries: Sequence[SinkStatus]) -> Table:
    columns = ("SINK", "STATE", "PENDING>", "OLDEST>", "DELIVERED>", "DEAD>", "DROPPED>", "RETRIES>", "REASON")
    return table(columns, map(_sink, entries))


def _sink(sink: SinkStatus) -> Sequence[str]:
    return (
        sink.id,
        "online" if sink.online else "offline" if sink.retries else "idle",
        count(sink.pending),
        span(sink.oldest_s),
        count(sink.delivered),
        count(sink.dead_letters),
        count(sink.dropped),
        count(sink.retries),
        sink.reason or (sink.commands and f"commands: {sink.commands}"),
    )


def alarms(entries: Sequence[AlarmEntry]) -> Table:
    columns = ("ALARM", "PRIORITY", "STATE", "SINCE>", "TAG", "VALUE>", "MESSAGE")
    return table(columns, map(_alarm, entries))


def _alarm(alarm: AlarmEntry) -> Sequence[str]:
    state = ", ".join([alarm.state, *conditions(alarm)])
    told = f"its rule failed: {alarm.fault}" if alarm.fault else alarm.message
    message = f"{told} ({remark(alarm)})" if alarm.actor else told
    return alarm.alarm, alarm.priority, state, ago(alarm.since), alarm.tag, value(alarm.value), message


def conditions(alarm: AlarmEntry) -> Iterator[str]:
    """What stands beside the state of an alarm, in words."""
    if alarm.latched:
        yield "latched"
    if alarm.shelved_until:
        yield f"shelved until {date(alarm.shelved_until)} UTC"
    if alarm.out_of_service:
        yield "out of service"
    if alarm.fault:
        yield "not judged"


def remark(alarm: AlarmEntry) -> str:
    """Who did something to it last, and why."""
    return f"{alarm.actor}: {alarm.comment}" if alarm.comment else alarm.actor

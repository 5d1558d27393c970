"""The scene as lines of text for a terminal. Every chart is drawn over the whole course, so that what happens together
stands in one column; what happens while the cloud is away has another colour. Pure."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable

from rich.text import Text

from simulators.demo.door import AlarmEntry, DeviceStatus, LinkStatus, SinkStatus, Status
from simulators.demo.incident import COMMAND
from simulators.demo.scene import ARRIVING, MACHINES, PENDING, Scene, Trend

BARS = "▁▂▃▄▅▆▇█"

_MARGIN = 2
_LABEL = 17
_VALUE = 12
_GAP = 2
_ROOMY = 29  # lines, from which on there is room for headings
_STORY = 2
_MOST_ALARMS = 3
_BUSY = 2500
"""Points: what the plant gives in two or three seconds. A burst does not flatten what is usual."""
_ARRIVING, _WAITING, _DELIVERED = "arriving", "waiting on disk", "delivered"
_ORDER = ("critical", "high", "medium", "low")
_AWAY = "yellow"
_HERE = "cyan"


def draw(scene: Scene, width: int, height: int) -> Text:
    """At most `height` lines of at most `width` cells, and whole from 80 by 24 on."""
    parts = [_head(scene, width), _machines(scene, width), _delivery(scene, width), _alarms(scene)]
    headings = ("", "MACHINES", "CLOUD", "ALARMS")
    lines: list[Text] = []
    for heading, part in zip(headings, parts, strict=True):
        if lines:
            lines.append(Text())
        if heading and height >= _ROOMY:
            lines.append(Text(heading, "dim"))
        lines += part
    return Text("\n").join(_fit(line, width) for line in lines[:height])


def columns(samples: Iterable[tuple[float, float]], length: float, count: int) -> list[float]:
    """Samples on an axis of `count` columns that is `length` seconds long: the highest in each column, and where there
    is none the one before. As long as the samples go."""
    found: list[float] = []
    for moment, value in samples:
        place = min(count - 1, max(0, int(moment / length * count)))
        found += found[-1:] * (place - len(found))
        found[place:] = [max([*found[place:], value])]
    return found


def bar(value: float, low: float, high: float) -> str:
    """One of eight heights. What lies beyond the ends is drawn at the end."""
    share = (value - low) / (high - low) if high > low else 0.0
    return BARS[round(min(1.0, max(0.0, share)) * (len(BARS) - 1))]


def _head(scene: Scene, width: int) -> list[Text]:
    title = Text().append("Edgeward demo", "bold")
    title.append("Ctrl-C ends it".rjust(width - 2 * _MARGIN - len(title)), "dim")
    story = textwrap.wrap(scene.story, width - 2 * _MARGIN, max_lines=_STORY)
    return [title, *(Text(line) for line in (*story, "", "")[:_STORY]), _course(scene, width)]


def _course(scene: Scene, width: int) -> Text:
    room = _chart_width(width)
    moment = min(max(scene.elapsed, 0.0), scene.length)
    done = round(moment / scene.length * room)
    line = Text("━" * done).append("─" * (room - done), "dim")
    for column in range(done):
        line.stylize(_colour(scene, column, room), column, column + 1)
    return _row("time", f"{moment:.0f} of {scene.length:g} s", line)


def _machines(scene: Scene, width: int) -> list[Text]:
    alarmed = {alarm.tag for alarm in scene.status.alarms if alarm.active} if scene.status else set()
    rows = []
    for trend in MACHINES:
        chart = _chart(scene, trend.tag, (trend.low, trend.high), _chart_width(width))
        rows.append(_row(trend.name, _reading(scene, trend), chart, "bold red" if trend.tag in alarmed else ""))
    return [*rows, _pump(scene, width), _links(scene.status)]


def _pump(scene: Scene, width: int) -> Text:
    """Whether pump 1 is told to run."""
    room = _chart_width(width)
    chart = Text()
    for column, value in enumerate(columns(scene.trends.get(COMMAND, ()), scene.length, room)):
        chart.append("━" if value else "╌", _colour(scene, column, room) if value else "red")
    run = scene.values.get(COMMAND)
    words, style = ("–", "") if run is None else ("runs", "green") if run else ("stopped", "bold red")
    return _row("pump 1", words, chart, style)


def _links(status: Status | None) -> Text:
    return Text("    ").join(_link(link, status.devices) for link in status.links) if status else Text()


def _link(link: LinkStatus, devices: Iterable[DeviceStatus]) -> Text:
    """With what comes over it."""
    rate = sum(device.rate or 0 for device in devices if device.link == link.id)
    line = Text().append("● " if link.online else "○ ", "green" if link.online else "red")
    return line.append(f"{link.driver} {rate:,.0f} /s")


def _delivery(scene: Scene, width: int) -> list[Text]:
    if scene.status is None:
        return [*(_row(name, "–", Text()) for name in (_ARRIVING, _WAITING, _DELIVERED)), Text()]
    room, sink = _chart_width(width), scene.status.sink
    _, rate = scene.trends.get(ARRIVING, [(0.0, 0.0)])[-1]
    return [
        _row(_ARRIVING, f"{rate:,.0f} /s", _chart(scene, ARRIVING, (0, _BUSY), room)),
        _row(_WAITING, f"{sink.pending:,}", _chart(scene, PENDING, (0, max(scene.peak, _BUSY)), room)),
        _row(_DELIVERED, f"{sink.delivered:,}", _share(sink, room)),
        _cloud(sink, scene.is_cut),
    ]


def _share(sink: SinkStatus, room: int) -> Text:
    """What was delivered, and what waits, of all that was taken in."""
    delivered = round(sink.delivered / sink.ingested * room) if sink.ingested else 0
    return Text("█" * delivered, "green").append("░" * (room - delivered), _AWAY if sink.pending else "dim")


def _cloud(sink: SinkStatus, is_cut: bool) -> Text:
    here = sink.online and not is_cut
    line = Text().append("● " if here else "○ ", "green" if here else _AWAY)
    words = (
        "the cloud is there" if here else "the cloud is away" if is_cut else "the gateway waits to try the cloud again"
    )
    return line.append(words, "" if here else _AWAY)


def _alarms(scene: Scene) -> list[Text]:
    alarms = sorted(scene.status.alarms if scene.status else (), key=lambda alarm: _ORDER.index(alarm.priority))
    return [_alarm(alarm) for alarm in alarms[:_MOST_ALARMS]] or [Text("no alarms", "dim")]


def _alarm(alarm: AlarmEntry) -> Text:
    line = Text()
    line.append("▲ " if alarm.active else "△ ", "red" if alarm.active else "dim")
    line.append(f"{alarm.priority:<10}", "bold red" if alarm.active else "dim")
    line.append(f"{alarm.message:<33}", "" if alarm.active else "dim")
    return line.append(alarm.state, "dim")


def _chart(scene: Scene, name: str, limits: tuple[float, float], room: int) -> Text:
    chart = Text()
    for column, value in enumerate(columns(scene.trends.get(name, ()), scene.length, room)):
        chart.append(bar(value, *limits), _colour(scene, column, room))
    return chart


def _colour(scene: Scene, column: int, room: int) -> str:
    return _AWAY if scene.was_cut((column + 0.5) * scene.length / room) else _HERE


def _reading(scene: Scene, trend: Trend) -> str:
    value = scene.values.get(trend.tag)
    return f"{value:.1f} {trend.unit:<4}" if isinstance(value, int | float) else "–"


def _row(label: str, value: str, chart: Text, style: str = "") -> Text:
    line = Text().append(f"{label:<{_LABEL}}", "dim").append(f"{value:>{_VALUE}}", style)
    return line.append(" " * _GAP).append(chart)


def _chart_width(width: int) -> int:
    return max(1, width - 2 * _MARGIN - _LABEL - _VALUE - _GAP)


def _fit(line: Text, width: int) -> Text:
    line.truncate(width - 2 * _MARGIN, overflow="ellipsis")
    return Text(" " * _MARGIN).append(line)

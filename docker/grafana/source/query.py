"""What a panel asks: one question, spelled in InfluxQL for InfluxDB 1 and in Flux for InfluxDB 2.

Grafana puts in the time range (`$timeFilter`, `v.timeRangeStart`), the width of a point (`$__interval`,
`v.windowPeriod`) and what people chose from a list (`${device:regex}`).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

PLACE = ("cell",)
DEVICE = ("cell", "device")

BACK = "90d"
"""How far back the last event of a device or an alarm is looked for: it may have happened long before what is shown."""

GROUPS = "/^${group:regex}$/"
"""The measurements that hold values: all but those of the events."""

VALUES = "[^q]$|[^.]q$|^q$"
"""Fields that are values, and no status codes (`<tag>.q`). The regular expressions of InfluxDB have no look-ahead."""

CODES = "[.]q$"

SHOWN = "range(start: v.timeRangeStart, stop: v.timeRangeStop)"
SINCE = f"range(start: -{BACK})"


class Query(Protocol):
    """`is_table` rows are shown as they are; otherwise as series over time, which InfluxQL names by `alias`."""

    @property
    def is_table(self) -> bool: ...

    @property
    def alias(self) -> str: ...

    def influxql(self) -> str: ...

    def flux(self) -> str: ...


def matching(name: str) -> str:
    """Values whose name matches the pattern that people gave under `name`."""
    return f"(${{{name}:raw}})(|q|.*[^q]|.*[^.]q)$"


def chosen(tags: Iterable[str]) -> str:
    """InfluxQL: what people chose from the lists of that name."""
    return " AND ".join(f'"{tag}" =~ /^${{{tag}:regex}}$/' for tag in tags)


def picked(tags: Iterable[str]) -> str:
    """The same in Flux."""
    return " and ".join(f"r.{tag} =~ /^${{{tag}:regex}}$/" for tag in tags)


def columns(names: Iterable[str]) -> str:
    return ", ".join(f'"{name}"' for name in names)


def pipe(*stages: str) -> str:
    """Flux, one stage a line; empty ones are left out."""
    return "\n  |> ".join(("from(bucket: v.defaultBucket)", *filter(None, stages)))

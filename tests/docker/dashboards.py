"""The dashboards as they are in the repository, and what Grafana does to a query before it sends it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
GRAFANA = ROOT / "docker" / "grafana"
DASHBOARDS = GRAFANA / "dashboards"

Json = dict[str, Any]
Choice = Mapping[str, list[str]]
Ask = Callable[[str], list[Json]]

_VARIABLE = re.compile(r"\$\{(\w+)(?::(\w+))?\}")
_SPECIAL = re.compile(r"[\\^$.*+?()\[\]{}|]")
_UNITS = {"m": 60, "h": 3600, "d": 86_400}


def load(language: str) -> dict[str, Json]:
    """All dashboards in one language, by file name."""
    return {file.stem: json.loads(file.read_text()) for file in sorted((DASHBOARDS / language).glob("*.json"))}


def span(board: Json) -> int:
    """The time range that a dashboard opens with, in seconds."""
    match = re.fullmatch(r"now-(\d+)([mhd])", board["time"]["from"])
    assert match is not None
    assert board["time"]["to"] == "now"
    return int(match[1]) * _UNITS[match[2]]


@dataclass(frozen=True)
class Window:
    """A time range in milliseconds, and what Grafana would make of it for a panel some 100 points wide."""

    start: int
    stop: int

    @property
    def interval_s(self) -> int:
        return max(1, (self.stop - self.start) // 100_000)

    def influxql(self, query: str, choice: Choice) -> str:
        query = query.replace("$timeFilter", f"time >= {self.start}ms and time <= {self.stop}ms")
        return self._filled(query.replace("$__interval", f"{self.interval_s}s"), choice)

    def flux(self, query: str, choice: Choice) -> str:
        for name, value in (
            ("v.timeRangeStart", "2025-01-01T00:00:00Z"),
            ("v.timeRangeStop", "2025-01-02T00:00:00Z"),
            ("v.windowPeriod", "14m24s"),  # as Go writes a duration
            ("v.defaultBucket", '"plant"'),
        ):
            query = query.replace(name, value)
        return self._filled(query, choice)

    def _filled(self, query: str, choice: Choice) -> str:
        known = {"__from": [str(self.start)], "__to": [str(self.stop)], **choice}
        filled = _VARIABLE.sub(lambda match: _formatted(known[match[1]], match[2]), query)
        assert "${" not in filled, filled
        assert re.search(r"\$[a-zA-Z_]", filled) is None, filled
        return filled


def _formatted(values: list[str], form: str | None) -> str:
    if form == "regex":
        escaped = [_SPECIAL.sub(r"\\\g<0>", value) for value in values]
        return escaped[0] if len(escaped) == 1 else f"({'|'.join(escaped)})"
    (value,) = values  # raw, or one of Grafana's own
    return value


def choices(board: Json, window: Window, ask: Ask) -> list[Choice]:
    """What people can choose at the top of a dashboard: all of a list, or one after the other where only one may be
    chosen. Fails where a list is empty."""
    made: list[dict[str, list[str]]] = [{}]
    for variable in board["templating"]["list"]:
        name = variable["name"]
        made = [chosen | {name: some} for chosen in made for some in _offered(variable, chosen, window, ask)]
    return list(made)


def _offered(variable: Json, chosen: Choice, window: Window, ask: Ask) -> list[list[str]]:
    if variable["type"] == "textbox":
        return [[variable["query"]]]
    rows = ask(window.influxql(variable["query"], chosen))
    keep = re.compile(variable["regex"].strip("/"))
    found = {str(row.get("value") or row.get("name") or row.get("fieldKey")) for row in rows}
    names = sorted(name for name in found if keep.search(name))
    assert names, f"there is nothing to choose from in the list {variable['name']}"
    return [names] if variable["multi"] else [[name] for name in names]


def repeats(panel: Json, choice: Choice) -> Iterator[Choice]:
    """A panel that is repeated is asked once for each value of a list."""
    name = panel.get("repeat")
    if name is None:
        yield choice
        return
    for value in choice[name]:
        yield {**choice, name: [value]}

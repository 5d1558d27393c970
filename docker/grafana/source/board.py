"""A dashboard: the lists at its top, its panels in reading order, and how both become Grafana's JSON."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from choice import Choice, Json, Pattern
from panel import Panel
from query import Query
from style import NAVIGATION

SCHEMA_VERSION = 41
WIDTH = 24


class Language(StrEnum):
    FLUX = "flux"
    INFLUXQL = "influxql"


SOURCE: Json = {"type": "influxdb", "uid": "edgeward"}
"""The data source, as docker/grafana/provisioning has it; the one for InfluxDB 1 has the same id."""


@dataclass(frozen=True, slots=True)
class Board:
    """`span` is the time range that it opens with, as in `now-6h`; `refresh` how often it looks again."""

    name: str
    title: str
    description: str
    span: str
    refresh: str
    choices: tuple[Choice | Pattern, ...]
    panels: tuple[Panel, ...]

    def render(self, language: Language) -> Json:
        return {
            "uid": f"edgeward-{self.name}",
            "title": self.title,
            "description": self.description,
            "tags": ["edgeward"],
            "editable": True,
            "graphTooltip": 1,
            "time": {"from": self.span, "to": "now"},
            "timezone": "browser",
            "refresh": self.refresh,
            "schemaVersion": SCHEMA_VERSION,
            "links": [NAVIGATION],
            "annotations": {"list": []},
            "templating": {"list": [_choice(choice, language) for choice in self.choices]},
            "panels": [
                _panel(panel, number, place, language)
                for number, (panel, place) in enumerate(_places(self.panels), start=1)
            ],
        }


def _places(panels: tuple[Panel, ...]) -> Iterator[tuple[Panel, Json]]:
    """From left to right, and below the highest of a line when it is full."""
    x = y = height = 0
    for panel in panels:
        if x + panel.width > WIDTH:
            x, y, height = 0, y + height, 0
        yield panel, {"x": x, "y": y, "w": panel.width, "h": panel.height}
        x, height = x + panel.width, max(height, panel.height)


def _choice(choice: Choice | Pattern, language: Language) -> Json:
    if isinstance(choice, Pattern):
        return choice.render()
    names = choice.names
    return choice.render(SOURCE, names.flux() if language is Language.FLUX else names.influxql())


def _panel(panel: Panel, number: int, place: Json, language: Language) -> Json:
    return {
        "id": number,
        "title": panel.title,
        "description": panel.description,
        "gridPos": place,
        "datasource": SOURCE,
        **panel.body,
        "targets": [_target(panel.query, language)],
    }


def _target(query: Query, language: Language) -> Json:
    target: Json = {"refId": "A", "datasource": SOURCE}
    if language is Language.FLUX:
        return target | {"query": query.flux()}
    target |= {
        "rawQuery": True,
        "query": query.influxql(),
        "resultFormat": "table" if query.is_table else "time_series",
    }
    return target if query.is_table else target | {"alias": query.alias}

"""The kinds of panels, each with the little that differs from one to the next."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from query import Query
from style import LINE, Json, booleans, codes, states, thresholds, units

FULL, HALF, THIRD, QUARTER = 24, 12, 8, 6

_GAP_MS = 5 * 60 * 1000  # a longer silence shows as a gap


@dataclass(frozen=True, slots=True)
class Panel:
    """`body` is Grafana's own: type, options, fieldConfig and whatever is particular."""

    title: str
    description: str
    query: Query
    body: Json = field(repr=False)
    width: int = FULL
    height: int = 8

    def sized(self, width: int, height: int) -> Panel:
        return replace(self, width=width, height=height)

    def with_(self, **more: object) -> Panel:
        return replace(self, body=self.body | more)

    def repeated(self, name: str, per_row: int) -> Panel:
        """Once for each thing chosen from the list `name`."""
        return self.with_(repeat=name, repeatDirection="h", maxPerRow=per_row)

    def ordered(self, column: str, *, descending: bool = False) -> Panel:
        """A table by one of its columns."""
        options = self.body["options"]
        assert isinstance(options, dict)
        return self.with_(options=options | {"sortBy": [{"displayName": column, "desc": descending}]})

    def renamed(self, pattern: str, name: str) -> Panel:
        """Shows what InfluxDB calls `DEVICE FUNCTION_FIELD` by another name."""
        rename: Json = {"regex": pattern, "renamePattern": name}
        return self.with_(transformations=[{"id": "renameByRegex", "options": rename}])

    def grouped(self, label: str) -> Panel:
        """A row for each value of a label, with the sum of all points of its series in the column `Total (sum)`."""
        rows: Json = {"mode": "seriesToRows", "reducers": ["sum"], "labelsToFields": True}
        fields: Json = {
            label: {"operation": "groupby", "aggregations": []},
            "Total": {"operation": "aggregate", "aggregations": ["sum"]},
        }
        return self.with_(
            transformations=[{"id": "reduce", "options": rows}, {"id": "groupBy", "options": {"fields": fields}}]
        )

    def summed(self, name: str) -> Panel:
        """All series added up to one."""
        join: Json = {"byField": "Time", "mode": "outer"}
        add: Json = {"mode": "reduceRow", "reduce": {"reducer": "sum"}, "replaceFields": True, "alias": name}
        return self.with_(
            transformations=[{"id": "joinByField", "options": join}, {"id": "calculateField", "options": add}]
        )


def stat(title: str, description: str, query: Query, *steps: tuple[float | None, str]) -> Panel:
    """One number, coloured by thresholds."""
    defaults: Json = {"color": {"mode": "thresholds"}, "thresholds": thresholds(*steps), "noValue": "0", "decimals": 0}
    options: Json = {
        "colorMode": "value",
        "graphMode": "none",
        "justifyMode": "auto",
        "textMode": "value",
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
    }
    return Panel(title, description, query, _body("stat", options, defaults), QUARTER, 4)


def sparklines(title: str, description: str, query: Query) -> Panel:
    """The last value of each series over its course."""
    defaults: Json = {"color": {"mode": "fixed", "fixedColor": LINE}}
    options: Json = {
        "colorMode": "none",
        "graphMode": "area",
        "justifyMode": "auto",
        "textMode": "value_and_name",
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
    }
    body = _body("stat", options, defaults, units()) | {"maxDataPoints": 60}
    return Panel(title, description, query, body, HALF, 7)


def table(title: str, description: str, query: Query, *overrides: Json) -> Panel:
    defaults: Json = {"custom": {"align": "left", "filterable": True}}
    options: Json = {"showHeader": True, "cellHeight": "sm"}
    return Panel(title, description, query, _body("table", options, defaults, overrides))


def lines(title: str, description: str, query: Query, color: str | None = None) -> Panel:
    """Values over time; a legend names the series where they have colours of their own."""
    custom: Json = {"drawStyle": "line", "lineWidth": 1, "fillOpacity": 0, "showPoints": "auto", "spanNulls": _GAP_MS}
    defaults: Json = {"custom": custom, "color": _color(color)}
    return Panel(title, description, query, _body("timeseries", _series(color is None), defaults, units()))


def bars(title: str, description: str, query: Query, colors: Mapping[str, str], unit: str = "short") -> Panel:
    """Amounts in each interval, one upon the other; `colors` of series by name."""
    custom: Json = {"drawStyle": "bars", "lineWidth": 0, "fillOpacity": 80, "stacking": {"mode": "normal"}}
    defaults: Json = {"custom": custom, "color": _color(None), "unit": unit, "min": 0}
    overrides: list[Json] = [
        {"matcher": {"id": "byName", "options": name}, "properties": [{"id": "color", "value": _color(color)}]}
        for name, color in colors.items()
    ]
    body = _body("timeseries", _series(True, ("sum",)), defaults, overrides) | {"maxDataPoints": 60}
    return Panel(title, description, query, body)


def timeline(title: str, description: str, query: Query, mappings: list[Json]) -> Panel:
    """One bar a thing, in the colour of the state that it is in."""
    defaults: Json = {
        "custom": {"fillOpacity": 70, "lineWidth": 0},
        "mappings": mappings,
        "color": {"mode": "thresholds"},
    }
    options: Json = {
        "mergeValues": True,
        "showValue": "auto",
        "rowHeight": 0.8,
        "alignValue": "left",
        "legend": {"showLegend": False, "displayMode": "list", "placement": "bottom", "calcs": []},
        "tooltip": {"mode": "single", "sort": "none"},
    }
    return Panel(title, description, query, _body("state-timeline", options, defaults))


def state_timeline(title: str, description: str, query: Query, colors: dict[str, str]) -> Panel:
    return timeline(title, description, query, states(colors))


def signal_timeline(title: str, description: str, query: Query) -> Panel:
    return timeline(title, description, query, booleans())


def code_timeline(title: str, description: str, query: Query) -> Panel:
    return timeline(title, description, query, codes())


def _body(kind: str, options: Json, defaults: Json, overrides: object = ()) -> Json:
    return {"type": kind, "options": options, "fieldConfig": {"defaults": defaults, "overrides": overrides}}


def _series(has_legend: bool, calcs: tuple[str, ...] = ("min", "mean", "max", "lastNotNull")) -> Json:
    legend = {
        "showLegend": has_legend,
        "displayMode": "table",
        "placement": "bottom",
        "calcs": calcs if has_legend else [],
    }
    return {"legend": legend, "tooltip": {"mode": "multi", "sort": "desc"}}


def _color(color: str | None) -> Json:
    return {"mode": "palette-classic-by-name"} if color is None else {"mode": "fixed", "fixedColor": color}

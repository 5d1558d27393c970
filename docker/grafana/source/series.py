"""Questions about values over time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from query import DEVICE, GROUPS, PLACE, SHOWN, VALUES, chosen, picked, pipe

Function: TypeAlias = Literal["mean", "min", "max", "last"]

# InfluxQL leaves out by itself what a function cannot take.
_REFUSED: dict[Function, tuple[str, ...]] = {
    "mean": ("string", "bool"),
    "min": ("string",),
    "max": ("string",),
    "last": (),
}
_EXTREMES: dict[Function, float] = {"min": 0.0, "max": 1.0}

_AS_SERIES = ('keep(columns: ["_time", "_value", "_field"])', 'group(columns: ["_field"])')


@dataclass(frozen=True, slots=True)
class Trend:
    """A series for each device, field and function, called `DEVICE FUNCTION_FIELD`.

    `fields` is a regular expression. `fill` is what stands where there is no value: nothing, a gap, or a number.
    """

    fields: str
    functions: tuple[Function, ...] = ("mean",)
    every: str | None = None
    fill: Literal["none", "null", "0"] = "null"
    is_table: bool = False
    alias: str = "$tag_device $col"

    def influxql(self) -> str:
        selected = ", ".join(f"{function}(/{self.fields}/)" for function in self.functions)
        every = self.every or "$__interval"
        return (
            f"SELECT {selected} FROM {GROUPS} WHERE {chosen(DEVICE)} AND $timeFilter "
            f'GROUP BY time({every}), "device" fill({self.fill})'
        )

    def flux(self) -> str:
        refused = sorted({kind for function in self.functions for kind in _REFUSED[function]})
        kinds = " and ".join(f'not types.isType(v: r._value, type: "{kind}")' for kind in refused)
        data = pipe(
            SHOWN,
            f"filter(fn: (r) => r._measurement =~ {GROUPS} and r._field =~ /{self.fields}/ and {picked(DEVICE)})",
            kinds and f"filter(fn: (r) => {kinds})",
            kinds and "toFloat()",
        )
        head = ('import "types"\n\n' if kinds else "") + f"data = {data}\n"
        windows = [self._windows(function) for function in self.functions]
        if len(windows) > 1:
            windows = [f"union(tables: [{', '.join(windows)}])"]
        return head + "\n  |> ".join((windows[0], *_AS_SERIES))

    def _windows(self, function: Function) -> str:
        every, is_filled = self.every or "v.windowPeriod", self.fill != "none"
        reduction: str = function
        if is_filled and function in _EXTREMES:
            # min and max are selectors, and selectors drop empty windows; a quantile is an aggregate.
            q = _EXTREMES[function]
            reduction = f'(column, tables=<-) => tables |> quantile(column: column, q: {q}, method: "exact_mean")'
        window = f"aggregateWindow(every: {every}, fn: {reduction}, createEmpty: {str(is_filled).lower()})"
        fill = " |> fill(value: 0.0)" if self.fill == "0" else ""
        name = f'map(fn: (r) => ({{r with _field: r.device + " {function}_" + r._field}}))'
        return f"data |> {window}{fill} |> {name}"


@dataclass(frozen=True, slots=True)
class Rate:
    """How many values a second came in: in InfluxQL a series a field, which the panel adds up; in Flux their sum."""

    is_table: bool = False
    alias: str = "$m $col"

    def influxql(self) -> str:
        return (
            f"SELECT derivative(cumulative_sum(count(/{VALUES}/)), 1s) FROM {GROUPS} "
            f"WHERE {chosen(PLACE)} AND $timeFilter GROUP BY time($__interval) fill(0)"
        )

    def flux(self) -> str:
        seconds = "float(v: int(v: v.windowPeriod)) / 1000000000.0"
        return pipe(
            SHOWN,
            f"filter(fn: (r) => r._measurement =~ {GROUPS} and r._field =~ /{VALUES}/ and {picked(PLACE)})",
            "aggregateWindow(every: v.windowPeriod, fn: count)",
            'group(columns: ["_time"])',
            "sum()",
            "group()",
            'sort(columns: ["_time"])',
            f'map(fn: (r) => ({{_time: r._time, _field: "values", _value: float(v: r._value) / ({seconds})}}))',
        )


@dataclass(frozen=True, slots=True)
class Amount:
    """How many values of each device came in, labelled `device`: in InfluxQL by field, in Flux in all."""

    is_table: bool = False
    alias: str = "$m $col"

    def influxql(self) -> str:
        return f'SELECT count(/{VALUES}/) FROM {GROUPS} WHERE {chosen(DEVICE)} AND $timeFilter GROUP BY "device"'

    def flux(self) -> str:
        return pipe(
            SHOWN,
            f"filter(fn: (r) => r._measurement =~ {GROUPS} and r._field =~ /{VALUES}/ and {picked(DEVICE)})",
            "count()",
            'group(columns: ["device"])',
            "sum()",
            'map(fn: (r) => ({_time: v.timeRangeStart, _field: "values", device: r.device, _value: r._value}))',
            'group(columns: ["device"])',
        )


@dataclass(frozen=True, slots=True)
class Runtime:
    """Hours a day that a machine ran, from a boolean tag, whose name is in the list `running`.

    It counts those five minutes at whose end the machine ran. A tag that is stored by exception comes at least once a
    minute, so none of these is empty while the machine can be seen.
    """

    is_table: bool = False
    alias: str = "$tag_device"

    def influxql(self) -> str:
        steps = (
            f'SELECT last("${{running:raw}}") AS "on" FROM {GROUPS} WHERE {chosen(DEVICE)} AND $timeFilter '
            'GROUP BY time(5m), "device" fill(none)'
        )
        return (
            f'SELECT count("on") / 12 AS "hours" FROM ({steps}) WHERE "on" = true AND $timeFilter '
            'GROUP BY time(1d), "device" fill(none)'
        )

    def flux(self) -> str:
        return 'import "types"\n\n' + pipe(
            SHOWN,
            f'filter(fn: (r) => r._measurement =~ {GROUPS} and r._field == "${{running:raw}}" and {picked(DEVICE)})',
            'filter(fn: (r) => types.isType(v: r._value, type: "bool"))',
            "aggregateWindow(every: 5m, fn: last, createEmpty: false)",
            "filter(fn: (r) => r._value)",
            "aggregateWindow(every: 1d, fn: count, createEmpty: false)",
            "map(fn: (r) => ({_time: r._time, _field: r.device, _value: float(v: r._value) / 12.0}))",
            'group(columns: ["_field"])',
        )

"""Questions about events: what changed, what holds now, how often."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from query import BACK, PLACE, SHOWN, SINCE, chosen, columns, picked, pipe

_WHOLE = 'pivot(rowKey: ["_time"], columnKey: ["_field"], valueColumn: "_value")'


@dataclass(frozen=True, slots=True)
class Condition:
    """That a text column is, or is not, `value`."""

    column: str
    operator: Literal["=", "!="]
    value: str

    def influxql(self) -> str:
        return f"\"{self.column}\" {self.operator} '{self.value}'"

    def flux(self, column: str) -> str:
        sign = "==" if self.operator == "=" else "!="
        return f'r.{column} {sign} "{self.value}"'


@dataclass(frozen=True, slots=True)
class Latest:
    """How things stand now: the last event of each `key`, as a table or as a number; where a condition holds."""

    measurement: str
    key: str
    columns: tuple[str, ...]
    where: Condition | None = None
    within: tuple[str, ...] = PLACE
    is_number: bool = False
    alias: str = "number"

    @property
    def is_table(self) -> bool:
        return not self.is_number

    def influxql(self) -> str:
        others = columns(name for name in self.columns if name != "state")
        last = (
            f'SELECT last("state") AS "state", {others} FROM "{self.measurement}" '
            f'WHERE {chosen(self.within)} AND time > now() - {BACK} GROUP BY "cell", "{self.key}"'
        )
        selected = 'count("state") AS "number"' if self.is_number else columns(self.columns)
        where = f" WHERE {self.where.influxql()}" if self.where else ""
        return f"SELECT {selected} FROM ({last}){where}"

    def flux(self) -> str:
        return pipe(
            SINCE,
            _of(self.measurement, self.within),
            _WHOLE,
            f'group(columns: ["cell", "{self.key}"])',
            'sort(columns: ["_time"])',
            "tail(n: 1)",
            "group()",
            _only(self.where),
            *(['count(column: "state")'] if self.is_number else _table(self.columns)),
        )


@dataclass(frozen=True, slots=True)
class Log:
    """Events one by one, the newest first; or the `first` one alone."""

    measurement: str
    columns: tuple[str, ...]
    where: Condition | None = None
    is_first: bool = False
    is_table: bool = True
    alias: str = ""

    def influxql(self) -> str:
        where = f" AND {self.where.influxql()}" if self.where else ""
        order = "ASC LIMIT 1" if self.is_first else "DESC LIMIT 1000"
        return (
            f'SELECT {columns(self.columns)} FROM "{self.measurement}" '
            f"WHERE {chosen(PLACE)}{where} AND $timeFilter ORDER BY time {order}"
        )

    def flux(self) -> str:
        return pipe(
            SHOWN,
            _of(self.measurement, PLACE),
            _WHOLE,
            "group()",
            _only(self.where),
            f'sort(columns: ["_time"], desc: {str(not self.is_first).lower()})',
            f"limit(n: {1 if self.is_first else 1000})",
            *_table(self.columns),
        )


@dataclass(frozen=True, slots=True)
class Steps:
    """The states of each `key` over time, from long before what is shown: most of the time nothing changes."""

    measurement: str
    key: str
    within: tuple[str, ...] = PLACE
    is_table: bool = False

    @property
    def alias(self) -> str:
        return f"$tag_{self.key}"

    def influxql(self) -> str:
        return (
            f'SELECT "state" FROM "{self.measurement}" WHERE {chosen(self.within)} '
            f'AND time >= ${{__from}}ms - {BACK} AND time <= ${{__to}}ms GROUP BY "{self.key}"'
        )

    def flux(self) -> str:
        return 'import "date"\n\n' + pipe(
            f"range(start: date.sub(d: {BACK}, from: v.timeRangeStart), stop: v.timeRangeStop)",
            _of(self.measurement, self.within, "state"),
            f"map(fn: (r) => ({{_time: r._time, _field: r.{self.key}, _value: r._value}}))",
            'group(columns: ["_field"])',
            'sort(columns: ["_time"])',
        )


@dataclass(frozen=True, slots=True)
class Tally:
    """How often something happened, or how much of it, in each interval: a series for each value of the tag `by`."""

    measurement: str
    field: str
    function: Literal["count", "sum"]
    by: str
    where: Condition | None = None
    is_table: bool = False

    @property
    def alias(self) -> str:
        return f"$tag_{self.by}"

    def influxql(self) -> str:
        where = f" AND {self.where.influxql()}" if self.where else ""
        return (
            f'SELECT {self.function}("{self.field}") FROM "{self.measurement}" WHERE {chosen(PLACE)}{where} '
            f'AND $timeFilter GROUP BY time($__interval), "{self.by}" fill(0)'
        )

    def flux(self) -> str:
        return pipe(
            SHOWN,
            _of(self.measurement, PLACE, self.field),
            _only(self.where, "_value"),
            f'group(columns: ["{self.by}"])',
            f"aggregateWindow(every: v.windowPeriod, fn: {self.function})",
            "fill(value: 0)",
            f"map(fn: (r) => ({{_time: r._time, _field: r.{self.by}, _value: r._value}}))",
            'group(columns: ["_field"])',
        )


@dataclass(frozen=True, slots=True)
class Ranking:
    """How often each `key` met a condition on its state, as a table."""

    measurement: str
    key: str
    number: str
    where: Condition
    is_table: bool = True
    alias: str = ""

    def influxql(self) -> str:
        counted = (
            f'SELECT count("state") AS "{self.number}" FROM "{self.measurement}" '
            f'WHERE {chosen(PLACE)} AND {self.where.influxql()} AND $timeFilter GROUP BY "{self.key}"'
        )
        return f"SELECT {columns((self.key, self.number))} FROM ({counted})"

    def flux(self) -> str:
        return pipe(
            SHOWN,
            _of(self.measurement, PLACE, "state"),
            _only(self.where, "_value"),
            f'group(columns: ["{self.key}"])',
            "count()",
            "group()",
            f'rename(columns: {{_value: "{self.number}"}})',
            f"keep(columns: [{columns((self.key, self.number))}])",
        )


def _only(where: Condition | None, column: str = "") -> str:
    """`column` is where the value stands before a pivot has given it its own."""
    return f"filter(fn: (r) => {where.flux(column or where.column)})" if where else ""


def _of(measurement: str, within: tuple[str, ...], field: str = "") -> str:
    fields = f' and r._field == "{field}"' if field else ""
    return f'filter(fn: (r) => r._measurement == "{measurement}"{fields} and {picked(within)})'


def _table(names: tuple[str, ...]) -> tuple[str, str]:
    return 'rename(columns: {_time: "Time"})', f"keep(columns: [{columns(('Time', *names))}])"

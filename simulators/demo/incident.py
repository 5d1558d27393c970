"""What happened, read from the logs: pumps that a rule stopped, and how the cloud was caught up with. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from simulators.demo.record import STATION, Logs, Row, Telegram, Value

SECOND = 1_000_000_000
COMMAND = f"{STATION}/run"


@dataclass(frozen=True, slots=True)
class Cause:
    """The value that made a rule act, and when it was measured, nanoseconds UTC."""

    tag: str
    value: Value
    time_ns: int


@dataclass(frozen=True, slots=True)
class Isolation:
    """A stop that the machine accepted at `stopped_ns` and that the gateway reported as the doing of `rule`. `cause` is
    None where the alarm does not tell."""

    rule: str
    stopped_ns: int
    cause: Cause | None

    @property
    def reaction_s(self) -> float | None:
        """From the measurement to the write, broker and wires included."""
        return None if self.cause is None else (self.stopped_ns - self.cause.time_ns) / SECOND


@dataclass(frozen=True, slots=True)
class Outage:
    """When the cloud was cut and when it was restored, nanoseconds UTC."""

    began_ns: int
    ended_ns: int

    @property
    def seconds(self) -> float:
        return (self.ended_ns - self.began_ns) / SECOND

    def noticed_s(self, rows: Iterable[Row]) -> float:
        """From its end to the first row that came after it."""
        return min((self._since(row) for row in rows if row.received_ns > self.ended_ns), default=0.0)

    def drain_s(self, rows: Iterable[Row]) -> float:
        """From its end until everything had come that is older than its end."""
        return max((self._since(row) for row in rows if row.time <= self.ended_ns < row.received_ns), default=0.0)

    def _since(self, row: Row) -> float:
        return (row.received_ns - self.ended_ns) / SECOND


def isolations(logs: Logs) -> list[Isolation]:
    """Every stop of the pump in the machine's own log that the gateway reported as done, and by a rule."""
    stops = [reply.time_ns for reply in logs.modbus if reply.write == "run" and reply.value is False]
    found = []
    for report in sorted(filter(_is_isolation, logs.cloud), key=lambda row: row.time):
        before = [time for time in stops if time <= report.time]
        if before:
            stops.remove(before[-1])
            found.append(_isolation(report, before[-1], logs))
    return found


def _is_isolation(row: Row) -> bool:
    """Whether a row reports that a rule has stopped the pump."""
    by_rule = row.tags.get("tag") == COMMAND and row.tags.get("origin", "").startswith("rule:")
    return row.measurement == "commands" and by_rule and row.fields.get("done") == ("boolean", True)


def _isolation(report: Row, stopped_ns: int, logs: Logs) -> Isolation:
    rule = report.tags["origin"].removeprefix("rule:")
    alarms = [row for row in logs.cloud if row.measurement == "alarms" and row.tags.get("alarm") == rule]
    raised = [row for row in alarms if row.time <= report.time and row.fields.get("active") == ("boolean", True)]
    if not raised:
        return Isolation(rule, stopped_ns, None)
    alarm = max(raised, key=lambda row: row.time)
    return Isolation(rule, stopped_ns, _cause(alarm, logs.telegrams))


def _cause(alarm: Row, telegrams: Iterable[Telegram]) -> Cause | None:
    """The last telegram before the alarm that holds the value which raised it."""
    _, tag = alarm.fields.get("tag", ("", ""))
    _, value = alarm.fields.get("value", ("", None))
    device, _, name = str(tag).partition("/")
    for telegram in sorted(telegrams, key=lambda telegram: telegram.time_ns, reverse=True):
        is_before = telegram.time_ns <= alarm.time
        if is_before and telegram.device == device and telegram.values.get(name) == value is not None:
            return Cause(str(tag), telegram.values[name], telegram.time_ns)
    return None

"""Lines of the simulators' logs and of the cloud's, as short as a test wants them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias, TypeVar

from simulators.demo.record import Logs, Message, Reply, Report, Row, Update, Value

MS = 1_000_000
Field: TypeAlias = tuple[str, bool | int | float | str]
Line: TypeAlias = Reply | Message | Update | Report | Row
_T = TypeVar("_T")


def message(ts: int, sequence: int = 1, reason: int | None = 0, **values: Value) -> Message:
    """From pump-1; `__` in a name stands for the dot."""
    return Message("plant/pump-1/state", ts, sequence, reason, _dotted(values))


def update(time_ns: int, sequence: int = 1, **values: Value) -> Update:
    return Update(time_ns, sequence, _dotted(values))


def report(ts: int, sequence: int = 1, code: str | None = "2.04", **values: Value) -> Report:
    return Report(ts, sequence, code, _dotted(values))


def reply(time_ns: int, sequence: int | None = None, table: str = "input", **values: Value) -> Reply:
    held = _dotted(values) | ({} if sequence is None else {"sequence": sequence})
    return Reply(time_ns, table, sequence, held)


def row(time: int, device: str = "pump-1", received_ns: int = 0, /, **fields: Field) -> Row:
    group = "process" if device == "pump-station" else "state"
    tags = {"cell": "pumps", "device": device, "site": "demo"}
    return Row(received_ns or time, time, group, tags, _dotted(fields))


def raised(time: int, alarm: str, tag: str, value: float) -> Row:
    fields: dict[str, Field] = {"active": ("boolean", True), "tag": ("string", tag), "value": ("float", value)}
    return Row(time, time, "alarms", {"alarm": alarm, "priority": "critical"}, fields)


def commanded(time: int, origin: str, done: bool = True) -> Row:
    tags = {"origin": origin, "tag": "pump-station/run"}
    return Row(time, time, "commands", tags, {"done": ("boolean", done), "value": ("float", 0.0)})


def logs(*lines: Line) -> Logs:
    return Logs(
        [line for line in lines if isinstance(line, Reply)],
        [line for line in lines if isinstance(line, Message)],
        [line for line in lines if isinstance(line, Update)],
        [line for line in lines if isinstance(line, Report)],
        [line for line in lines if isinstance(line, Row)],
    )


def _dotted(values: Mapping[str, _T]) -> dict[str, _T]:
    return {name.replace("__", "."): value for name, value in values.items()}

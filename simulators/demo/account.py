"""What the simulators sent against what stands at the cloud, point by point. Pure, and without tolerance.

A point is one value of one tag at one moment. It is known by where it came from, so that nothing depends on order:

| what the cloud has                | is looked for in the simulators' logs as                                       |
|-----------------------------------|--------------------------------------------------------------------------------|
| a row of any device but the next  | what this device said of this moment: a message, an update, a report           |
| a Modbus row with a `sequence`    | the reply with this `sequence`, which the server counts                        |
| a Modbus row of the other tables  | the last reply of the field's table at or before the row's time; one row each  |

`sequence` is a value like any other, so a row that stands at the time of another message is wrong.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from ctypes import c_double, c_float
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

from simulators.demo.record import STATION, Logs, Reply, Row, Telegram, Value
from simulators.modbus import PLANT

PROTOCOLS = ("modbus", "mqtt", "opcua", "coap")
EVENTS = ("alarms", "commands", "devices", "losses")

_REGISTERS = {register.name: register for register in PLANT}
_KINDS = {bool: "boolean", int: "integer", float: "float"}
_EXAMPLES = 5

Origin: TypeAlias = tuple[str, int, str]
"""Where a point came from: device or Modbus table, the moment or number of its row there, the name of the value."""


class Sent(NamedTuple):
    """One point, and how the cloud has to show it: `kind` is the word of line protocol for its type. A point that is
    not `certain` may have arrived or not; if it did, it has to be right."""

    protocol: str
    kind: str
    value: Value
    is_float32: bool = False
    certain: bool = True

    def equals(self, kind: str, value: object) -> bool:
        """The same type, and the same value to the last bit; text that stands for a float32 is read as one."""
        if kind != self.kind or type(value) is not type(self.value):
            return False
        if isinstance(value, float):
            binary = c_float if self.is_float32 else c_double
            return bytes(binary(value)) == bytes(binary(self.value))
        return value == self.value


@dataclass(frozen=True, slots=True)
class Account:
    """In points. `protocols` counts what had to arrive and did, by the protocol that it came over, and `doubtful` what
    arrived and might as well not have. `events` counts the events. `examples` says of a few points what is the matter
    with them."""

    protocols: Mapping[str, int]
    doubtful: int
    events: int
    lost: int
    wrong: int
    duplicates: int
    examples: tuple[str, ...]


class Plant:
    """Everything that was sent, by origin."""

    def __init__(self, replies: Iterable[Reply], telegrams: Iterable[Telegram]) -> None:
        self.points: dict[Origin, Sent] = {}
        self._times: defaultdict[str, list[int]] = defaultdict(list)
        for reply in replies:
            if reply.table:
                self._add_reply(reply)
        for telegram in telegrams:
            if telegram.arrives is not False:
                self._add_telegram(telegram)

    def origin(self, row: Row, name: str) -> Origin | None:
        """Where a field of a row came from; None where no simulator can have sent it."""
        device = row.tags.get("device", "")
        if device != STATION:
            return device, row.time, name
        register = _REGISTERS.get(name)
        if register is None:
            return None
        _, sequence = row.fields.get("sequence", ("", None))
        if isinstance(sequence, int):
            return register.table, sequence, name
        return register.table, bisect_right(self._times[register.table], row.time), name

    def _add_reply(self, reply: Reply) -> None:
        times = self._times[reply.table]
        times.append(reply.time_ns)
        number = len(times) if reply.sequence is None else reply.sequence
        for name, value in reply.values.items():
            type_ = _REGISTERS[name].type
            kind = "unsigned" if type_ == "uint64" else _KINDS[type(value)]
            self.points[reply.table, number, name] = Sent("modbus", kind, value, type_ == "float32")

    def _add_telegram(self, telegram: Telegram) -> None:
        certain = telegram.arrives is not None
        for name, value in {**telegram.values, "sequence": telegram.sequence}.items():
            origin = telegram.device, telegram.time_ns, name
            self.points[origin] = Sent(telegram.protocol, _KINDS[type(value)], value, certain=certain)


class Audit:
    """Holds the cloud's rows, one after the other, against what was sent."""

    def __init__(self, plant: Plant) -> None:
        self.plant = plant
        self.arrived: set[Origin] = set()
        self.events: set[tuple[object, ...]] = set()
        self.flaws: list[str] = []
        self.duplicates = 0
        self._seen: defaultdict[tuple[object, ...], dict[str, object]] = defaultdict(dict)

    def enter(self, row: Row) -> None:
        """A duplicate is the same value of the same series, field and time once more; anything else that comes twice
        cannot be right both times."""
        if row.measurement in EVENTS:
            self.events.add(row.identity)
        seen = self._seen[row.identity]
        for name, field in row.fields.items():
            if seen.get(name) == field:
                self.duplicates += 1
                continue
            seen[name] = field
            if row.measurement not in EVENTS and (flaw := self._judge(row, name)):
                self.flaws.append(flaw)

    def account(self) -> Account:
        points, arrived = self.plant.points, self.arrived
        missing = [origin for origin, sent in points.items() if sent.certain and origin not in arrived]
        counts = Counter(points[origin].protocol for origin in arrived if points[origin].certain)
        examples = [*self.flaws[:_EXAMPLES], *(f"{_words(origin)} is lost" for origin in missing[:_EXAMPLES])]
        return Account(
            protocols={protocol: counts[protocol] for protocol in PROTOCOLS},
            doubtful=len(arrived) - counts.total(),
            events=len(self.events),
            lost=len(missing),
            wrong=len(self.flaws),
            duplicates=self.duplicates,
            examples=tuple(examples),
        )

    def _judge(self, row: Row, name: str) -> str | None:
        """What is wrong with a field; None if nothing is."""
        kind, value = row.fields[name]
        origin = self.plant.origin(row, name)
        sent = self.plant.points.get(origin) if origin else None
        if origin is None or sent is None:
            return f"nobody sent {row.tags.get('device')}/{name} = {value!r} of {row.time}"
        if origin in self.arrived:
            return f"{_words(origin)} came a second time, as of {row.time}"
        self.arrived.add(origin)
        if not sent.equals(kind, value):
            return f"{_words(origin)} was sent as {sent.kind} {sent.value!r} and came as {kind} {value!r}"
        return None


def settle(logs: Logs) -> Account:
    audit = Audit(Plant(logs.modbus, logs.telegrams))
    for row in logs.cloud:
        audit.enter(row)
    return audit.account()


def _words(origin: Origin) -> str:
    source, number, name = origin
    return f"{name} of {source} {number}"

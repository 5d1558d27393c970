"""A broker, a gateway and a database in a row, and numbered messages that go through all three."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.flows.machines import Section, has, influx_v1, numbered_pump
from tests.flows.publisher import Publisher, time_of
from tests.parts.gateway import Gateway
from tests.parts.influxd import Influxd

DATABASE = "plant"
ROOM = 1_000_000
"""Numbers that each round has for itself."""
TOPIC = "plant/pump-1/state"
_JOURNAL = {"segment_bytes": 1 << 20, "max_bytes": 1 << 30}
"""Small segments: they are closed and removed all the time."""

Failure = (AssertionError, pytest.fail.Exception)
"""What a gateway that does not do what it should makes its counterparts raise."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where the gateway reaches somebody."""

    host: str
    port: int


@dataclass
class Account:
    """What became of the messages of some rounds. `wrong` are values at the sink that were never sent so."""

    produced: int = 0
    distinct: int = 0
    lost: int = 0
    duplicates: int = 0
    wrong: int = 0
    failures: list[str] = field(default_factory=list)

    def add(self, sent: Sequence[int], rows: Sequence[tuple[int, int, float]]) -> None:
        """`rows` are time, n and half of a message each, as the sink has them."""
        expected = {(time_of(n), n, n / 2) for n in sent}
        found = Counter(rows)
        numbers = Counter(n for _, n, _ in rows)
        self.produced += len(sent)
        self.distinct += len(numbers)
        self.lost += len(expected - found.keys())
        self.wrong += len(found.keys() - expected)
        self.duplicates += numbers.total() - len(numbers)

    def include(self, other: Account) -> None:
        self.produced += other.produced
        self.distinct += other.distinct
        self.lost += other.lost
        self.duplicates += other.duplicates
        self.wrong += other.wrong
        self.failures += other.failures

    @property
    def is_exact(self) -> bool:
        return not (self.lost or self.duplicates or self.wrong or self.failures)

    def result(self, runs: int) -> dict[str, int]:
        failed = len(self.failures) + bool(self.wrong)
        return {
            "runs": runs,
            "produced": self.produced,
            "distinct": self.distinct,
            "lost": self.lost,
            "duplicates": self.duplicates,
            "failed": failed,
        }


def sections(broker: Address, cloud: Address) -> Section:
    """A configuration whose every session notices within seconds that the far end is gone."""
    plant = numbered_pump(broker.port, keepalive="1s", open_timeout="1s")
    plant["links"]["floor"]["host"] = broker.host
    sink = influx_v1(cloud.port, DATABASE, timeout="500ms") | {"url": f"http://{cloud.host}:{cloud.port}"}
    return {**plant, "sinks": {"cloud": sink}, "journal": _JOURNAL}


class Site:
    """The row in one round after the other. A round has numbers that no other has: what is sent again because the
    gateway was killed adds to none but its own."""

    def __init__(self, folder: Path, broker: int, influx: Influxd, gateway: Gateway) -> None:
        self.gateway = gateway
        self.influx = influx
        self._folder = folder
        self._broker = broker
        self._first = -ROOM

    def begin(self) -> Publisher:
        """Numbered messages from now on. The gateway must have had its session with the broker before."""
        self._first += ROOM
        return Publisher(self._broker, TOPIC, self._folder / f"ledger-{self._first}", first=self._first)

    def finish(self, publisher: Publisher, account: Account, seconds: float) -> None:
        """Publish no more, wait until the gateway has delivered everything, and compare."""
        sent = publisher.finish()
        try:
            assert sent, "nothing was published"
            assert sent == list(range(self._first, self._first + len(sent))), "the broker did not take every message"
            self.gateway.wait(lambda: has(self.influx, sent[-1]), seconds)
            self.gateway.wait_delivered("cloud", seconds=seconds)
        except Failure as failure:
            account.failures.append(str(failure))
        account.add(sent, self._rows())

    def _rows(self) -> list[tuple[int, int, float]]:
        text = f"select n, half from state where device = 'pump-1' and time >= {time_of(self._first)}"
        return [(row["time"], row["n"], row["half"]) for row in self.influx.query(text, DATABASE)]

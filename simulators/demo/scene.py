"""What there is to be seen of the demo at this moment. Knows neither processes nor terminals."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from simulators.demo.door import Status, TagReading
from simulators.demo.incident import COMMAND


class Trend(NamedTuple):
    """A signal that is drawn over the whole course, between `low` and `high`."""

    name: str
    tag: str
    unit: str
    low: float
    high: float


MACHINES = (
    Trend("pump 1 bearing", "pump-1/bearing.temperature", "°C", 40, 90),
    Trend("pump 1 vibration", "pump-1/bearing.vibration", "mm/s", 0, 9),
    Trend("booster bearing", "booster/bearing.temperature", "°C", 40, 90),
    Trend("well bearing", "well/bearing.temperature", "°C", 40, 90),
    Trend("motor current", "pump-station/motor.current", "A", 0, 30),
    Trend("flow", "pump-station/flow", "m³/h", 0, 60),
    Trend("tank level", "pump-station/tank.level", "%", 25, 45),
)
TAGS = (*(trend.tag for trend in MACHINES), COMMAND)
PENDING, ARRIVING = "pending", "arriving"


@dataclass(slots=True)
class Scene:
    """Moments are seconds of the course: it has begun before 0, lasts for `length`, and is at `elapsed`. The cloud is
    away from `cut_at` to `restored_at`. `told` is what has happened, each with its moment, and `trends` are pairs of a
    moment and a value. `peak` is the most points that were pending."""

    length: float
    elapsed: float = 0.0
    cut_at: float | None = None
    restored_at: float | None = None
    told: list[tuple[float, str]] = field(default_factory=list)
    status: Status | None = None
    values: dict[str, bool | int | float | str | None] = field(default_factory=dict)
    trends: dict[str, list[tuple[float, float]]] = field(default_factory=dict)
    peak: int = 0

    @property
    def story(self) -> str:
        return self.told[-1][1] if self.told else ""

    @property
    def is_cut(self) -> bool:
        return self.was_cut(self.elapsed)

    def was_cut(self, moment: float) -> bool:
        return self.cut_at is not None and self.cut_at <= moment <= (self.restored_at or moment)

    def has_caught_up(self) -> bool:
        """Whether nothing waits any more from before the cloud came back."""
        if self.status is None or self.restored_at is None or not self.status.sink.online:
            return False
        sink = self.status.sink
        age = self.elapsed - self.restored_at
        return sink.pending == 0 or (sink.oldest_s is not None and sink.oldest_s < age)

    def tell(self, text: str) -> None:
        self.told.append((self.elapsed, text))

    def read(self, readings: Iterable[TagReading]) -> None:
        self.values |= {reading.tag: reading.value for reading in readings}

    def sample(self, status: Status) -> None:
        """Once for every picture."""
        before, self.status = self.status, status
        self.peak = max(self.peak, status.sink.pending)
        for tag, value in self.values.items():
            if isinstance(value, int | float):
                self.note(tag, value)
        self.note(PENDING, status.sink.pending)
        if before is not None and status.time > before.time:
            delivered = status.sink.delivered - before.sink.delivered
            self.note(ARRIVING, delivered * 1e9 / (status.time - before.time))

    def note(self, name: str, value: float) -> None:
        self.trends.setdefault(name, []).append((self.elapsed, value))

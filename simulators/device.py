"""What a simulated device is, whatever protocol serves it: it can be read at a moment, and written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, TypeAlias

Value: TypeAlias = bool | int | float
SECOND = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Message:
    """What a device says at one moment, before it is put on any wire.

    `time_ns` is the moment that the device claims (nanoseconds UTC) and `good` what it claims about its values; a fault
    may bend both. `delay` is how many seconds the wire takes.
    """

    values: Mapping[str, Value]
    time_ns: int
    good: bool = True
    delay: float = 0.0


class Device(Protocol):
    def read(self, now: float) -> Mapping[str, Value]:
        """Every value at `now`, in seconds since the device began. Time never goes back."""

    def write(self, name: str, value: Value) -> None:
        """Raises ValueError where the value is out of range, KeyError where nothing of that name can be written."""

"""Faults that can be switched on over any stream of messages. Pure and seeded: the same stream fails in the same way.

| kind   | the device …                                               | amount               | unless set |
|--------|------------------------------------------------------------|----------------------|------------|
| drop   | says nothing                                               |                      |            |
| delay  | speaks late                                                | seconds              | 1          |
| freeze | repeats its last values as if they were new                |                      |            |
| spike  | gives one value multiplied                                 | factor               | 10         |
| lie    | calls good values bad, and claims another time             | seconds, may be < 0  | 3600       |

A fault is written `KIND:PROBABILITY[,start=S][,stop=S][,amount=X]`: each message is hit with that probability between
`start` and `stop`, in seconds since the epoch of the simulator. `freeze:1,start=10,stop=20` is a sensor stuck for ten
seconds.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from simulators.device import SECOND, Message


class Kind(StrEnum):
    DROP = "drop"
    DELAY = "delay"
    FREEZE = "freeze"
    SPIKE = "spike"
    LIE = "lie"


AMOUNTS = {Kind.DELAY: 1.0, Kind.SPIKE: 10.0, Kind.LIE: 3600.0}


@dataclass(frozen=True, slots=True)
class Fault:
    kind: Kind
    probability: float = 1.0
    start: float = 0.0
    stop: float = math.inf
    amount: float = 0.0

    @staticmethod
    def parse(text: str) -> Fault:
        """Read `drop:0.1,start=5`. Raises ValueError, which says what is wrong."""
        head, *options = text.split(",")
        name, _, probability = head.partition(":")
        if name not in set(Kind):
            raise ValueError(f"{name!r} is not a fault; there are {', '.join(Kind)}")
        numbers = {"amount": AMOUNTS.get(Kind(name), 0.0), "probability": _number(probability or "1")}
        for option in options:
            key, _, number = option.partition("=")
            if key not in ("start", "stop", "amount"):
                raise ValueError(f"{option!r} is not start=, stop= or amount=")
            numbers[key] = _number(number)
        if not 0 <= numbers["probability"] <= 1:
            raise ValueError(f"the probability of {name} is {probability}, and must be between 0 and 1")
        if name == Kind.DELAY and numbers["amount"] < 0:
            raise ValueError("nothing can be delayed into the past")
        return Fault(Kind(name), **numbers)

    def __str__(self) -> str:
        options = {"start": self.start, "stop": self.stop, "amount": self.amount}
        return ",".join([f"{self.kind}:{self.probability:g}", *(f"{key}={n:g}" for key, n in options.items())])


class Faults:
    """The switchboard of one simulator: `switch` replaces the faults that are on, for every stream at once."""

    def __init__(self, texts: Sequence[str] = (), seed: int = 0) -> None:
        self.seed = seed
        self.on: tuple[Fault, ...] = ()
        self.switch(texts)

    def switch(self, texts: Sequence[str]) -> None:
        """Raises ValueError, and changes nothing, when one of them makes no sense."""
        self.on = tuple(Fault.parse(text) for text in texts)

    def stream(self, name: str) -> Stream:
        return Stream(self, random.Random(f"{self.seed}/{name}"))


class Stream:
    """One device's messages on their way through the faults."""

    def __init__(self, faults: Faults, dice: random.Random) -> None:
        self.dice = dice
        self.last: Message | None = None
        self._faults = faults

    def send(self, message: Message, now: float) -> Message | None:
        """What becomes of a message at `now` (seconds); None when it is dropped."""
        bent: Message | None = message
        for fault in self._faults.on:
            hit = fault.start <= now < fault.stop and self.dice.random() < fault.probability
            if hit and bent is not None:
                bent = BEND[fault.kind](bent, fault, self)
        self.last = bent or self.last
        return bent


def _number(text: str) -> float:
    number = float(text)
    if math.isnan(number):
        raise ValueError("not a number")
    return number


def _drop(message: Message, fault: Fault, stream: Stream) -> None:
    return None


def _delay(message: Message, fault: Fault, stream: Stream) -> Message:
    return replace(message, delay=message.delay + fault.amount)


def _freeze(message: Message, fault: Fault, stream: Stream) -> Message:
    return replace(message, values=(stream.last or message).values)


def _spike(message: Message, fault: Fault, stream: Stream) -> Message:
    names = [name for name, value in message.values.items() if isinstance(value, float)]
    if not names:
        return message
    name = stream.dice.choice(names)
    return replace(message, values={**message.values, name: message.values[name] * fault.amount})


def _lie(message: Message, fault: Fault, stream: Stream) -> Message:
    return replace(message, good=not message.good, time_ns=message.time_ns + round(fault.amount * SECOND))


BEND: dict[Kind, Callable[[Message, Fault, Stream], Message | None]] = {
    Kind.DROP: _drop,
    Kind.DELAY: _delay,
    Kind.FREEZE: _freeze,
    Kind.SPIKE: _spike,
    Kind.LIE: _lie,
}

"""What a driver, a sink and a condition promise, and what they may rely on. Plugins know only this page and `model`.

A plugin is one module. Its file name is the name that the configuration uses, and its settings stand in the same file:

| kind      | module                | exports                                                              |
|-----------|-----------------------|----------------------------------------------------------------------|
| driver    | `drivers/<name>`      | `LinkSettings DeviceSettings GroupSettings TagSettings`, `Driver`, `check` |
| sink      | `gateway/sinks/<name>`| `Settings`, `Sink`                                                   |
| condition | `rules/conditions/<name>` | `Settings`, `Condition`                                          |

A driver may also export `SCHEMES` and `async survey(url, tell) -> Survey`, by which `edgeward init` asks a device what
it can tell (`gateway/survey.py`), and `probe(link) -> Link`: how `check --live` reaches it beside a running gateway.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from gateway.clock import Clock
    from gateway.fields import CommandSettings
    from gateway.model import AnyEvent, CommandDone, Link, Order, Rows, Scan, Tag, TagGroup, Value


class Receiver(Protocol):
    """What a driver is given: the door into the cell. Call it from the event loop only; nothing here waits."""

    @property
    def clock(self) -> Clock: ...

    def publish(self, scan: Scan, durable: Callable[[], None] | None = None) -> None:
        """Hand a scan over. It is judged before this returns. `durable` is called, on the event loop and in the
        order of publishing, once the scan is safe on disk: acknowledge the source then, and not before.

        Raises `JournalFull` when nothing more can be kept; let it pass, and the session will be closed.
        """

    def refuse(self, source: str, reason: str) -> None:
        """Say that something from `source` (a topic, a group's id) could not become a scan. It is counted, told to
        people when it starts, and told again when `source`, or the group of that id, gives a good scan."""

    def caution(self, text: str) -> None:
        """Say what people should know of a link that stands, such as that a certificate has to be renewed before it
        fails; nothing where there is nothing any more. It is told when it changes, and shown in the status."""


class Driver(ABC):
    """One session of one link. Created fresh for every session and never reopened, so that no session inherits a
    half-dead client.

    `open` is called once; then `run` and `read` go on side by side until one of them raises; `write` is called at any
    time in between, never two at once; `close` is called always, even after a failed `open`, and never raises.

    Raise `ConnectionLost` when the link is gone (you will be closed and a new one made after a pause), `DeviceSilent`
    when one device gives no answer on a link that stands, `CommandRefused` when a device says no, `ConfigError` when no
    retry can help. Do not retry, wait between tries, log, count, or catch `Exception`: the supervisor does that for
    all. A tag that cannot be read is a value with a bad status, not an exception.
    """

    def __init__(self, link: Link, receiver: Receiver) -> None:
        self.link = link
        self.receiver = receiver

    @abstractmethod
    async def open(self) -> None:
        """Connect. The supervisor bounds the time that this may take."""

    async def run(self) -> None:
        """Stay until the link is gone, publishing what is pushed to us. A driver that only polls waits here for the
        loss of its connection."""

    async def read(self, group: TagGroup) -> Scan:
        """Read one group now. Called for groups that have a scan interval, one call at a time for a device, several at
        once for a link. Never cancelled in the middle of a transaction: bound your own waits."""
        raise NotImplementedError(f"{type(self).__name__} does not poll {group.id}")

    @abstractmethod
    async def write(self, tag: Tag, value: Value) -> Value | None:
        """Write one value and return when the device has confirmed it: the value that it has now where that is known
        and may be another, such as the nearest of its steps."""

    @abstractmethod
    async def close(self) -> None:
        """Let go of everything."""


class Repeats(StrEnum):
    """What becomes of a row that a sink writes a second time."""

    OVERWRITTEN = "overwritten"
    IGNORED = "ignored"
    MARKED = "marked"
    """It is there twice, and bears an id by which the far side can tell."""
    KEPT = "kept"
    """It is there twice, and only what identifies a row tells."""


@dataclass(frozen=True, slots=True)
class Ability:
    """What a sink's server can, as far as anybody else has to know.

    `precision` is how many nanoseconds apart two times must be for it to tell them apart. `typed` is true where a field
    keeps for ever the type that it was first written with, so that a tag which changes its type would be refused.
    """

    precision: int
    repeats: Repeats
    typed: bool


class Orders(Protocol):
    """What a sink that listens is given: the way of commands down into the cell. Call it from the event loop only;
    nothing here waits."""

    @property
    def clock(self) -> Clock: ...

    def ready(self) -> None:
        """From now on what the far side wants is heard."""

    def submit(self, order: Order, durable: Callable[[], None], answer: Callable[[CommandDone], None]) -> None:
        """Hand an order over. It is checked, and executed at most once however often it comes, over crashes too.

        `durable` is called once it will not be executed again: acknowledge it to the far side then, and not before.
        `answer` is called once with how it ended, which for a repeat is how the first one ended, where that is known.
        Both are called on the event loop, `answer` perhaps long after the session that the order came by.
        """

    def refuse(self, source: str, reason: str) -> None:
        """Say that something from `source` could not become an order. It is counted, and told to people once."""


class Sink(ABC):
    """One place to deliver to. Created when the cell starts; there is one caller, and one call at a time.

    Every write may come twice, so writing must be idempotent wherever the server allows: a row is known by its schema's
    device and group and its source time. Raise `ConnectionLost`, `ServerFailed`, `SinkHeld`, `ChunkTooLarge` or
    `ChunkRejected`; each tells the forwarder what to do next (see `errors`). Do not retry, split, log or count.
    """

    ability: Ability
    """Known once the sink is made; a class may state it, or an instance by its settings."""

    commands: CommandSettings | None = None
    """What may be ordered through it; nothing unless the configuration says so."""

    @abstractmethod
    async def write(self, rows: Sequence[Rows]) -> None:
        """Return when the far side has every row."""

    @abstractmethod
    async def report(self, events: Sequence[AnyEvent]) -> None:
        """Return when the far side has every event."""

    async def listen(self, orders: Orders) -> None:
        """Hand over what the far side orders, for as long as it can be heard. Goes on beside `write` and `report`.

        Return where there is nothing to listen to, now and ever. Otherwise stay, let go of everything when cancelled,
        and raise what `write` would: you will be called again after a pause.
        """
        return None

    async def close(self) -> None:
        """Let go of everything."""
        return None

"""Where a scan meets everyone who cares, by plain calls: no queue and no await between a scan and its judgement."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeAlias, cast

import numpy as np
import numpy.typing as npt

from gateway.clock import Clock
from gateway.deadband import Deadband, deadbands
from gateway.image import Image
from gateway.model import AnyEvent, Command, RuleFailed, Scan, StatusCode, TagGroup

_log = logging.getLogger(__name__)

Outcome: TypeAlias = AnyEvent | Command | RuleFailed

_MOST_SEEN = 20


class Judge(Protocol):
    """The rules, as the bus knows them. Pure: the time comes in, what is to happen comes out."""

    def judge(self, scan: Scan, now: int, monotonic: int) -> Sequence[Outcome]: ...


class Keeper(Protocol):
    """The journal, as the bus knows it."""

    def append(self, scan: Scan, durable: Callable[[], None] | None = None) -> None: ...

    def follow(self, durable: Callable[[], None]) -> None: ...

    def record(self, event: AnyEvent) -> None: ...


class Bus:
    """`obey` takes the commands that rules give; `told` is called with every event."""

    def __init__(self, clock: Clock, image: Image, judge: Judge, keeper: Keeper) -> None:
        self._clock = clock
        self._deadbands: dict[TagGroup, Deadband] = {}
        self._keeper = keeper
        self.faults = 0
        self._seen: set[str] = set()
        self.obey: Callable[[Command], None] = lambda command: None
        self.told: list[Callable[[AnyEvent], None]] = []
        self.serve(image, judge)

    def serve(self, image: Image, judge: Judge) -> None:
        """From now on these. What was stored last of a group that is in both images is remembered."""
        self._image = image
        self._judge = judge
        fresh = deadbands(image.groups())
        self._deadbands = {group: self._deadbands.get(group, new) for group, new in fresh.items()}

    def publish(self, scan: Scan, durable: Callable[[], None] | None = None) -> None:
        """Into the image, past the rules, into the journal. What is not a number has a bad status by now, see
        `mark_unreal`. Raises JournalFull, after everything else was done."""
        self.look(scan)
        self.keep(scan, durable)

    def look(self, scan: Scan) -> None:
        """Into the image and past the rules."""
        if scan.known:
            self._image.recall(scan)
        self._image.update(scan, self._clock.monotonic())
        self.act(lambda: self._judge.judge(scan, self._clock.now(), self._clock.monotonic()))

    def keep(self, scan: Scan, durable: Callable[[], None] | None = None) -> None:
        """Into the journal, unless its deadbands say that nothing has changed. Raises JournalFull."""
        deadband = self._deadbands.get(scan.group)
        if deadband is None:
            self._keeper.append(scan, durable)
        elif (news := deadband.filter(scan)) is not None:
            self._keeper.append(news, durable)
            deadband.stored(news)
        elif durable is not None:
            self._keeper.follow(durable)

    def emit(self, event: AnyEvent) -> None:
        self._keeper.record(event)
        for listener in self.told:
            listener(event)

    def act(self, judge: Callable[[], Sequence[Outcome]]) -> None:
        """Does what `judge` decides. The bus supervises the rules: one that fails costs no value, and is told once."""
        try:
            outcomes = judge()
        except Exception as error:
            self._fault(error, "the rules failed on a scan; what they judge there is not judged")
            return
        for outcome in outcomes:
            if isinstance(outcome, Command):
                self.obey(outcome)
            elif isinstance(outcome, RuleFailed):
                self._fault(
                    outcome.error, f"rule {outcome.rule} failed, and is judged no more; its alarm stays as it is"
                )
            else:
                self.emit(outcome)

    def _fault(self, error: Exception, text: str) -> None:
        """A bug in a rule: counted, and its traceback shown once for each kind."""
        self.faults += 1
        key = f"{text} {error!r}"
        if key not in self._seen and len(self._seen) < _MOST_SEEN:
            self._seen.add(key)
            _log.error(text, exc_info=error)


def mark_unreal(scan: Scan) -> None:
    """NaN compares false with every limit and an infinity means nothing: both are bad before anybody judges them."""
    for span, plane in zip(scan.group.spans, scan.values, strict=True):
        if not span.type.is_float:
            continue
        real = np.isfinite(cast("npt.NDArray[np.floating[Any]]", plane))
        if real.all():
            continue
        status = np.zeros(len(scan.group.columns), np.uint32) if scan.status is None else scan.status.copy()
        part = status[span.start : span.stop]
        part[~real & (part >> 30 < 2)] = StatusCode.BAD_OUT_OF_RANGE
        scan.status = status

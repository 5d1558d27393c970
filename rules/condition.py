"""What a condition promises, and what it may rely on.

A condition is one module in `rules/conditions/`; its name is the key that a rule uses. It exports `Settings`, what
one rule writes below that key, and `Condition`, which judges every rule of that kind on one tag group at once: a
thousand limits on a group cost a few operations on vectors, not a thousand comparisons. A module of settings and a
`Condition` are all that a new kind needs; delays, alarm states and commands are the engine's.

Where the tags of one rule may be of several groups and devices, the settings say that they are `wide`, and the module's
`Condition` is a `WideCondition`: there is one for all rules of the kind, and it keeps the values that it reads.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import ClassVar, NamedTuple, Self, TypeAlias

from gateway import fields
from gateway.model import Reading, Scan, Tag, TagGroup, Value

Transition: TypeAlias = tuple[int, bool]
"""The key of a rule, and whether its condition holds from now on."""

Look: TypeAlias = Callable[[str], Reading]
"""The last value of a tag by its id, out of the image."""


class Spot(NamedTuple):
    """A place in a text that somebody wrote: its key in the settings, and how many characters into it."""

    key: str
    at: int


class Flaw(NamedTuple):
    """What is wrong with settings on the tags that they read, as a sentence without its full stop. `spot` is None where
    the settings as a whole are meant."""

    message: str
    hint: str = ""
    spot: Spot | None = None


class Settings(fields.Settings, ABC):
    """What one rule says about its condition.

    `flat` settings have no mapping of their own: their keys stand in the rule itself, and the condition's name is one
    of them.
    """

    flat: ClassVar[bool] = False
    wide: ClassVar[bool] = False

    @abstractmethod
    def tags(self) -> tuple[str, ...]:
        """The ids of the tags that are read, the one that the alarm is about first. All are in one tag group, unless
        the settings are `wide`."""

    @abstractmethod
    def problem(self, tags: Mapping[str, Tag]) -> str | None:
        """Why these settings do not suit the tags that they read, as a sentence without its full stop; None if they do.
        `tags` are all tags of the cell by id."""

    def flaws(self, tags: Mapping[str, Tag]) -> Iterator[Flaw]:
        """The same, each problem with its place."""
        problem = self.problem(tags)
        if problem is not None:
            yield Flaw(problem)

    def spot(self, tag: str) -> Spot | None:
        """Where a text names a tag; None where the tag's id is a value of its own."""
        return None


class Condition(ABC):
    """Every rule of one kind on one tag group.

    The engine calls `judge` with each scan of the group, in order, and the other methods in between, never during a
    call. Same scans, same answers: no clock, no I/O, nothing shared. Whatever a scan holds, nothing here raises.

    **Quality first.** A value that is missing from the scan, has a status other than good, or is NaN, neither makes a
    condition hold nor ends it.
    """

    @abstractmethod
    def __init__(self, group: TagGroup, entries: Sequence[tuple[int, Settings]]) -> None:
        """`entries` are the rules: the key by which the engine knows each, and its settings, which are of this module's
        own class and have no `problem` with the tags. At the start no condition holds."""

    @abstractmethod
    def judge(self, scan: Scan) -> Sequence[Transition]:
        """The rules whose condition began or ceased to hold with this scan, hysteresis applied; mostly none."""

    @abstractmethod
    def doubtful(self, scan: Scan) -> Sequence[int]:
        """The rules for which this scan holds a value that is not good. A missing value is not doubtful: the last one
        stands. Called after `judge` with the same scan, only while an on-delay of this group runs, or something
        that a crash interrupted waits for a good value."""

    @abstractmethod
    def value(self, key: int) -> Value:
        """The last good value of a rule's first tag, in Python's own types. Asked only of a rule whose condition holds
        or ceased to hold with the last scan."""

    @abstractmethod
    def adopt(self, key: int, before: Self, old: int) -> None:
        """Let a rule go on where `before` stands with its rule `old`, which has the same settings on the same group.
        Called before the first scan; `before` is not asked again."""

    @abstractmethod
    def resume(self, key: int) -> None:
        """Let a rule go on, after a restart, as one whose condition holds; its value is not known. Only a good value
        that is still to come changes that, and one within the deadband does not. Called before the first scan."""

    @abstractmethod
    def forget(self, key: int) -> None:
        """Let a rule start anew: its condition does not hold, and only a good value that is still to come changes
        that."""


class WideCondition(ABC):
    """Every rule of one kind, on tags of any group.

    The engine calls `lapse` and `update` with each scan of the groups that are read, in order, and then `judge` for
    each rule that this concerns. As with any condition: same calls, same answers, and nothing here raises. What is
    missing, stale, not good or NaN is unknown, and unknown neither makes a condition hold nor ends it.
    """

    @abstractmethod
    def __init__(self, groups: Sequence[TagGroup], entries: Sequence[tuple[int, Settings]]) -> None:
        """`groups` are all that the rules read; `entries` as for a `Condition`. At the start no condition holds, and
        every value is unknown."""

    @abstractmethod
    def recall(self, look: Look) -> None:
        """Take over what the image knows. Called after every `adopt`, before the first scan; nothing is judged."""

    @abstractmethod
    def update(self, scan: Scan, monotonic: int) -> Sequence[int]:
        """Take in the values of a scan that came at `monotonic`. The rules that read them."""

    @abstractmethod
    def judge(self, key: int) -> bool | None:
        """Whether a rule's condition holds from now on, by the last values, hysteresis applied; None if that is
        unknown, and then it stays as it was."""

    @abstractmethod
    def lapse(self, monotonic: int) -> None:
        """What is stale by now becomes unknown. A known answer can only become unknown by that, so no condition begins
        or ceases to hold."""

    @abstractmethod
    def next_lapse(self) -> int | None:
        """After which moment (monotonic) some value is stale; None where none is fresh."""

    @abstractmethod
    def value(self, key: int) -> Value | None:
        """The last good value of a rule's first tag; None if there was none."""

    @abstractmethod
    def adopt(self, key: int, before: Self, old: int) -> None:
        """As for a `Condition`."""

    @abstractmethod
    def resume(self, key: int) -> None:
        """As for a `Condition`."""

    @abstractmethod
    def forget(self, key: int) -> None:
        """As for a `Condition`: when it is judged next, it may hold again."""

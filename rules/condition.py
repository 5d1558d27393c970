"""What a condition promises, and what it may rely on.

A condition is one module in `rules/conditions/`; its name is the key that a rule uses. It exports `Settings`, what
one rule writes below that key, and `Condition`, which judges every rule of that kind on one tag group at once: a
thousand limits on a group cost a few operations on vectors, not a thousand comparisons. A module of settings and a
`Condition` are all that a new kind needs; delays, alarm states and commands are the engine's.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Self, TypeAlias

from gateway import fields
from gateway.model import Scan, Tag, TagGroup, Value

Transition: TypeAlias = tuple[int, bool]
"""The key of a rule, and whether its condition holds from now on."""


class Settings(fields.Settings, ABC):
    """What one rule says about its condition."""

    @abstractmethod
    def tags(self) -> tuple[str, ...]:
        """The ids of the tags that are read, the one that the alarm is about first. All are in one tag group."""

    @abstractmethod
    def problem(self, tags: Mapping[str, Tag]) -> str | None:
        """Why these settings do not suit the tags that they read, as a sentence without its full stop; None if they do.
        `tags` are all tags of the cell by id."""


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

"""When the groups of one device are read. Pure: the time comes in, in monotonic nanoseconds."""

from __future__ import annotations

from collections.abc import Iterable

from gateway.clock import SECOND
from gateway.model import TagGroup

_SPREAD = 10 * SECOND
_OVERRUNS = 3
_RESTS = (1, 10, 100)
_LONGEST = 300 * SECOND


class Schedule:
    """Each group at its scan interval, in slots that keep their phase whatever happens in between.

    `place`, from 0 to 1, is where in its interval a group's first slot lies, so that devices do not all come at once;
    where the interval is long, nobody waits for all of it.
    """

    def __init__(self, groups: Iterable[TagGroup], start: int, place: float) -> None:
        self._intervals = {group: group.interval for group in groups if group.interval is not None}
        self._due = {group: start + int(min(each, _SPREAD) * place) for group, each in self._intervals.items()}
        self._overruns: dict[TagGroup, int] = {}
        self._slow: dict[TagGroup, str] = {}

    def next(self) -> tuple[int, TagGroup]:
        """The next slot: when, and of which group."""
        group = min(self._due, key=self._due.__getitem__)
        return self._due[group], group

    def done(self, group: TagGroup, now: int) -> int:
        """The group's slot was used. Of those that are over meanwhile only the last is read, at once; returns how many
        others are lost."""
        interval = self._intervals[group]
        lost = max(0, (now - self._due[group]) // interval - 1)
        self._due[group] += (1 + lost) * interval
        return lost

    def hold(self, until: int) -> None:
        """Leave the device alone: the slots before `until` are not used."""
        for group, due in self._due.items():
            interval = self._intervals[group]
            self._due[group] += max(0, -((due - until) // interval)) * interval

    def pace(self, group: TagGroup, took: int) -> str:
        """What is to be said of a group's last reads: nothing, or that the device is too slow for the interval."""
        interval = self._intervals[group]
        if took <= interval:
            self._overruns.pop(group, None)
            self._slow.pop(group, None)
        else:
            self._overruns[group] = self._overruns.get(group, 0) + 1
        if self._overruns.get(group, 0) >= _OVERRUNS:
            times = f"takes {took / SECOND:.2g} s, its interval is {interval / SECOND:g} s"
            self._slow[group] = f"too slow: reading {group.name} {times}"
        return next(iter(self._slow.values()), "")


def rest(failures: int, held: int) -> int:
    """How long a silent device is left alone that shares its line: each of its `failures` in a row held up the others
    for `held`. A lost answer is asked for again soon; a device that is gone gets a hundredth of the line's time."""
    return min(_LONGEST, held * _RESTS[min(failures, len(_RESTS)) - 1])

"""How one device is, judged by its values: whether they are fresh, and if not, why. Pure: the time comes in."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from gateway.clock import SECOND
from gateway.fields import ClockSettings
from gateway.model import Device, DeviceState, Mask, Quality, Scan, StatusCode, TagGroup

_QUARANTINE_AFTER = 5
_NAMED = 5


@dataclass(slots=True)
class Health:
    """Times are monotonic nanoseconds, except `since`, which is UTC: when it became well, or ceased to be.

    `trouble` is what keeps a group, by its id, from giving fresh values; `slow` what keeps them from coming as often as
    they should; `told` the state that people know.
    """

    device: Device
    state: DeviceState = DeviceState.CONNECTING
    reason: str = "not connected yet"
    since: int = 0
    scans: int = 0
    points: int = 0
    late: int = 0
    bad_scans: int = 0
    failures: int = 0
    fresh: dict[TagGroup, int] = field(default_factory=dict)
    newest: dict[TagGroup, int] = field(default_factory=dict)
    up: int = 0
    clock: ClockSettings | None = None
    bad: dict[TagGroup, Mask] = field(default_factory=dict)
    trouble: dict[str, str] = field(default_factory=dict)
    slow: str = ""
    told: DeviceState | None = None

    @property
    def is_well(self) -> bool:
        return self.state is DeviceState.ONLINE and not self.reason

    def hear(self, scan: Scan, now: int) -> bool:
        """True if the row is news."""
        if trouble := self._trouble(scan):
            self.trouble[scan.group.id] = trouble
            return False
        self.trouble.pop(scan.group.id, None)
        self.fresh[scan.group] = now
        self.failures = 0
        return True

    def fail(self, reason: str) -> tuple[DeviceState, str]:
        """It gave no answer."""
        self.failures += 1
        if self.failures < _QUARANTINE_AFTER:
            return DeviceState.OFFLINE, reason
        return DeviceState.QUARANTINED, f"{reason}; {self.failures} times in a row"

    def connect(self, now: int) -> None:
        """A session begins. The values of an old one are not those of the new."""
        self.failures = 0
        self.fresh.clear()
        self.up = now

    def assess(self, now: int) -> tuple[DeviceState, str]:
        """Online means that the values are fresh, whatever the socket says. A device that fails is judged by that."""
        if self.failures:
            return self.state, self.reason
        stale = [g for g in self.device.groups if now - self.fresh.get(g, -g.stale_after) > g.stale_after]
        if not stale:
            return DeviceState.ONLINE, self.slow
        if now - self.up <= stale[0].stale_after:
            return self.state, self.reason
        trouble = self.trouble.get(stale[0].id)
        reason = f"no fresh value of {stale[0].name} for {stale[0].stale_after / SECOND:g} s"
        return DeviceState.STALE, f"{reason}: {trouble}" if trouble else reason

    def turn(self, state: DeviceState, reason: str, now: int) -> bool:
        """Into a state. True if people should be told: once, however often a session comes and goes without a fresh
        value."""
        was_well = self.is_well
        if not (state is self.state is DeviceState.QUARANTINED):
            self.reason = reason
        self.state = state
        if self.is_well is not was_well:
            self.since = now
        if state in (self.told, DeviceState.CONNECTING):
            return False
        self.told = state
        return True

    def weigh(self, scan: Scan) -> str:
        """Bad values are values and flow on; what is to be said of a group's, after this row."""
        last = self.bad.get(scan.group)
        bad = np.zeros(len(scan.group.columns), np.bool_) if scan.status is None else scan.status >> 30 >= Quality.BAD
        if scan.columns is not None:
            bad = np.where(scan.columns, bad, False if last is None else last)
        if not bad.any():
            self.bad.pop(scan.group, None)
            return ""
        self.bad[scan.group] = bad
        self.bad_scans += 1
        return f"bad values of {_names(scan.group, bad)}"

    def _trouble(self, scan: Scan) -> str:
        """Why a row refreshes nothing, if so: it is bad throughout, or the device sends it again with the time of the
        last one."""
        if scan.status is not None and (scan.status >> 30 >= Quality.BAD).all():
            return f"all its values are bad: {_words(int(scan.status[0]))}"
        if not isinstance(scan.source_time, int) or scan.source_time == scan.gateway_time:
            return ""
        last, self.newest[scan.group] = self.newest.get(scan.group), scan.source_time
        return "its time stands still" if last == scan.source_time else ""


def _names(group: TagGroup, columns: Mask) -> str:
    """A few of them by name."""
    names = [group.columns[column].name for column in np.flatnonzero(columns)]
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more


def _words(status: int) -> str:
    try:
        return StatusCode(status).name.removeprefix("BAD_").replace("_", " ").lower()
    except ValueError:
        return f"status 0x{status:08X}"

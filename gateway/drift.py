"""Which clock a row is stored by: its device's, within limits, or ours."""

from __future__ import annotations

import numpy as np

from gateway.clock import SECOND
from gateway.fields import ClockSettings
from gateway.model import Device, Mask, Quality, Scan, StatusCode, Statuses

_UNITS = (("days", 86_400), ("hours", 3_600), ("minutes", 60))


def clock_of(device: Device) -> ClockSettings | None:
    """None where every time that the device gives is taken, so that nobody has to look."""
    clock: object = getattr(device.settings, "clock", None)
    if not isinstance(clock, ClockSettings) or (clock.trust == "device" and clock.tolerance is None):
        return None
    return clock


def correct(scan: Scan, clock: ClockSettings) -> str:
    """Gives the row our time where the device's is not to be taken. Where that is only now found out, because the
    device's clock is further off than `tolerance`, the values are uncertain, and what is returned says how far."""
    if clock.trust == "gateway":
        scan.source_time = scan.gateway_time
        scan.current = True
        return ""
    if clock.tolerance is None:
        return ""
    if isinstance(scan.source_time, int):
        return _correct_row(scan, scan.source_time - scan.gateway_time, clock.tolerance)
    offset = scan.source_time - scan.gateway_time
    beyond = offset > clock.tolerance
    if not scan.held:
        beyond |= offset < -clock.tolerance
    if scan.columns is not None:
        beyond &= scan.columns
    if not beyond.any():
        return ""
    scan.source_time = np.where(beyond, scan.gateway_time, scan.source_time)
    scan.status = _doubted(scan, beyond)
    return _words(int(offset[beyond][np.abs(offset[beyond]).argmax()]), clock.tolerance)


def _correct_row(scan: Scan, offset: int, tolerance: int) -> str:
    if abs(offset) <= tolerance or (scan.held and offset < 0):
        return ""
    scan.source_time = scan.gateway_time
    scan.current = True
    scan.status = _doubted(scan, np.ones(len(scan.group.columns), np.bool_))
    return _words(offset, tolerance)


def _doubted(scan: Scan, beyond: Mask) -> Statuses:
    """Uncertain where it was good; what was uncertain or bad already has its own reason."""
    status = np.zeros(len(scan.group.columns), np.uint32) if scan.status is None else scan.status.copy()
    status[beyond & (status >> 30 == Quality.GOOD)] = StatusCode.UNCERTAIN
    return status


def _words(offset: int, tolerance: int) -> str:
    """In steps so large that a clock that is off says the same again and again."""
    side, seconds = "ahead of" if offset > 0 else "behind", abs(offset) // SECOND
    unit, size = next(((unit, size) for unit, size in _UNITS if seconds >= 2 * size), ("", 1))
    amount = f"{seconds // size} {unit}" if unit else f"more than {tolerance / SECOND:g} s"
    return f"the device's clock is {amount} {side} ours; our time is taken instead"

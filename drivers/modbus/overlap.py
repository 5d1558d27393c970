"""Finds tags that lie on top of each other."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, cast

from drivers.modbus.settings import DeviceSettings, TagSettings
from gateway.model import Device, Link


class _Stretch(NamedTuple):
    """What a tag takes of one table, in bits, so that two bits of one register stand side by side."""

    unit: int
    table: str
    start: int
    stop: int
    tag: str


def check(link: Link) -> Iterator[tuple[str, str]]:
    """(tag id, problem) for every tag that shares registers or bits with another of the same unit on this link."""
    last: _Stretch | None = None
    for stretch in sorted(stretch for device in link.devices for stretch in _stretches(device)):
        if last is None or stretch[:2] != last[:2] or stretch.start >= last.stop:
            last = stretch
            continue
        yield stretch.tag, f"lies on the same address as {last.tag}"
        last = max(last, stretch, key=lambda one: one.stop)


def _stretches(device: Device) -> Iterator[_Stretch]:
    unit = cast(DeviceSettings, device.settings).unit
    for group in device.groups:
        for tag in group.columns:
            where = cast(TagSettings, tag.address)
            address, width = where.address, 1 if where.address.table.has_bits else 16
            start, stop = width * address.start, width * (address.start + where.count)
            if address.bit is not None:
                start, stop = start + address.bit, start + address.bit + 1
            yield _Stretch(unit, address.table, start, stop, tag.id)

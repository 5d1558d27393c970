"""Finds nodes that stand twice in one device."""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

from drivers.opcua.address import Address
from drivers.opcua.settings import TagSettings
from gateway.model import Link


def check(link: Link) -> Iterator[tuple[str, str]]:
    """(tag id, problem) for every tag whose node another tag of the same device has already."""
    for device in link.devices:
        seen: dict[Address, str] = {}
        for group in device.groups:
            for tag in group.columns:
                first = seen.setdefault(cast(TagSettings, tag.address).node, tag.id)
                if first != tag.id:
                    yield tag.id, f"is the same node as {first}"

"""Links and sessions as the settings module and the supervisor would make them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from typing import Any

from drivers.opcua import DeviceSettings, Driver, GroupSettings, LinkSettings
from gateway.contracts import Receiver
from gateway.model import Device, Link, Tag, TagGroup
from tests.parts.nodeopcua import URI

SECOND = 1_000_000_000


def tags(**types: str) -> dict[str, Any]:
    """Tags by the names of their nodes."""
    return {name: {"node": f"nsu={URI};s={name}", "type": type} for name, type in types.items()}


def make_group(settings: GroupSettings, device: str = "plc", name: str = "values") -> TagGroup:
    made = [
        Tag(f"{device}/{tag}", each.type, range=each.range, writable=each.writable, address=each)
        for tag, each in settings.tags.items()
    ]
    stale_after = settings.stale_after or 60 * SECOND
    return TagGroup(device, name, TagGroup.sort(made), settings.interval, stale_after, settings)


def make_link(groups: Mapping[str, Any], url: str = "opc.tcp://127.0.0.1:4840", **settings: Any) -> Link:
    """A link `server` with one device, its groups as they stand in a configuration file."""
    device = DeviceSettings.model_validate({"link": "server", "groups": groups})
    made = tuple(make_group(group, "plc", name) for name, group in device.groups.items())
    link = LinkSettings.model_validate({"driver": "opcua", "url": url, **settings})
    return Link("server", "opcua", (Device("plc", made, device),), link)


def tag_of(link: Link, name: str) -> Tag:
    return next(tag for group in link.devices[0].groups for tag in group.columns if tag.name == name)


@contextlib.asynccontextmanager
async def session(link: Link, receiver: Receiver) -> AsyncIterator[Driver]:
    """An open driver, its `run` going on beside the test."""
    driver = Driver(link, receiver)
    try:
        await driver.open()
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(driver.run())
            yield driver
            running.cancel()
    finally:
        await driver.close()

"""Links, groups and sessions as the settings module and the supervisor would make them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

from drivers.mqtt import DeviceSettings, Driver, GroupSettings, LinkSettings
from gateway.contracts import Receiver
from gateway.model import Device, Link, Tag, TagGroup


def make_group(settings: GroupSettings, device: str = "pump-1", name: str = "state") -> TagGroup:
    tags = [Tag(f"{device}/{tag}", spec.type, address=spec) for tag, spec in settings.tags.items()]
    return TagGroup(device, name, TagGroup.sort(tags), None, 10_000_000_000, settings)


def make_link(groups: dict[str, dict[str, Any]], *, port: int = 1883, device: str = "pump-1", **settings: Any) -> Link:
    """A link `floor` with one device, its groups as they stand in a configuration file."""
    device_settings = DeviceSettings.model_validate({"link": "floor", "groups": groups})
    made = tuple(make_group(group, device, name) for name, group in device_settings.groups.items())
    link = LinkSettings.model_validate({"driver": "mqtt", "host": "127.0.0.1", "port": port, **settings})
    return Link("floor", "mqtt", (Device(device, made, device_settings),), link)


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

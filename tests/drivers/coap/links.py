"""Links, groups and sessions as the settings module and the supervisor would make them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

from drivers.coap import DeviceSettings, Driver, GroupSettings, LinkSettings
from gateway.contracts import Receiver
from gateway.model import Device, Link, Scan, Tag, TagGroup

INT: dict[str, Any] = {"type": "int32"}


def make_group(settings: GroupSettings, device: str = "pump-1", name: str = "state") -> TagGroup:
    tags = [Tag(f"{device}/{tag}", spec.type, address=spec) for tag, spec in settings.tags.items()]
    return TagGroup(device, name, TagGroup.sort(tags), settings.interval, 10_000_000_000, settings)


def make_link(groups: dict[str, dict[str, Any]], *, device: str = "pump-1", **settings: Any) -> Link:
    """A link `field` with one device, its groups as they stand in a configuration file."""
    device_settings = DeviceSettings.model_validate({"link": "field", "groups": groups})
    made = tuple(make_group(group, device, name) for name, group in device_settings.groups.items())
    link = LinkSettings.model_validate({"driver": "coap", **settings})
    return Link("field", "coap", (Device(device, made, device_settings),), link)


def client_link(port: int, groups: dict[str, dict[str, Any]], **settings: Any) -> Link:
    return make_link(groups, host="127.0.0.1", port=port, **settings)


def server_link(port: int, groups: dict[str, dict[str, Any]], **settings: Any) -> Link:
    return make_link(groups, listen={"port": port}, **settings)


def group_of(link: Link, name: str) -> TagGroup:
    return next(group for group in link.devices[0].groups if group.name == name)


def tag_of(link: Link, name: str) -> Tag:
    return next(tag for group in link.devices[0].groups for tag in group.columns if tag.name == name)


def values(scan: Scan) -> dict[str, object]:
    """What is there, by the tag's name: the value, or the status code where it is not good."""
    row = [value for plane in scan.values for value in plane.tolist()]
    status = [0] * len(row) if scan.status is None else scan.status.tolist()
    present = [True] * len(row) if scan.columns is None else scan.columns.tolist()
    names = [tag.name for tag in scan.group.columns]
    return {n: s or v for n, v, s, p in zip(names, row, status, present, strict=True) if p}


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

"""OPC UA: nodes of a server, subscribed to or read, and writes, on asyncua.

`address`, `convert`, `collect` and `encode` are pure. What is behind `driver` needs asyncua and is loaded by the first
session: `conversation` runs it, `subscription`, `reader` and `writer` use it, `session`, `login`, `transport` are it.
"""

from __future__ import annotations

from drivers.opcua.check import check
from drivers.opcua.driver import Driver
from drivers.opcua.settings import DeviceSettings, GroupSettings, LinkSettings, TagSettings
from drivers.opcua.survey import SCHEMES, survey

__all__ = [
    "SCHEMES",
    "DeviceSettings",
    "Driver",
    "GroupSettings",
    "LinkSettings",
    "TagSettings",
    "check",
    "survey",
]

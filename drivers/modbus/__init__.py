"""Modbus TCP: polled groups in few requests, several of them in flight where the device bears it, and writes."""

from drivers.modbus.driver import Driver
from drivers.modbus.overlap import check
from drivers.modbus.settings import DeviceSettings, GroupSettings, LinkSettings, TagSettings
from drivers.modbus.survey import SCHEMES, survey

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

"""MQTT 5 and 3.1.1: the topics of a broker as tag groups, on paho-mqtt.

`topic` and `inbox` are pure; `client` and `pump` hold the connection. What a payload means is in `gateway.payload`.
"""

from __future__ import annotations

from drivers.mqtt.driver import Driver
from drivers.mqtt.probe import probe
from drivers.mqtt.routes import check
from drivers.mqtt.settings import DeviceSettings, GroupSettings, LinkSettings, TagSettings
from drivers.mqtt.survey import SCHEMES, survey

__all__ = [
    "SCHEMES",
    "DeviceSettings",
    "Driver",
    "GroupSettings",
    "LinkSettings",
    "TagSettings",
    "check",
    "probe",
    "survey",
]

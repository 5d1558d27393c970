"""CoAP (RFC 7252) on aiocoap: resources that are polled or observed, or a server that devices report to.

A link is one of two things. With `host` it is a client of one server: a tag group is a resource, read every `interval`
or observed (RFC 7641), and commands are PUT or POST. With `listen` it is a server itself: devices PUT or POST their
state to a path, and are answered 2.04 Changed once it is on disk.

There is no security yet, neither DTLS nor OSCORE: anybody who reaches the port can report values, and anybody on the
way can read and change them. So a link listens on loopback unless told otherwise; tell it otherwise on a network of
its own.

`code`, `message`, `datagram`, `recent`, `assembly`, `freshness` and `resource` are pure. `transport` and `endpoint`
are all that knows aiocoap, which is loaded when a link is opened, not with the settings.
"""

from __future__ import annotations

from drivers.coap.driver import Driver
from drivers.coap.routes import check
from drivers.coap.settings import DeviceSettings, GroupSettings, LinkSettings, TagSettings
from drivers.coap.survey import SCHEMES, survey

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

"""The id of a JSON message, whether it tells of a row or of an event. Pure."""

from __future__ import annotations

from gateway.sinks._identity import event_id, row_id
from gateway.sinks._json import Message


def stamp(message: Message, site: str, cell: str) -> str:
    """32 hexadecimal digits; see `_identity`. When a row reached us is not counted: a source that delivers it again,
    because we went away before it was acknowledged, says nothing new."""
    if message.kind:
        return event_id(site, cell, message.body)
    times = b'{"time":%d,"gateway_time":%d,' % (message.time, message.gateway_time)
    content = message.body.removeprefix(times)
    return row_id(site, cell, message.device, message.group, message.time, content)

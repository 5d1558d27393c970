"""The id of a JSON message, whether it tells of a row or of an event. Pure."""

from __future__ import annotations

from gateway.sinks._identity import event_id, row_id
from gateway.sinks._json import Message


def stamp(message: Message, site: str, cell: str) -> str:
    """32 hexadecimal digits; see `_identity`."""
    if message.kind:
        return event_id(site, cell, message.body)
    return row_id(site, cell, message.device, message.group, message.time, message.body)

"""A session for somebody who only wants to look."""

from __future__ import annotations

import uuid
from dataclasses import replace
from typing import cast

from drivers.mqtt.settings import LinkSettings
from gateway.model import Link


def probe(link: Link) -> Link:
    """The same link with a client id of its own and a session that ends with it. Under the gateway's own client id the
    broker would end the gateway's session, or hand over the messages that it keeps for it."""
    settings = cast(LinkSettings, link.settings)
    passing = {"client_id": f"edgeward-check-{uuid.uuid4().hex[:8]}", "session_expiry": 0}
    return replace(link, settings=settings.model_copy(update=passing))

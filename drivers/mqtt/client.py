"""The driver's session with a broker: one value published at a time, and told as the driver's contract wants it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from paho.mqtt.client import MQTTMessage

from drivers.mqtt.settings import LinkSettings
from gateway.errors import CommandRefused, DeviceSilent
from gateway.mqtt.packet import about_publish
from gateway.mqtt.session import Session, Terms

WRITE_TIMEOUT_S = 5
_NO_SUBSCRIBER = 16


class Connection(Session):
    """Made fresh for every session: `open` once, then the rest, at last `close`."""

    def __init__(self, settings: LinkSettings, client_id: str, deliver: Callable[[MQTTMessage], None]) -> None:
        """`deliver` is given each message. What it raises ends the session, and comes out of `wait`."""
        terms = Terms(
            version=settings.version,
            session_expiry=settings.session_expiry,
            max_packet=settings.max_packet,
            timeout=settings.open_timeout,
        )
        super().__init__(settings, client_id, terms, deliver)
        # A command that its device has not fetched in time is worth nothing.
        self._about = about_publish(MessageExpiryInterval=WRITE_TIMEOUT_S) if settings.version == 5 else None

    async def publish(self, topic: str, payload: bytes) -> None:
        """Publish at QoS 1, never retained, and return when the broker has it.

        Raises CommandRefused where the broker says no, DeviceSilent where it knows that nobody subscribes to the topic
        or does not answer (then the outcome is unknown), and ConnectionLost.
        """
        try:
            async with asyncio.timeout(WRITE_TIMEOUT_S):
                (reason,) = await self.outcome(await self.send(topic, payload, self._about))
        except TimeoutError:
            raise DeviceSilent(f"the broker did not acknowledge {topic} within {WRITE_TIMEOUT_S} s") from None
        if reason.is_failure:
            raise CommandRefused(f"the broker refuses {topic}: {reason}")
        if reason.value == _NO_SUBSCRIBER:
            raise DeviceSilent(f"nobody subscribes to {topic}")

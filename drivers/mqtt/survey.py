"""What a broker says by itself: who listens for a while learns its topics and what is in them."""

from __future__ import annotations

import asyncio
import contextlib
import os
import uuid
from typing import Final

from paho.mqtt.client import MQTTMessage

from drivers.mqtt import census
from drivers.mqtt.client import Connection
from drivers.mqtt.settings import LinkSettings
from gateway import target
from gateway.clock import SystemClock
from gateway.errors import ConfigError, GatewayError
from gateway.survey import Line, Part, Plain, Survey, Tell, remark
from gateway.target import Target

SCHEMES: Final = ("mqtt", "mqtts")
LISTEN_S: Final = 5
OPEN_S: Final = 5
MOST_TOPICS: Final = 1_000
MOST_PAYLOADS: Final = 3
"""Of one topic."""
MOST_BYTES: Final = 64 * 1024
PASSWORD: Final = "MQTT_PASSWORD"
_NAMED: Final = 5


async def survey(url: str, tell: Tell) -> Survey:
    """Listens to `mqtt://[user@]HOST[:PORT][?topic=plant/#&seconds=5]`, or `mqtts://` with TLS; the password is that of
    $MQTT_PASSWORD. Raises ConfigError, ConnectionLost."""
    where = target.parse(url, "topic", "seconds")
    topics = list(where.options.get("topic", ["#"]))
    seconds = where.number("seconds", LISTEN_S, 0.1, 600)
    ear = Ear()
    link, connection = await _connect(where, ear)
    try:
        await connection.subscribe([(topic, 0) for topic in topics])
        tell(f"listening to {', '.join(topics)} for {seconds:g} s")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await connection.wait()
    finally:
        connection.close()
    return _survey(ear, link, f"{', '.join(topics)} within {seconds:g} s")


class Ear:
    """Keeps a little of everything that is published, and nothing of what the broker says of itself."""

    def __init__(self) -> None:
        self.heard: dict[str, list[bytes]] = {}
        self.is_full = False

    def take(self, message: MQTTMessage) -> None:
        with contextlib.suppress(UnicodeDecodeError):
            self.hear(message.topic, bytes(message.payload))

    def hear(self, topic: str, payload: bytes) -> None:
        if topic.startswith("$") or not payload or len(payload) > MOST_BYTES:
            return
        if topic not in self.heard and len(self.heard) >= MOST_TOPICS:
            self.is_full = True
            return
        payloads = self.heard.setdefault(topic, [])
        if len(payloads) < MOST_PAYLOADS:
            payloads.append(payload)


async def _connect(where: Target, ear: Ear) -> tuple[dict[str, Plain], Connection]:
    """What the link needs, and a connection made with it; of MQTT 5 if the broker speaks it."""
    link = _link(where)
    try:
        return link, await _open(link, ear)
    except GatewayError as error:
        older: dict[str, Plain] = {**link, "version": "3.1.1"}
        with contextlib.suppress(GatewayError):
            return older, await _open(older, ear)
        raise error


async def _open(link: dict[str, Plain], ear: Ear) -> Connection:
    passing = {"session_expiry": "0s", "open_timeout": f"{OPEN_S}s"}
    settings = LinkSettings.model_validate({"driver": "mqtt", **link, **passing})
    connection = Connection(settings, f"edgeward-init-{uuid.uuid4().hex[:8]}", ear.take)
    try:
        async with asyncio.timeout(2 * OPEN_S):
            await connection.open()
    except TimeoutError:
        connection.close()
        raise ConfigError(f"no answer from {settings.host}:{settings.port} within {2 * OPEN_S} s") from None
    except GatewayError:
        connection.close()
        raise
    return connection


def _link(where: Target) -> dict[str, Plain]:
    is_secure = where.scheme == "mqtts"
    link: dict[str, Plain] = {"host": where.host, "port": where.port or (8883 if is_secure else 1883)}
    if is_secure:
        link["tls"] = {}
    if where.user is not None:
        link["username"] = where.user
        if PASSWORD in os.environ:
            link["password"] = {"env": PASSWORD}
    return link


def _survey(ear: Ear, link: dict[str, Plain], where: str) -> Survey:
    if not ear.heard:
        raise ConfigError(f"nothing was published to {where}; listen longer with ?seconds=60, or see what may be read")
    found = census.take(ear.heard, "broker", SystemClock().now())
    if not found.devices:
        raise ConfigError(f"what was published to {where} is neither JSON nor plain values")
    comment = [
        f"{len(ear.heard)} topics were heard; the values beside the tags are those that were seen.",
        "A number is a float64, which takes whole ones too; give int64 to what only counts, and unit and range to all.",
        "A group without time takes that of arrival. Values older than stale_after (60s) are stale.",
    ]
    if ear.is_full:
        comment.append(f"Only the first {MOST_TOPICS} topics were kept: name some with ?topic=")
    if found.left_out:
        named = ", ".join(remark(topic, 40) for topic in found.left_out[:_NAMED])
        comment.append(f"Nothing was made of {len(found.left_out)} topics, such as {named}")
    links = Part({"broker": Line({"driver": "mqtt", **link})})
    return Survey(links, Part(found.devices), Part(found.templates), tuple(comment))

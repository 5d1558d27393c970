"""Orders that come over MQTT, and the answers that go back."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from typing import Final, NamedTuple, TypeAlias

from paho.mqtt.client import MQTTMessage
from paho.mqtt.properties import Properties

from gateway.contracts import Orders
from gateway.errors import CommandRefused, ConnectionLost
from gateway.model import CommandDone
from gateway.mqtt import packet
from gateway.mqtt.inbox import Inbox
from gateway.mqtt.packet import about_publish, given, publish_size
from gateway.mqtt.session import Session
from gateway.mqtt.topic import check_name
from gateway.sinks import _order
from gateway.sinks._identity import event_id

Connect: TypeAlias = Callable[[Callable[[MQTTMessage], None]], Session]

MOST_RECEIVED: Final = 20
MOST_PACKET: Final = 64 * 1024
_MOST_ANSWERS: Final = 1_000
_MOST_TOPIC: Final = 1_024
_MOST_CORRELATION: Final = 1_024


class _Answer(NamedTuple):
    topic: str
    about: Properties
    body: bytes


class Intake:
    """Takes orders from one topic filter. What is answered waits here for a session to send it, and is sent again until
    the broker has it: a copy bears the same id."""

    def __init__(self, topic: str, reply_topic: str | None, place: Mapping[str, str]) -> None:
        self._topic = topic
        self._reply_topic = reply_topic
        self._place = place
        self._answers: deque[_Answer] = deque()
        self._filled = asyncio.Event()

    async def serve(self, connect: Connect, orders: Orders, patience_s: float) -> None:
        """One session, to its end. `patience_s` is how long the broker may take for each of its answers."""
        session = connect(lambda message: self._take(message, inbox, orders))
        inbox = Inbox(session.acknowledge)
        try:
            async with asyncio.timeout(patience_s):
                await session.open()
                await session.subscribe([(self._topic, 1)], as_published=True)
            orders.ready()
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._send(session, orders, patience_s))
                await session.wait()
        finally:
            session.close()

    # Down

    def _take(self, message: MQTTMessage, inbox: Inbox, orders: Orders) -> None:
        """Acknowledged in their order, each when it will not be executed again."""
        durable = partial(inbox.done, inbox.add(message.mid, message.qos, 1)) if message.qos else _nothing
        respond = partial(self._respond, message.properties, orders)
        try:
            if message.retain:
                raise CommandRefused("an order must not be retained: the broker would give it again and again")
            order = _order.decode(bytes(message.payload))
        except CommandRefused as error:
            durable()
            orders.refuse("a message", str(error))
            respond(_order.denial(str(error), orders.clock.now(), self._place))
        else:
            orders.submit(order, durable, lambda done: respond(self._render(done)))

    def _render(self, done: CommandDone) -> bytes:
        return _order.answer(done, self._place)

    # Up

    def _respond(self, asked: Properties | None, orders: Orders, body: bytes) -> None:
        topic = self._destination(asked)
        if topic is None:
            return
        if len(self._answers) >= _MOST_ANSWERS:
            orders.refuse("answers", "too many wait for the broker; the latest are dropped")
            return
        about = about_publish(ContentType="application/json", PayloadFormatIndicator=1)
        about.UserProperty = ("id", event_id(self._place["site"], self._place["cell"], body))
        correlation = given(asked, "CorrelationData", b"")
        if 0 < len(correlation) <= _MOST_CORRELATION:
            about.CorrelationData = correlation
        self._answers.append(_Answer(topic, about, body))
        self._filled.set()

    def _destination(self, asked: Properties | None) -> str | None:
        """Where the sender wants it, if that is a topic to publish to, or else where the configuration says."""
        wanted = given(asked, "ResponseTopic", "")
        with suppress(ValueError):
            check_name(wanted)
            if len(wanted) <= _MOST_TOPIC and not wanted.startswith("$"):
                return str(wanted)
        return self._reply_topic

    async def _send(self, session: Session, orders: Orders, patience_s: float) -> None:
        while True:
            while self._answers:
                await self._send_first(session, orders, patience_s)
                self._answers.popleft()
            self._filled.clear()
            await self._filled.wait()

    async def _send_first(self, session: Session, orders: Orders, patience_s: float) -> None:
        topic, about, body = self._answers[0]
        if publish_size(topic, packet.length(about), body) > session.max_packet:
            orders.refuse("answers", f"the broker takes at most {session.max_packet} bytes")
            return
        try:
            async with asyncio.timeout(patience_s):
                (reason,) = await session.outcome(await session.send(topic, body, about))
        except TimeoutError:
            raise ConnectionLost(f"{session.where} did not acknowledge an answer within {patience_s:g} s") from None
        if reason.is_failure:
            orders.refuse("answers", f"the broker refuses {topic}: {reason}")


def _nothing() -> None:
    """QoS 0: nobody waits for an acknowledgement."""

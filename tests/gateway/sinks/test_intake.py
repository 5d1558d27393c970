"""Orders over a real broker: what is acknowledged when, and where the answers go."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from gateway.clock import Clock, SystemClock
from gateway.errors import ConnectionLost, GatewayError, SinkHeld, innermost
from gateway.model import CommandDone, Order, Outcome
from gateway.sinks.mqtt import Settings, Sink
from tests.parts.mosquitto import Heard, Mosquitto, Witness
from tests.parts.process import free_port

pytestmark = pytest.mark.real("mosquitto")

ORDERS = "plant-1/orders"
ANSWERS = "plant-1/answers"
COMMANDS = {"topic": "{site}/orders", "tags": ["press/*"], "reply_topic": "{site}/answers"}


class FakeOrders:
    """Keeps what comes, and does with it what the test says."""

    def __init__(self) -> None:
        self.clock: Clock = SystemClock()
        self.is_ready = False
        self.taken: list[tuple[Order, Callable[[], None], Callable[[CommandDone], None]]] = []
        self.refused: list[tuple[str, str]] = []

    def ready(self) -> None:
        self.is_ready = True

    def submit(self, order: Order, durable: Callable[[], None], answer: Callable[[CommandDone], None]) -> None:
        self.taken.append((order, durable, answer))

    def refuse(self, source: str, reason: str) -> None:
        self.refused.append((source, reason))

    @property
    def ids(self) -> list[str]:
        return [order.id for order, _, _ in self.taken]

    def finish(self, number: int) -> None:
        order, durable, answer = self.taken[number]
        durable()
        answer(CommandDone(7, order.id, order.tag, order.value, "sink:cloud", Outcome.DONE))


class Rig:
    def __init__(self, port: int, **commands: object) -> None:
        settings = {"sink": "mqtt", "host": "127.0.0.1", "port": port, "commands": COMMANDS | commands, "timeout": "5s"}
        self.sink = Sink(Settings.model_validate(settings), "plant-1", "line-a")
        self.orders = FakeOrders()

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        """One session, as if the process were killed at its end: nothing more is said to the broker."""
        self.orders.is_ready = False
        session = asyncio.create_task(self.sink.listen(self.orders))
        await wait(lambda: self.orders.is_ready or session.done())
        try:
            yield
        finally:
            session.cancel()
            await asyncio.wait((session,))

    async def failure(self) -> GatewayError:
        try:
            async with asyncio.timeout(10):
                await self.sink.listen(self.orders)
        except (GatewayError, ExceptionGroup) as error:
            found = innermost(error)
            assert isinstance(found, GatewayError)
            return found
        raise AssertionError("it listens")

    async def wait_taken(self, number: int) -> None:
        await wait(lambda: len(self.orders.taken) >= number)


async def wait(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not holds():
            await asyncio.sleep(0)


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    part = Mosquitto(tmp_path)
    yield part
    part.stop()


@pytest.fixture
def witness(broker: Mosquitto) -> Iterator[Witness]:
    made = Witness(broker.port)
    yield made
    made.stop()


def order(id_: str = "o-1") -> str:
    return json.dumps({"id": id_, "tag": "press/run", "value": True, "time": SystemClock().now()})


async def wait_answers(witness: Witness, number: int, topic: str = ANSWERS) -> list[Heard]:
    """What went to a topic, once there is so much of it."""
    found: list[Heard] = []

    def there() -> bool:
        found[:] = [heard for heard in witness.all() if heard.topic == topic]
        return len(found) >= number

    await wait(there)
    return found


async def test_what_is_not_durable_comes_again_and_what_is_does_not(broker: Mosquitto, witness: Witness) -> None:
    rig = Rig(broker.port)
    async with rig.listening():
        for number in range(3):
            witness.publish(ORDERS, order(f"o-{number}"))
        await rig.wait_taken(3)
        rig.orders.finish(0)
        rig.orders.finish(2)  # out of turn: it may be acknowledged after the one before it only
        await wait_answers(witness, 2)
    async with rig.listening():
        await rig.wait_taken(5)
        assert rig.orders.ids[3:] == ["o-1", "o-2"]
        rig.orders.finish(3)
        rig.orders.finish(4)
        await wait_answers(witness, 4)
    async with rig.listening():
        witness.publish(ORDERS, order("o-9"))
        await rig.wait_taken(6)
        assert rig.orders.ids[5:] == ["o-9"]


async def test_an_order_waits_while_we_are_away(broker: Mosquitto, witness: Witness) -> None:
    rig = Rig(broker.port)
    async with rig.listening():
        pass
    witness.publish(ORDERS, order())
    async with rig.listening():
        await rig.wait_taken(1)


async def test_an_answer_that_found_no_session_goes_by_the_next(broker: Mosquitto, witness: Witness) -> None:
    rig = Rig(broker.port)
    async with rig.listening():
        witness.publish(ORDERS, order())
        await rig.wait_taken(1)
    rig.orders.finish(0)
    async with rig.listening():
        (heard,) = await wait_answers(witness, 1)
    assert heard.json["id"] == "o-1"
    assert len(heard.id) == 32
    assert heard.properties.ContentType == "application/json"


@pytest.mark.parametrize("topic", ["a/#", "$SYS/broker/x", "x" * 2000])
async def test_a_response_topic_that_is_none_is_not_used(broker: Mosquitto, witness: Witness, topic: str) -> None:
    rig = Rig(broker.port)
    async with rig.listening():
        witness.publish(ORDERS, order(), ResponseTopic=topic, CorrelationData=b"7")
        await rig.wait_taken(1)
        rig.orders.finish(0)
        (heard,) = await wait_answers(witness, 1)
    assert heard.properties.CorrelationData == b"7"


async def test_without_any_reply_topic_nothing_is_answered(broker: Mosquitto, witness: Witness) -> None:
    rig = Rig(broker.port, reply_topic=None)
    async with rig.listening():
        witness.publish(ORDERS, order("o-1"))
        witness.publish(ORDERS, order("o-2"), ResponseTopic="mine")
        await rig.wait_taken(2)
        rig.orders.finish(0)
        rig.orders.finish(1)
        await wait_answers(witness, 1, "mine")
    assert [heard.topic for heard in witness.all() if heard.topic != ORDERS] == ["mine"]


async def test_an_answer_is_not_taken_for_an_order(broker: Mosquitto, witness: Witness) -> None:
    rig = Rig(broker.port, topic="{site}/#")
    async with rig.listening():
        witness.publish(ORDERS, order("o-1"))
        await rig.wait_taken(1)
        rig.orders.finish(0)
        await wait_answers(witness, 1)
        witness.publish(ORDERS, order("o-2"))
        await rig.wait_taken(2)
    assert rig.orders.refused == []


async def test_a_retained_order_is_refused_live_and_later(broker: Mosquitto, witness: Witness) -> None:
    rig = Rig(broker.port)
    async with rig.listening():
        witness.publish(ORDERS, order(), retain=True)
        await wait(lambda: len(rig.orders.refused) == 1)
    async with rig.listening():
        await wait(lambda: len(rig.orders.refused) == 2)
    assert rig.orders.taken == []
    assert all("must not be retained" in reason for _, reason in rig.orders.refused)


async def test_garbage_is_answered_acknowledged_and_forgotten(broker: Mosquitto, witness: Witness) -> None:
    rig = Rig(broker.port)
    async with rig.listening():
        for payload in (b"", b"{", b"\xff", b"[" * 10_000, b"x" * 20_000):
            witness.publish(ORDERS, payload)
        answers = await wait_answers(witness, 5)
        assert {(heard.json["id"], heard.json["outcome"]) for heard in answers} == {(None, "refused")}
    async with rig.listening():
        witness.publish(ORDERS, order())
        await rig.wait_taken(1)
    assert len(rig.orders.refused) == 5


async def test_an_order_at_qos_0(broker: Mosquitto, witness: Witness) -> None:
    rig = Rig(broker.port)
    async with rig.listening():
        await asyncio.to_thread(broker.publish, ORDERS, order(), qos=0)
        await rig.wait_taken(1)
        rig.orders.finish(0)
        await wait_answers(witness, 1)


async def test_a_login_that_is_refused(tmp_path: Path) -> None:
    part = Mosquitto(tmp_path, users={"edgeward": "right"})
    try:
        assert isinstance(await Rig(part.port).failure(), SinkHeld)
    finally:
        part.stop()


async def test_a_broker_that_goes_away(tmp_path: Path) -> None:
    part = Mosquitto(tmp_path)
    rig = Rig(part.port)
    failing = asyncio.create_task(rig.failure())
    await wait(lambda: rig.orders.is_ready)
    part.kill()
    assert isinstance(await failing, ConnectionLost)
    assert isinstance(await Rig(free_port()).failure(), ConnectionLost)


async def test_an_answer_that_the_broker_refuses_holds_up_no_other(tmp_path: Path) -> None:
    part = Mosquitto(tmp_path, acl="topic readwrite plant-1/#\ntopic readwrite witness/#\n")
    witness = Witness(part.port)
    rig = Rig(part.port)
    try:
        running = asyncio.create_task(_keep(rig))
        await wait(lambda: rig.orders.is_ready)
        witness.publish(ORDERS, order("o-1"), ResponseTopic="forbidden/x")
        witness.publish(ORDERS, order("o-2"))
        await rig.wait_taken(2)
        rig.orders.finish(0)
        rig.orders.finish(1)
        (heard,) = await wait_answers(witness, 1)
        assert heard.json["id"] == "o-2"
        assert ("answers", "the broker refuses forbidden/x: Not authorized") in rig.orders.refused
        running.cancel()
        await asyncio.wait((running,))
    finally:
        witness.stop()
        part.stop()


async def _keep(rig: Rig) -> None:
    """Mosquitto hangs up on whom it has refused something."""
    while True:
        await rig.failure()


async def test_a_sink_without_commands_returns_at_once() -> None:
    settings = Settings.model_validate({"sink": "mqtt", "host": "127.0.0.1", "port": free_port()})
    await Sink(settings, "plant-1", "line-a").listen(FakeOrders())

"""The cloud goes away in every way there is, and comes back: nothing is lost, and what is live comes first."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.flows.conftest import Start
from tests.flows.machines import has, influx_v1, numbered_pump, numbers
from tests.flows.proxy import Mode, Proxy
from tests.flows.publisher import Publisher, time_of
from tests.gateway.sinks.lineprotocol import parse
from tests.parts.gateway import Gateway
from tests.parts.influxd import Influxd, influxd
from tests.parts.mosquitto import Mosquitto

pytestmark = [pytest.mark.slow, pytest.mark.real("mosquitto"), pytest.mark.real("influxd")]

Publish = Callable[[], Publisher]

OUTAGE = 300
"""Messages that are published while the cloud is away."""


@pytest.fixture
def own_influx(stack: ExitStack, tmp_path: Path) -> Influxd:
    """A server that the test may kill."""
    return stack.enter_context(influxd(tmp_path))


def again(stack: ExitStack, dead: Influxd) -> Influxd:
    """The same server with the same files on the same port, as a new process."""
    assert isinstance(dead.process.args, list)
    part = Influxd(dead.process.args, dead.port, dead.log)
    stack.callback(part.stop)
    part.wait(part.answers)
    return part


def wait_published(gateway: Gateway, publisher: Publisher, more: int) -> None:
    """Until the broker and the gateway have so many messages more."""
    target = publisher.count() + more
    gateway.wait(lambda: publisher.count() >= target)
    scans = gateway.device("pump-1")["scans"]
    gateway.wait(lambda: bool(gateway.device("pump-1")["scans"] > scans))


def check_complete(gateway: Gateway, publisher: Publisher, influx: Influxd) -> None:
    """All that was published is in the database, once, and nothing was given up for it."""
    sent = publisher.finish()
    assert sent == list(range(len(sent)))
    gateway.wait(lambda: has(influx, sent[-1]))
    gateway.wait_delivered("cloud")
    assert numbers(influx) == [(time_of(n), n, n / 2) for n in sent]
    account = gateway.sink("cloud")
    assert (account["dropped"], account["dead_letters"]) == (0, 0)


@pytest.mark.parametrize("signal", ["stop", "kill"])
def test_a_database_that_is_restarted(
    start: Start, broker: Mosquitto, own_influx: Influxd, publish: Publish, stack: ExitStack, signal: str
) -> None:
    own_influx.create("plant")
    gateway = start(sinks={"cloud": influx_v1(own_influx.port)}, **numbered_pump(broker.port))
    gateway.wait(lambda: bool(gateway.link("floor")["online"]))
    publisher = publish()
    gateway.wait(lambda: has(own_influx, 50))
    own_influx.stop() if signal == "stop" else own_influx.kill()
    wait_published(gateway, publisher, OUTAGE)
    assert gateway.sink("cloud")["pending"] > OUTAGE
    assert not gateway.sink("cloud")["online"]
    gateway.check_accounts()
    server = again(stack, own_influx)
    check_complete(gateway, publisher, server)
    assert len(gateway.told("sink cloud delivery", "over, after")) == 1


def test_a_start_while_everything_is_away(
    start: Start, broker: Mosquitto, own_influx: Influxd, publish: Publish, stack: ExitStack
) -> None:
    """C17: it works offline from the first moment, is restarted offline, and delivers it all when it may."""
    own_influx.create("plant")
    own_influx.stop()
    gateway = start(sinks={"cloud": influx_v1(own_influx.port)}, **numbered_pump(broker.port))
    gateway.wait(lambda: bool(gateway.link("floor")["online"]))
    publisher = publish()
    wait_published(gateway, publisher, OUTAGE // 2)
    gateway.kill()
    gateway.start()
    pending = gateway.sink("cloud")["pending"]
    assert pending >= OUTAGE // 2
    wait_published(gateway, publisher, OUTAGE // 2)
    assert gateway.sink("cloud")["pending"] > pending
    check_complete(gateway, publisher, again(stack, own_influx))


@pytest.mark.parametrize("mode", [Mode.RESET, Mode.SWALLOW])
def test_after_an_outage_what_is_live_comes_first(
    start: Start,
    broker: Mosquitto,
    influx: Influxd,
    database: str,
    publish: Publish,
    through: Callable[[int], Proxy],
    mode: Mode,
) -> None:
    """C16, D14."""
    network = through(influx.port)
    gateway = start(sinks={"cloud": influx_v1(network.port, timeout="500ms")}, **numbered_pump(broker.port))
    gateway.wait(lambda: bool(gateway.link("floor")["online"]))
    publisher = publish()
    gateway.wait(lambda: has(influx, 50))
    network.turn(mode)
    gateway.wait(lambda: not gateway.sink("cloud")["online"])
    cut, before = publisher.count(), len(network.sent)
    wait_published(gateway, publisher, OUTAGE)
    restored = publisher.count()
    network.turn(Mode.PASS)
    gateway.wait(lambda: bool(gateway.sink("cloud")["online"]))
    check_complete(gateway, publisher, influx)

    first = next(posts(b"".join(network.sent[before:])))
    assert min(first) > (cut + restored) // 2, "the backlog came before what is live"
    assert len(gateway.told("sink cloud delivery", "WARNING")) == 2, "once when it began, once when it was over"


def test_a_slow_network_costs_nothing(
    start: Start, broker: Mosquitto, influx: Influxd, database: str, publish: Publish, through: Callable[[int], Proxy]
) -> None:
    network = through(influx.port)
    gateway = start(sinks={"cloud": influx_v1(network.port)}, **numbered_pump(broker.port))
    gateway.wait(lambda: bool(gateway.link("floor")["online"]))
    network.turn(Mode.DELAY)
    publisher = publish()
    wait_published(gateway, publisher, OUTAGE)
    assert gateway.sink("cloud")["retries"] == 0
    check_complete(gateway, publisher, influx)


def test_a_broker_behind_a_network_that_forgets(
    start: Start, broker: Mosquitto, influx: Influxd, database: str, publish: Publish, through: Callable[[int], Proxy]
) -> None:
    """A3: the connection stands and nothing comes any more. What the broker kept meanwhile arrives afterwards."""
    network = through(broker.port)
    gateway = start(sinks={"cloud": influx_v1(influx.port)}, **numbered_pump(network.port, keepalive="1s"))
    gateway.wait(lambda: bool(gateway.link("floor")["online"]))
    publisher = publish()
    gateway.wait(lambda: has(influx, 50))
    network.turn(Mode.SWALLOW)
    gateway.wait(lambda: gateway.device("pump-1")["state"] == "offline", 3)
    network.turn(Mode.PASS)
    check_complete(gateway, publisher, influx)


def posts(stream: bytes) -> Iterator[list[int]]:
    """The numbers in each request of a stream that holds any."""
    while stream:
        head, _, stream = stream.partition(b"\r\n\r\n")
        (length,) = (int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:"))
        body, stream = stream[:length], stream[length:]
        found = [int(line.fields["n"][1].rstrip("i")) for line in parse(body.decode()) if line.measurement == "state"]
        if found:
            yield found

"""The far ends of the flows. What a test may break is its own; the others are shared."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.flows.proxy import Proxy, proxy
from tests.flows.publisher import Publisher
from tests.parts import libmodbus
from tests.parts.gateway import Gateway, gateway
from tests.parts.influxd import Influxd, influxd
from tests.parts.mosquitto import Mosquitto
from tests.parts.process import Part

Start = Callable[..., Gateway]


@pytest.fixture(scope="session")
def influx(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Influxd]:
    with influxd(tmp_path_factory.mktemp("influxd")) as part:
        yield part


@pytest.fixture
def database(influx: Influxd) -> str:
    return influx.create("plant")


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    """What a test starts ends with it, last first, whatever happens."""
    with ExitStack() as made:
        yield made


@pytest.fixture
def broker(stack: ExitStack, tmp_path: Path) -> Mosquitto:
    """It keeps its sessions, and every message that it cannot deliver yet."""
    folder = tmp_path / "mosquitto"
    folder.mkdir()
    part = Mosquitto(folder)
    stack.callback(part.stop)
    return part


@pytest.fixture
def start(stack: ExitStack, tmp_path: Path) -> Start:
    """Call it with the sections of a configuration for a running gateway; with `running=False` for one to start."""

    def begin(*, running: bool = True, **sections: object) -> Gateway:
        return stack.enter_context(gateway(tmp_path, sections, start=running))

    return begin


@pytest.fixture
def publish(stack: ExitStack, tmp_path: Path, broker: Mosquitto) -> Callable[[], Publisher]:
    """Call it for numbered messages to plant/pump-1/state from then on."""

    def begin() -> Publisher:
        made = Publisher(broker.port, "plant/pump-1/state", tmp_path / "ledger")
        stack.callback(made.kill)
        return made

    return begin


@pytest.fixture
def modbus(stack: ExitStack, tmp_path: Path) -> Callable[..., Part]:
    """Call it with the options of the libmodbus server."""

    def begin(*options: str, registers: int = 1000) -> Part:
        part = libmodbus.start(tmp_path, *options, registers=registers)
        stack.callback(part.stop)
        return part

    return begin


@pytest.fixture
def through(stack: ExitStack) -> Callable[[int], Proxy]:
    """Call it with the port of a far end for a network that leads there."""
    return lambda target: stack.enter_context(proxy(target))

"""The plant as an OPC UA server, with a client of asyncua itself, and with one of node-opcua."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from asyncua import ua
from asyncua.client.client import Client
from asyncua.common.subscription import DataChangeNotif
from asyncua.ua.status_codes import StatusCodes
from asyncua.ua.uaerrors import UaStatusCodeError

from simulators.opcua import NAMESPACE
from tests.parts import nodeopcua
from tests.parts.process import find
from tests.simulators.process import Simulator, lines

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def plant(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plant]:
    """One for several tests, which leave it as they found it: its start takes seconds."""
    log = tmp_path_factory.mktemp("plant") / "log"
    with Simulator("opcua", "--port", 0, "--rate", 50, "--log", log) as running:
        yield Plant(running.port, log)


class Plant(NamedTuple):
    port: int
    log: Path


class Listener:
    """Keeps what comes for each node: value, status, source time in microseconds."""

    def __init__(self) -> None:
        self.came: asyncio.Queue[tuple[str, object, int, int]] = asyncio.Queue(10_000)

    def datachange_notification(self, node: Any, value: object, data: DataChangeNotif) -> None:
        content = data.monitored_item.Value
        stamp = 0 if content.SourceTimestamp is None else round(content.SourceTimestamp.timestamp() * 1e6)
        self.came.put_nowait((node.nodeid.Identifier, value, content.StatusCode.value, stamp))


def node_id(name: str, index: int) -> ua.NodeId:
    return ua.NodeId.from_string(f"ns={index};s={name}")


@asynccontextmanager
async def client(port: int) -> AsyncIterator[tuple[Client, int]]:
    """A session, and the index of the plant's namespace."""
    async with Client(f"opc.tcp://127.0.0.1:{port}/plant") as connected:
        yield connected, await connected.get_namespace_index(NAMESPACE)


async def listen(connected: Client, index: int, *names: str) -> Listener:
    listener = Listener()
    wanted = ua.CreateSubscriptionParameters(50.0, 1000, 100, 0, True)
    subscription = await connected.create_subscription(wanted, listener)
    nodes = [connected.get_node(node_id(name, index)) for name in names]
    await subscription.subscribe_data_change(nodes, queuesize=100)
    return listener


async def test_the_log_holds_what_was_sent(plant: Plant) -> None:
    async with client(plant.port) as (connected, index):
        listener = await listen(connected, index, "sequence", "bearing.temperature")
        got: list[tuple[str, object, int, int]] = []
        while len([each for each in got if each[0] == "sequence"]) < 40:
            got.append(await asyncio.wait_for(listener.came.get(), 5))
    sent = {line["sequence"]: line for line in lines(plant.log) if "sequence" in line}
    assert list(sent) == list(range(1, len(sent) + 1))
    stamps = [int(str(line["ts"])) for line in sent.values()]
    assert all(a < b for a, b in pairwise(stamps))
    numbers = [(value, stamp) for name, value, _, stamp in got if name == "sequence" and value]
    assert [value for value, _ in numbers] == [n for n, _ in enumerate(numbers, int(str(numbers[0][0])))]
    assert all(sent[value]["ts"] == stamp * 1_000 for value, stamp in numbers)
    by_time = {line["ts"]: line["values"] for line in sent.values()}
    for name, value, _, stamp in got:
        if name != "sequence" and stamp * 1_000 in by_time:
            assert by_time[stamp * 1_000][name] == value  # type: ignore[index]


async def test_the_pump_is_stopped_and_nonsense_is_refused(plant: Plant) -> None:
    async with client(plant.port) as (connected, index):
        listener = await listen(connected, index, "rpm")
        run, speed, rpm = (connected.get_node(node_id(n, index)) for n in ("run", "speed.setpoint", "rpm"))
        with pytest.raises(UaStatusCodeError) as caught:
            await speed.write_value(ua.DataValue(ua.Variant(1000.0, ua.VariantType.Double)))
        assert caught.value.code == StatusCodes.BadOutOfRange
        with pytest.raises(UaStatusCodeError):
            await rpm.write_value(ua.DataValue(ua.Variant(1, ua.VariantType.Int32)))
        await run.write_value(ua.DataValue(ua.Variant(False, ua.VariantType.Boolean)))
        while int(str((await asyncio.wait_for(listener.came.get(), 5))[1])) > 1_000:
            pass
        assert await speed.read_value() == 100.0
        await run.write_value(ua.DataValue(ua.Variant(True, ua.VariantType.Boolean)))
    written = [line for line in lines(plant.log) if "write" in line]
    assert [(line["write"], line["value"]) for line in written] == [("run", False), ("run", True)]


async def test_a_fault_makes_values_bad_but_never_the_sequence(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with Simulator("opcua", "--port", 0, "--rate", 50, "--log", log, "--fault", "lie:1,amount=0") as plant:
        async with client(plant.port) as (connected, index):
            listener = await listen(connected, index, "sequence", "rpm")
            status: dict[str, int] = {}
            while status.get("rpm") != StatusCodes.BadSensorFailure or status.get("sequence") != 0:
                name, _, status[name], _ = await asyncio.wait_for(listener.came.get(), 5)
    assert {line["good"] for line in lines(log)} == {False}


@pytest.mark.real("node-opcua")
def test_a_client_that_we_did_not_write_reads_it(plant: Plant, tmp_path: Path) -> None:
    modules = nodeopcua.install()
    script = """
const ua = require("node-opcua");
(async () => {
  const client = ua.OPCUAClient.create({ endpointMustExist: false, connectionStrategy: { maxRetry: 0 } });
  await client.connect(process.argv[1]);
  const session = await client.createSession();
  const index = (await session.readNamespaceArray()).indexOf("urn:edgeward:plant");
  const data = await session.read({ nodeId: `ns=${index};s=speed.setpoint`, attributeId: ua.AttributeIds.Value });
  console.log("read", data.value.value, data.statusCode.name);
  await session.close();
  await client.disconnect();
  process.exit(0);
})();
"""
    command = [find("node", "nodejs"), "-e", script, f"opc.tcp://127.0.0.1:{plant.port}/plant"]
    environment = {"NODE_PATH": str(modules), "PATH": "/usr/bin:/bin", "HOME": str(tmp_path)}
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, env=environment, check=False)
    assert "read 100 Good" in done.stdout, done.stderr


async def test_one_plant_behind_three_protocols(tmp_path: Path) -> None:
    """Stopped over OPC UA, and so it is over MQTT and Modbus: they are one plant, and have one log each."""
    with Simulator("broker", "--port", 0) as broker:
        options = ["--broker", f"127.0.0.1:{broker.port}", "--machines", 1, "--rate", 50, "--log-dir", tmp_path]
        with Simulator("line", "--modbus-port", 0, "--opcua-port", 0, *options) as line:
            async with client(int(line.facts["opcua"])) as (connected, index):
                listener = await listen(connected, index, "running")
                run = connected.get_node(node_id("run", index))
                await run.write_value(ua.DataValue(ua.Variant(False, ua.VariantType.Boolean)))
                while (await asyncio.wait_for(listener.came.get(), 10))[1]:
                    pass
    said = [line["values"]["running"] for line in lines(tmp_path / "mqtt.jsonl")]  # type: ignore[index]
    assert said[0] is True
    assert said[-1] is False
    assert lines(tmp_path / "opcua.jsonl")

"""The whole driver against node-opcua."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import pytest

from drivers.opcua import Driver, subscription
from gateway.clock import SystemClock
from gateway.errors import CommandRefused, ConnectionLost
from gateway.model import Scan, StatusCode, quality
from tests.drivers.opcua import links
from tests.drivers.opcua.links import make_link, tag_of, tags
from tests.drivers.opcua.proxy import Proxy
from tests.drivers.receiver import FakeReceiver
from tests.parts.nodeopcua import URI, NodeOpcUa
from tests.parts.process import free_port

pytestmark = pytest.mark.real("node-opcua")

QUICK = {"timeout": "1s", "keepalive": "200ms"}
TYPES = {
    "on": "bool",
    "i8": "int8",
    "u8": "uint8",
    "i16": "int16",
    "u16": "uint16",
    "i32": "int32",
    "u32": "uint32",
    "i64": "int64",
    "u64": "uint64",
    "f32": "float32",
    "level": "float64",
    "text": "string",
    "label": "string",
    "moment": "int64",
}
VALUES = {
    "on": True,
    "i8": -8,
    "u8": 200,
    "i16": -16_000,
    "u16": 65_535,
    "i32": -2_000_000_000,
    "u32": 4_294_967_295,
    "i64": -(2**63),
    "u64": 2**64 - 1,
    "f32": 0.5,
    "level": 1.25,
    "text": "Grüße",
    "label": "pump",
    "moment": 1_700_000_000_123_000_000,
}


def group(types: dict[str, str], **more: Any) -> dict[str, Any]:
    return {"values": {"publishing_interval": "50ms", "sampling_interval": "0s", **more, "tags": tags(**types)}}


def receive() -> FakeReceiver:
    return FakeReceiver(SystemClock())


def cells(scan: Scan) -> dict[str, tuple[object, int]]:
    """Value and status of the tags that are there, by name."""
    row = [value for plane in scan.values for value in plane.tolist()]
    found = {}
    for column, tag in enumerate(scan.group.columns):
        if scan.columns is None or scan.columns[column]:
            found[tag.name] = (row[column], 0 if scan.status is None else int(scan.status[column]))
    return found


def last(receiver: FakeReceiver) -> dict[str, tuple[object, int]]:
    """The last of every tag."""
    found: dict[str, tuple[object, int]] = {}
    for scan in receiver.scans:
        found |= cells(scan)
    return found


async def wait(receiver: FakeReceiver, name: str, value: object) -> int:
    """Until a tag has a value; gives its status."""
    async with asyncio.timeout(10):
        while last(receiver).get(name, (None, 0))[0] != value:
            await receiver.wait_scans(len(receiver.scans) + 1)
    return last(receiver)[name][1]


class TestValues:
    async def test_every_type_comes_exactly(self, server: NodeOpcUa) -> None:
        receiver = receive()
        async with links.session(make_link(group(TYPES), server.url), receiver):
            await receiver.wait_scans(1)
        assert cells(receiver.scans[0]) == {name: (value, 0) for name, value in VALUES.items()}

    async def test_value_quality_and_source_time_are_the_servers(self, server: NodeOpcUa) -> None:
        receiver = receive()
        async with links.session(make_link(group({"level": "float64"}), server.url), receiver):
            await receiver.wait_scans(1)
            server.set("level", 7.5, "BadSensorFailure", 1_700_000_000_123)
            await receiver.wait_scans(2)
            server.set("level", 8.5, "UncertainLastUsableValue", 1_700_000_001_456)
            await receiver.wait_scans(3)
        assert [scan.held for scan in receiver.scans] == [True, False, False]
        bad, doubtful = receiver.scans[1:]
        assert (cells(bad), bad.source_time) == ({"level": (7.5, 0x808C0000)}, 1_700_000_000_123_000_000)
        assert (cells(doubtful), doubtful.source_time) == ({"level": (8.5, 0x40900000)}, 1_700_000_001_456_000_000)

    async def test_what_queued_up_comes_in_order_a_scan_each(self, server: NodeOpcUa) -> None:
        receiver = receive()
        link = make_link(group({"level": "float64", "on": "bool"}, publishing_interval="300ms"), server.url)
        async with links.session(link, receiver):
            await receiver.wait_scans(1)
            for n in range(5):
                server.set("level", float(n), time_ms=1_700_000_000_000 + n)
            await wait(receiver, "level", 4.0)
        rows = [(cells(scan), scan.source_time) for scan in receiver.scans[1:]]
        assert rows == [({"level": (float(n), 0)}, (1_700_000_000_000 + n) * 1_000_000) for n in range(5)]
        server.set("level", 1.25)

    async def test_a_queue_that_is_too_short_is_told(self, server: NodeOpcUa) -> None:
        receiver = receive()
        link = make_link(group({"level": "float64"}, publishing_interval="300ms", queue_size=2), server.url)
        async with links.session(link, receiver):
            await receiver.wait_scans(1)
            for n in range(9):
                server.set("level", float(n))
            await wait(receiver, "level", 8.0)
        assert ("plc/level queue", "plc/level changed more often than its queue holds: raise queue_size") in (
            receiver.refused
        )
        statuses = [cells(scan)["level"][1] for scan in receiver.scans]
        assert any(status & 0x480 == 0x480 for status in statuses)
        assert {quality(status) for status in statuses} == {0}
        server.set("level", 1.25)

    async def test_a_new_time_alone_is_a_change_where_somebody_wants_it(self, server: NodeOpcUa) -> None:
        receiver = receive()
        link = make_link(group({"u8": "uint8"}, trigger="timestamp"), server.url)
        async with links.session(link, receiver):
            await receiver.wait_scans(1)
            server.set("u8", 200, time_ms=1_700_000_000_777)
            await receiver.wait_scans(2)
        assert receiver.scans[1].source_time == 1_700_000_000_777_000_000

    async def test_a_wrong_type_and_an_array_are_bad_and_harm_no_neighbour(self, server: NodeOpcUa) -> None:
        receiver = receive()
        async with links.session(
            make_link(group({"on": "bool", "level": "int32", "list": "float64"}), server.url), receiver
        ):
            await receiver.wait_scans(1)
        mismatch = StatusCode.BAD_TYPE_MISMATCH
        assert cells(receiver.scans[0]) == {"on": (True, 0), "level": (0, mismatch), "list": (0.0, mismatch)}

    async def test_more_nodes_than_a_request_may_have(self, server: NodeOpcUa) -> None:
        """The server takes 50 at a time; each tag is a node of its own to us, though some are the same there."""
        many = {f"s{n}": {"node": f"ns={n % 2};i=2258", "type": "int64"} for n in range(2, 4)}
        many |= {f"n{n}": {"node": f"i={n}", "type": "string"} for n in range(3000, 3120)} | tags(on="bool")
        receiver = receive()
        link = make_link({"values": {"publishing_interval": "50ms", "tags": many}}, server.url)
        async with links.session(link, receiver):
            await wait(receiver, "on", True)
            assert len(last(receiver)) == 123


class TestMissing:
    async def test_nodes_that_are_not_there_are_bad_and_the_others_work(self, server: NodeOpcUa) -> None:
        strange = {
            "gone": {"node": f"nsu={URI};s=gone", "type": "int8"},
            "far": {"node": "nsu=urn:nowhere;i=1", "type": "string"},
        }
        groups = group({"on": "bool"})
        groups["values"]["tags"] |= strange
        groups["polled"] = {"interval": "1s", "tags": {**tags(u8="uint8"), "g": strange["gone"], "f": strange["far"]}}
        receiver = receive()
        link = make_link(groups, server.url)
        unknown = StatusCode.BAD_NODE_ID_UNKNOWN
        async with links.session(link, receiver) as driver:
            await receiver.wait_scans(2)
            scan = await driver.read(link.devices[0].groups[1])
        assert last(receiver) == {"on": (True, 0), "gone": (0, unknown), "far": ("", unknown)}
        assert cells(scan) == {"u8": (200, 0), "g": (0, unknown), "f": ("", unknown)}

    async def test_a_node_that_appears_is_found(self, server: NodeOpcUa, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(subscription, "RETRY", 0)
        receiver = receive()
        async with links.session(make_link(group({"late": "float64"}, stale_after="150ms"), server.url), receiver):
            await receiver.wait_scans(1)
            assert last(receiver) == {"late": (0.0, StatusCode.BAD_NODE_ID_UNKNOWN)}
            server.add("late", 2.5)
            assert await wait(receiver, "late", 2.5) == 0


class TestFreshness:
    async def test_a_value_that_does_not_change_is_confirmed_with_its_old_time(self, server: NodeOpcUa) -> None:
        server.set("i16", -3, time_ms=1_700_000_000_001)
        receiver = receive()
        link = make_link(group({"i16": "int16"}, stale_after="150ms"), server.url)
        async with links.session(link, receiver):
            await receiver.wait_scans(4)
        for scan in receiver.scans[1:]:
            assert (scan.known, scan.held) == (True, True)
            assert cells(scan) == {"i16": (-3, 0)}
            assert not isinstance(scan.source_time, int)
            assert scan.source_time.tolist() == [1_700_000_000_001_000_000]
        assert receiver.scans[-1].gateway_time > receiver.scans[0].gateway_time

    async def test_a_subscription_that_swallows_changes_is_found_out(
        self, server: NodeOpcUa, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """It lives, as its keep-alives say; what it should send is thrown away on its last yard."""
        receiver = receive()
        driver = Driver(make_link(group({"level": "float64"}, stale_after="300ms"), server.url), receiver)
        await driver.open()
        running = asyncio.ensure_future(driver.run())
        await receiver.wait_scans(1)
        monkeypatch.setattr(subscription.Subscription, "_publish", lambda *_: None)
        server.set("level", 99.0)
        with pytest.raises(ConnectionLost, match="plc/level has changed, and the subscription of plc/values did not"):
            async with asyncio.timeout(5):
                await running
        await driver.close()
        server.set("level", 1.25)

    async def test_a_value_that_changes_all_the_time_is_above_suspicion(self, server: NodeOpcUa) -> None:
        """Whenever it is read, it is another than the last that was sent."""
        receiver = receive()
        link = make_link(group({"f32": "float32"}, publishing_interval="100ms", stale_after="90ms"), server.url)
        async with links.session(link, receiver):
            for n in range(1, 250):
                server.set("f32", n / 2)
                await asyncio.sleep(0.01)  # so that, for twice as long as it is given, reads fall between the changes
            await wait(receiver, "f32", 124.5)
        server.set("f32", 0.5)

    async def test_reading_on_schedule(self, server: NodeOpcUa) -> None:
        link = make_link({"values": {"interval": "1s", "tags": tags(**TYPES)}}, server.url)
        async with links.session(link, receive()) as driver:
            scan = await driver.read(link.devices[0].groups[0])
        expected = {name: (value, 0) for name, value in VALUES.items()}
        assert cells(scan) == expected | {"i16": cells(scan)["i16"]}
        assert scan.columns is None
        assert scan.held

    async def test_a_group_that_the_server_has_no_subscription_for_is_read(self) -> None:
        server = NodeOpcUa(capabilities={"maxSubscriptionsPerSession": 1})
        try:
            groups = {
                name: {"publishing_interval": "50ms", "tags": tags(**{name: "float64"})}
                for name in ("level", "setpoint")
            }
            receiver = receive()
            async with links.session(make_link(groups, server.url), receiver):
                server.set("level", 7.5)
                server.set("setpoint", 8.5)
                await wait(receiver, "level", 7.5)
                await wait(receiver, "setpoint", 8.5)
            (caution,) = receiver.cautions
            assert re.fullmatch(r"no subscription for \S+/setpoint, which is read instead: too many .*", caution)
        finally:
            server.stop()


class TestWrites:
    @pytest.mark.parametrize(
        ("name", "type", "value", "there"),
        [
            ("setpoint", "float64", 47.25, 47.25),
            ("limit", "int16", -300, -300),
            ("name", "string", "Grüße", "Grüße"),
            ("title", "string", "pump", {"text": "pump"}),
            ("due", "int64", 1_700_000_000_123_000_000, "2023-11-14T22:13:20.123Z"),
        ],
    )
    async def test_a_value_arrives_in_the_nodes_own_type(
        self, server: NodeOpcUa, name: str, type: str, value: object, there: object
    ) -> None:
        groups = group({name: type})
        groups["values"]["tags"][name]["writable"] = True
        link = make_link(groups, server.url)
        async with links.session(link, receive()) as driver:
            await driver.write(tag_of(link, name), value)  # type: ignore[arg-type]
            await driver.write(tag_of(link, name), value)  # type: ignore[arg-type]  # now it knows the type
            assert server.get(name) == there

    @pytest.mark.parametrize(
        ("name", "node", "value", "problem"),
        [
            ("denied", f"nsu={URI};s=denied", 1.0, r"not writable \(BadNotWritable\)"),
            ("limit", f"nsu={URI};s=limit", 40_000.0, "does not fit into int16"),
            ("gone", f"nsu={URI};s=gone", 1.0, r"node id unknown \(BadNodeIdUnknown\)"),
            ("far", "nsu=urn:nowhere;s=x", 1.0, "no such namespace"),
            ("list", f"nsu={URI};s=list", 1.0, "is an array"),
        ],
    )
    async def test_what_is_refused(self, server: NodeOpcUa, name: str, node: str, value: float, problem: str) -> None:
        groups = {"values": {"tags": {name: {"node": node, "type": "float64", "writable": True}}}}
        link = make_link(groups, server.url)
        async with links.session(link, receive()) as driver:
            with pytest.raises(CommandRefused, match=f"plc/{name}.*{problem}"):
                await driver.write(tag_of(link, name), value)


class TestLoss:
    async def test_a_new_driver_goes_on_after_a_restart_that_moved_the_namespaces(self) -> None:
        server = NodeOpcUa()
        link = make_link(group({"level": "float64"}), server.url, **QUICK)
        receiver = receive()
        driver = Driver(link, receiver)
        await driver.open()
        running = asyncio.ensure_future(driver.run())
        await receiver.wait_scans(1)
        server.kill()
        with pytest.raises(ConnectionLost):
            async with asyncio.timeout(5):
                await running
        await driver.close()
        server = NodeOpcUa(port=server.port, before=["urn:other", "urn:third"])
        try:
            async with links.session(link, receiver):
                await receiver.wait_scans(2)
                server.set("level", 3.5)
                assert await wait(receiver, "level", 3.5) == 0
        finally:
            server.stop()

    async def test_a_server_that_shuts_down_in_order(self) -> None:
        server = NodeOpcUa()
        driver = Driver(make_link(group({"level": "float64"}), server.url, **QUICK), receive())
        await driver.open()
        running = asyncio.ensure_future(driver.run())
        server.stop()
        with pytest.raises(ConnectionLost):
            async with asyncio.timeout(5):
                await running
        await driver.close()

    async def test_a_black_hole_is_found_by_silence(self, server: NodeOpcUa) -> None:
        loop = asyncio.get_running_loop()
        receiver = receive()
        async with Proxy(server.port).run() as proxy:
            link = make_link(group({"level": "float64"}), proxy.url, timeout="500ms", keepalive="200ms")
            driver = Driver(link, receiver)
            await driver.open()
            running = asyncio.ensure_future(driver.run())
            await receiver.wait_scans(1)
            proxy.swallow()
            silent_since = loop.time()
            with pytest.raises(ConnectionLost, match=r"no answer from .* in time|is silent"):
                async with asyncio.timeout(5):
                    await running
            assert loop.time() - silent_since < 2
            await driver.close()
            assert loop.time() - silent_since < 4

    async def test_connecting_to_a_black_hole_ends_in_time(self, server: NodeOpcUa) -> None:
        loop = asyncio.get_running_loop()
        async with Proxy(server.port).run() as proxy:
            proxy.swallow()
            began = loop.time()
            driver = Driver(make_link(group({"level": "float64"}), proxy.url, timeout="300ms"), receive())
            with pytest.raises(ConnectionLost, match=r"no answer from opc\.tcp"):
                await driver.open()
            await driver.close()
            assert loop.time() - began < 2

    async def test_nobody_listens(self) -> None:
        driver = Driver(make_link(group({"level": "float64"}), f"opc.tcp://127.0.0.1:{free_port()}"), receive())
        with pytest.raises(ConnectionLost, match=r"no connection to opc\.tcp://127\.0\.0\.1"):
            await driver.open()
        await driver.close()

    async def test_nothing_is_left_behind(self, server: NodeOpcUa) -> None:
        before = asyncio.all_tasks()
        for _ in range(2):
            async with links.session(make_link(group(TYPES), server.url), receive()):
                pass
        assert asyncio.all_tasks() == before

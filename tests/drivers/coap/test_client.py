"""The driver as a client of libcoap's server."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path
from typing import Any

import pytest

from drivers.coap import Driver
from gateway.clock import SystemClock
from gateway.errors import CommandRefused, ConnectionLost, DeviceSilent, JournalFull
from gateway.model import Link, StatusCode
from tests.drivers.coap.links import client_link, group_of, make_link, session, tag_of, values
from tests.drivers.receiver import FakeReceiver
from tests.parts.libcoap import CoapServer
from tests.parts.process import free_port

pytestmark = pytest.mark.real("libcoap")

STATE: dict[str, Any] = {
    "resource": "/plant/{device}/state",
    "interval": "1s",
    "time": {"path": "ts", "format": "unix_ms"},
    "tags": {"count": {"type": "uint16"}, "bearing.temperature": {"type": "float64"}, "on": {"type": "bool"}},
}
CLOCK: dict[str, Any] = {
    "resource": "/time",
    "observe": True,
    "format": "text",
    "tags": {"clock": {"type": "string"}},
}
EXAMPLE: dict[str, Any] = {
    "resource": "/example_data",
    "interval": "1s",
    "format": "text",
    "tags": {"data": {"type": "string"}},
}
INPUTS: dict[str, Any] = {
    "resource": "/inputs",
    "interval": "1s",
    "tags": {
        "setpoint": {"type": "float64", "writable": True, "command": {"resource": "/{device}/{tag}"}},
        "clock": {"type": "float64", "writable": True, "command": {"resource": "/time", "method": "post"}},
        "fixed": {"type": "float64"},
    },
}


def link_to(server: CoapServer, group: dict[str, Any], **settings: Any) -> Link:
    return client_link(server.port, {"state": group}, **settings)


async def wait_refusal(receiver: FakeReceiver, words: str) -> None:
    async with asyncio.timeout(10):
        while not any(words in reason for _, reason in receiver.refused):
            await asyncio.sleep(0.01)


class TestPolling:
    async def test_json(self, coap_server: CoapServer) -> None:
        coap_server.put(
            "/plant/pump-1/state", '{"ts": 1700000000123, "count": 7, "bearing": {"temperature": 71.5}, "on": true}'
        )
        link = link_to(coap_server, STATE)
        async with session(link, FakeReceiver(SystemClock())) as driver:
            scan = await driver.read(group_of(link, "state"))
        assert values(scan) == {"on": True, "count": 7, "bearing.temperature": 71.5}
        assert scan.source_time == 1_700_000_000_123_000_000

    async def test_what_comes_in_blocks_is_whole(self, coap_server: CoapServer) -> None:
        link = link_to(coap_server, EXAMPLE)
        async with session(link, FakeReceiver()) as driver:
            scan = await driver.read(group_of(link, "state"))
        data = values(scan)["data"]
        assert isinstance(data, str)
        assert len(data) == 1500
        assert data.endswith(coap_server.get("/example_data"))  # of which coap-client tells the last block

    async def test_blocks_beyond_the_limit_are_not_fetched(self, coap_server: CoapServer) -> None:
        link = link_to(coap_server, EXAMPLE, max_payload=1200)
        receiver = FakeReceiver()
        async with session(link, receiver) as driver:
            scan = await driver.read(group_of(link, "state"))
        assert values(scan) == {"data": StatusCode.BAD_DECODING_ERROR}
        assert "max_payload is 1200" in receiver.refused[0][1]

    async def test_no_such_resource_is_a_bad_scan(self, coap_server: CoapServer) -> None:
        link = link_to(coap_server, STATE)
        receiver = FakeReceiver()
        async with session(link, receiver) as driver:
            scan = await driver.read(group_of(link, "state"))
        assert set(values(scan).values()) == {StatusCode.BAD_NODE_ID_UNKNOWN}
        assert receiver.refused == [("pump-1/state", "/plant/pump-1/state: 4.04 not found: Not Found")]

    async def test_what_is_no_json_is_a_bad_scan(self, coap_server: CoapServer) -> None:
        link = link_to(coap_server, {**EXAMPLE, "format": "json"})
        receiver = FakeReceiver()
        async with session(link, receiver) as driver:
            scan = await driver.read(group_of(link, "state"))
        assert values(scan) == {"data": StatusCode.BAD_DECODING_ERROR}
        assert "not JSON" in receiver.refused[0][1]

    async def test_a_resource_that_answers_too_late_is_silent_and_others_are_not(self, coap_server: CoapServer) -> None:
        slow = {**EXAMPLE, "resource": "/async"}  # acknowledged at once, answered after five seconds
        link = client_link(coap_server.port, {"slow": slow, "good": EXAMPLE}, timeout="500ms")
        async with session(link, FakeReceiver()) as driver:
            with pytest.raises(DeviceSilent, match=r"/async did not answer within 0\.5 s"):
                await driver.read(group_of(link, "slow"))
            assert (await driver.read(group_of(link, "good"))).status is None

    async def test_lost_datagrams_are_sent_again(self, tmp_path: Path) -> None:
        server = CoapServer(tmp_path, "-l", "3,5")  # the server loses its third and fifth datagram
        try:
            link = link_to(server, {**CLOCK, "observe": False, "interval": "1s"}, timeout="900ms")
            async with session(link, FakeReceiver()) as driver:
                for _ in range(4):
                    assert (await driver.read(group_of(link, "state"))).status is None
        finally:
            server.stop()


class TestObserving:
    async def test_every_notification_is_a_scan(self, coap_server: CoapServer) -> None:
        receiver = FakeReceiver()
        async with session(link_to(coap_server, CLOCK), receiver):
            await receiver.wait_scans(3)
        assert len({values(scan)["clock"] for scan in receiver.scans}) == len(receiver.scans)
        assert receiver.refused == []

    async def test_a_server_that_starts_anew_is_observed_anew(self, coap_server: CoapServer, tmp_path: Path) -> None:
        """It knows its observers no more, and nothing tells us: nothing is sent to it while it is away."""
        receiver = FakeReceiver()
        async with session(link_to(coap_server, CLOCK, margin="300ms", keepalive="60s"), receiver):
            await receiver.wait_scans(1)
            coap_server.kill()
            again = CoapServer(tmp_path, port=coap_server.port)
            try:
                await receiver.wait_scans(len(receiver.scans) + 3)
            finally:
                again.stop()

    async def test_a_change_in_blocks_is_fetched_whole(self, coap_server: CoapServer) -> None:
        receiver = FakeReceiver()
        async with session(link_to(coap_server, {**EXAMPLE, "observe": True, "interval": None}), receiver):
            await receiver.wait_scans(1)
            body = "x" * 2500
            await asyncio.to_thread(coap_server.put, "/example_data", body)
            await receiver.wait_scans(2)
        assert [len(str(values(scan)["data"])) for scan in receiver.scans[:2]] == [1500, 2500]
        assert values(receiver.scans[1]) == {"data": body}

    async def test_a_resource_that_cannot_be_observed_says_so(self, coap_server: CoapServer) -> None:
        coap_server.put("/fixed", "1")
        receiver = FakeReceiver()
        async with session(link_to(coap_server, {**CLOCK, "resource": "/"}), receiver):
            await wait_refusal(receiver, "cannot be observed")
        assert len(receiver.scans) == 1

    async def test_no_such_resource_is_a_bad_scan(self, coap_server: CoapServer) -> None:
        receiver = FakeReceiver()
        async with session(link_to(coap_server, {**CLOCK, "resource": "/nowhere"}), receiver):
            await receiver.wait_scans(1)
        assert values(receiver.scans[0]) == {"clock": StatusCode.BAD_NODE_ID_UNKNOWN}

    async def test_a_full_journal_ends_the_session(self, coap_server: CoapServer) -> None:
        receiver = FakeReceiver()
        receiver.full = True
        with pytest.raises(ExceptionGroup) as caught:
            async with asyncio.timeout(10), session(link_to(coap_server, CLOCK), receiver):
                await asyncio.Event().wait()
        assert caught.group_contains(JournalFull)


class TestWriting:
    @pytest.mark.parametrize("value", [47.25, 0.0, -1e300])
    async def test_a_value_arrives(self, coap_server: CoapServer, value: float) -> None:
        link = link_to(coap_server, INPUTS)
        async with session(link, FakeReceiver()) as driver:
            await driver.write(tag_of(link, "setpoint"), value)
        assert float(coap_server.get("/pump-1/setpoint")) == value

    async def test_what_the_device_refuses_is_said_in_words(self, coap_server: CoapServer) -> None:
        link = link_to(coap_server, INPUTS)
        async with session(link, FakeReceiver()) as driver:
            with pytest.raises(CommandRefused, match=r"pump-1/clock: /time answers 4\.05 method not allowed"):
                await driver.write(tag_of(link, "clock"), 1.0)
            with pytest.raises(CommandRefused, match="has no command"):
                await driver.write(tag_of(link, "fixed"), 1.0)
            with pytest.raises(CommandRefused, match="cannot be written"):
                await driver.write(tag_of(link, "setpoint"), float("nan"))

    async def test_a_device_that_does_not_answer(self) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as mute:
            mute.bind(("127.0.0.1", 0))
            link = client_link(mute.getsockname()[1], {"inputs": INPUTS}, timeout="100ms", keepalive="0s")
            async with session(link, FakeReceiver()) as driver:
                with pytest.raises(DeviceSilent, match="whether it was written is not known"):
                    await driver.write(tag_of(link, "setpoint"), 1.0)


class TestLosing:
    async def test_nobody_there(self) -> None:
        driver = Driver(client_link(free_port(socket.SOCK_DGRAM), {"state": STATE}), FakeReceiver())
        with pytest.raises(ConnectionLost, match=r"127\.0\.0\.1:\d+: Connection refused"):
            await driver.open()
        await driver.close()

    async def test_no_such_name(self) -> None:
        driver = Driver(make_link({"state": STATE}, host="a..b"), FakeReceiver())
        with pytest.raises(ConnectionLost, match=r"a\.\.b:5683 is not known"):
            await driver.open()
        await driver.close()

    async def test_a_silent_server_answers_no_ping(self) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as mute:
            mute.bind(("127.0.0.1", 0))
            driver = Driver(client_link(mute.getsockname()[1], {"state": STATE}, timeout="100ms"), FakeReceiver())
            with pytest.raises(ConnectionLost, match="does not answer pings"):
                await driver.open()
            await driver.close()

    async def test_without_pings_a_silent_server_is_a_silent_device(self) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as mute:
            mute.bind(("127.0.0.1", 0))
            link = client_link(mute.getsockname()[1], {"state": STATE}, timeout="100ms", keepalive="0s")
            async with session(link, FakeReceiver()) as driver:
                with pytest.raises(DeviceSilent, match="/plant/pump-1/state"):
                    await driver.read(group_of(link, "state"))

    async def test_a_server_that_dies_is_noticed_without_anybody_asking(self, coap_server: CoapServer) -> None:
        link = link_to(coap_server, STATE, keepalive="200ms")
        driver = Driver(link, FakeReceiver())
        await driver.open()
        coap_server.kill()
        with pytest.raises(ConnectionLost, match="Connection refused"):
            async with asyncio.timeout(5):
                await driver.run()
        with pytest.raises(ConnectionLost):
            await driver.read(group_of(link, "state"))
        await driver.close()

    async def test_closing_wakes_whoever_waits(self, coap_server: CoapServer) -> None:
        link = link_to(coap_server, {**EXAMPLE, "resource": "/async"})
        driver = Driver(link, FakeReceiver())
        await driver.open()
        waiting = [asyncio.ensure_future(driver.run()), asyncio.ensure_future(driver.read(group_of(link, "state")))]
        await asyncio.sleep(0)
        await driver.close()
        async with asyncio.timeout(5):
            assert all(
                isinstance(end, ConnectionLost) for end in await asyncio.gather(*waiting, return_exceptions=True)
            )

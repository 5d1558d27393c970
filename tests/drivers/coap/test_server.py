"""The driver as the server of libcoap's client, and of datagrams that no client would send."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import socket
from collections.abc import AsyncIterator
from typing import Any

import pytest

from drivers.coap import Driver, endpoint
from drivers.coap import server as server_module
from gateway.errors import CommandRefused, ConnectionLost
from tests.drivers.coap.links import INT, group_of, make_link, server_link, session, tag_of, values
from tests.drivers.receiver import FakeReceiver
from tests.parts.libcoap import Answer, ask_beside, pongs
from tests.parts.process import free_port

libcoap = pytest.mark.real("libcoap")

GROUPS: dict[str, dict[str, Any]] = {
    "state": {"path": "/plant/{device}/state", "tags": {"n": {"type": "int64"}, "name": {"type": "string"}}},
    "each": {"path": "/plant/{device}/{tag}", "format": "text", "tags": {"level": {"type": "float64"}, "mode": INT}},
}
MALFORMED = bytes.fromhex("40010000322ee0")
"""Seven bytes: a Uri-Host that is not UTF-8."""


class Rig:
    """A listening link, and what came of it."""

    def __init__(self, port: int, receiver: FakeReceiver, driver: Driver) -> None:
        self.port = port
        self.receiver = receiver
        self.driver = driver

    async def ask(self, method: str, path: str, payload: str | bytes | None, *options: str) -> Answer:
        return await ask_beside(method, self.port, path, payload, *options)

    async def waiting(self, count: int) -> None:
        """Until so many scans wait for the disk."""
        async with asyncio.timeout(10):
            while len(self.receiver.waiting) < count:
                await asyncio.sleep(0.005)


@contextlib.asynccontextmanager
async def rig(*, safe: bool = True, **settings: Any) -> AsyncIterator[Rig]:
    receiver = FakeReceiver(safe=safe)
    port = free_port(socket.SOCK_DGRAM)
    async with session(server_link(port, GROUPS, **settings), receiver) as driver:
        yield Rig(port, receiver, driver)


class Wire(asyncio.DatagramProtocol):
    """A socket that says what it likes, and keeps what it hears."""

    def __init__(self) -> None:
        self.heard: list[bytes] = []
        self._news = asyncio.Event()

    def datagram_received(self, data: bytes, _address: object) -> None:
        self.heard.append(data)
        self._news.set()

    async def wait(self, count: int) -> list[bytes]:
        async with asyncio.timeout(10):
            while len(self.heard) < count:
                self._news.clear()
                await self._news.wait()
        return self.heard


@contextlib.asynccontextmanager
async def wire(port: int) -> AsyncIterator[tuple[asyncio.DatagramTransport, Wire]]:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 * 1024 * 1024)  # asyncio takes one datagram a turn
    sock.setblocking(False)
    sock.connect(("127.0.0.1", port))
    transport, protocol = await asyncio.get_running_loop().create_datagram_endpoint(Wire, sock=sock)
    try:
        yield transport, protocol
    finally:
        transport.close()


def post(mid: int, path: str, payload: bytes, *, token: bytes = b"", kind: int = 0) -> bytes:
    """A POST, written down by hand."""
    data = bytes([0x40 | kind << 4 | len(token), 0x02]) + mid.to_bytes(2, "big") + token
    for number, segment in enumerate(path.encode().split(b"/")[1:]):
        delta = 11 if number == 0 else 0
        length = (
            bytes([delta << 4 | len(segment)]) if len(segment) < 13 else bytes([delta << 4 | 13, len(segment) - 13])
        )
        data += length + segment
    return data + b"\xff" + payload


@libcoap
class TestReports:
    @pytest.mark.parametrize("method", ["post", "put"])
    async def test_answered_once_it_is_on_disk(self, method: str) -> None:
        async with rig(safe=False) as to:
            asking = asyncio.ensure_future(to.ask(method, "/plant/pump-1/state", '{"n": 7, "name": "ü"}'))
            await to.waiting(1)
            assert not asking.done()
            to.receiver.release()
            assert await asking == Answer("2.04", b"")
        assert values(to.receiver.scans[0]) == {"n": 7, "name": "ü"}

    async def test_a_path_that_names_the_tag(self) -> None:
        async with rig() as to:
            assert (await to.ask("put", "/plant/pump-1/level", "61.25")).code == "2.04"
        assert values(to.receiver.scans[0]) == {"level": 61.25}

    async def test_five_kilobytes_in_blocks(self) -> None:
        async with rig(safe=False) as to:
            body = json.dumps({"n": 7, "name": "x" * 4000, "more": ["y" * 1000]})
            assert len(body) > 5000
            asking = asyncio.ensure_future(to.ask("put", "/plant/pump-1/state", body, "-b", "256"))
            await to.waiting(1)
            to.receiver.release()
            assert (await asking).code == "2.04"
        assert values(to.receiver.scans[0]) == {"n": 7, "name": "x" * 4000}

    @pytest.mark.parametrize(
        ("method", "path", "payload", "options", "code"),
        [
            ("post", "/plant/pump-1/state", "{", (), "4.00"),
            ("post", "/plant/pump-1/state", '{"other": 1}', (), "4.00"),
            ("post", "/plant/pump-2/state", "{}", (), "4.04"),
            ("get", "/plant/pump-1/state", None, (), "4.05"),
            ("delete", "/plant/pump-1/state", None, (), "4.05"),
            ("get", "/.well-known/core", None, (), "4.04"),
            ("post", "/plant/pump-1/state", "{}", ("-t", "60"), "4.15"),
            ("post", "/plant/pump-1/state", "{}", ("-O", "9,x"), "4.02"),
            ("post", "/plant/pump-1/state", "{}", ("-O", "35,coap://x"), "5.05"),
            ("put", "/plant/pump-1/state", '{"name": "' + "x" * 4000 + '"}', (), "4.13"),
            ("put", "/plant/pump-1/state", '{"name": "' + "x" * 700 + '"}', (), "4.13"),
        ],
    )
    async def test_what_is_refused(
        self, method: str, path: str, payload: str | None, options: tuple[str, ...], code: str
    ) -> None:
        async with rig(max_payload=600) as to:
            assert (await to.ask(method, path, payload, *options)).code == code
            assert (await to.ask("post", "/plant/pump-1/state", '{"n": 1}')).code == "2.04"
        assert len(to.receiver.scans) == 1

    async def test_the_sender_is_told_why(self) -> None:
        async with rig() as to:
            answer = await to.ask("post", "/plant/pump-1/state", "{nonsense that is long enough to be answered}")
        assert answer.payload.startswith(b"the payload is not JSON")
        assert to.receiver.refused[0][0] == "pump-1/state"

    async def test_a_full_journal(self) -> None:
        async with rig() as to:
            to.receiver.full = True
            assert (await to.ask("post", "/plant/pump-1/state", '{"n": 7}', "-B", "2")).code == "5.03"
            assert to.receiver.refused[-1][0] == "pump-1/state"
            to.receiver.full = False
            assert (await to.ask("post", "/plant/pump-1/state", '{"n": 7}')).code == "2.04"

    async def test_only_so_many_wait_for_the_disk(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(server_module, "MOST_WAITING", 2)
        async with rig(safe=False) as to:
            asking = [asyncio.ensure_future(to.ask("post", "/plant/pump-1/state", '{"n": 1}')) for _ in range(2)]
            await to.waiting(2)
            assert (await to.ask("post", "/plant/pump-1/state", '{"n": 3}', "-B", "2")).code == "5.03"
            to.receiver.release()
            assert [(await each).code for each in asking] == ["2.04", "2.04"]
            asking = [asyncio.ensure_future(to.ask("post", "/plant/pump-1/state", '{"n": 4}'))]
            await to.waiting(1)
            to.receiver.release()
            assert (await asking[0]).code == "2.04"


class TestRepeats:
    async def test_a_request_sent_again_while_it_waits_is_one_scan_and_one_answer(self) -> None:
        request = post(7, "/plant/pump-1/state", b'{"n": 7}', token=b"ab")
        async with rig(safe=False) as to, wire(to.port) as (out, back):
            for _ in range(3):
                out.sendto(request)
            await to.waiting(1)
            out.sendto(post(8, "/plant/pump-1/state", b'{"n": 8}'))
            await to.waiting(2)
            to.receiver.release()
            answers = await back.wait(2)
            assert answers == [bytes.fromhex("624400076162"), bytes.fromhex("60440008")]
            out.sendto(request)
            assert (await back.wait(3))[2] == answers[0]
        assert [values(scan)["n"] for scan in to.receiver.scans] == [7, 8]

    async def test_a_device_that_counts_from_the_start_again_is_heard(self) -> None:
        async with rig() as to, wire(to.port) as (out, back):
            for n in range(3):
                out.sendto(post(1, "/plant/pump-1/state", b'{"n": %d}' % n))
                await back.wait(n + 1)
        assert [values(scan)["n"] for scan in to.receiver.scans] == [0, 1, 2]

    async def test_a_disk_that_takes_longer_is_waited_for(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The request is acknowledged alone, and the response follows by itself, as often as it takes."""
        monkeypatch.setattr(endpoint, "ACK_DELAY_S", 0.01)
        async with rig(safe=False, timeout="100ms") as to, wire(to.port) as (out, back):
            out.sendto(post(7, "/plant/pump-1/state", b'{"n": 7}', token=b"ab"))
            assert await back.wait(1) == [bytes.fromhex("60000007")]
            to.receiver.release()
            _, first, second, third = await back.wait(4)
        assert first == second == third
        assert (first[:2], first[4:]) == (bytes.fromhex("4244"), b"ab")

    async def test_an_unconfirmed_request_is_answered_unconfirmed(self) -> None:
        async with rig() as to, wire(to.port) as (out, back):
            out.sendto(post(1, "/plant/pump-1/state", b'{"n": 1}', kind=1))
            (answer,) = await back.wait(1)
        assert (answer[0], answer[1]) == (0x50, 0x44)


class TestGarbage:
    async def test_seven_bytes_cost_four(self, caplog: pytest.LogCaptureFixture) -> None:
        async with rig() as to, wire(to.port) as (out, back):
            out.sendto(MALFORMED)
            assert await back.wait(1) == [bytes.fromhex("60820000")]
            for mid in range(1, 100):
                out.sendto(MALFORMED[:2] + mid.to_bytes(2, "big") + MALFORMED[4:])
            await back.wait(100)
        assert caplog.text == ""
        assert {source for source, _ in to.receiver.refused} == {"field"}

    @pytest.mark.parametrize(
        ("sent", "answer"),
        [
            ("40000001", "70000001"),  # ping
            ("49010002" + "00" * 9, "70000002"),  # a token of nine bytes
            ("40210003", "70000003"),  # a reserved class
            ("400100ff00ff", "700000ff"),  # a payload marker without payload
            ("40450005", "70000005"),  # a response that nobody waits for
        ],
    )
    async def test_what_is_answered_by_a_reset(self, sent: str, answer: str) -> None:
        async with rig() as to, wire(to.port) as (out, back):
            out.sendto(bytes.fromhex(sent))
            assert await back.wait(1) == [bytes.fromhex(answer)]

    async def test_a_flood_is_survived_quietly_and_answered_briefly(self, caplog: pytest.LogCaptureFixture) -> None:
        dice = random.Random(1)
        good = post(0, "/plant/pump-1/state", b'{"n": 1}')
        sent = 0
        async with rig() as to, wire(to.port) as (out, back):
            for number in range(3000):
                data = dice.randbytes(dice.randrange(40)) if number % 2 else mutated(good, dice)
                out.sendto(data)
                sent += len(data)
                if number % 100 == 0:
                    await asyncio.sleep(0)
            out.sendto(bytes.fromhex("4000fffe"))
            async with asyncio.timeout(10):
                while bytes.fromhex("7000fffe") not in back.heard:
                    await asyncio.sleep(0.01)
            received = sum(map(len, back.heard))
            neighbour = post(0x1234, "/plant/pump-1/state", b'{"n": 99}')
            out.sendto(neighbour)
            async with asyncio.timeout(10):
                while not any(data[2:4] == b"\x12\x34" and data[1] == 0x44 for data in back.heard):
                    await asyncio.sleep(0.01)
        assert received <= 3 * sent
        assert caplog.text == ""
        assert values(to.receiver.scans[-1])["n"] == 99

    async def test_no_answer_is_longer_than_three_times_its_request(self) -> None:
        """The shortest requests for each answer; each over its own socket."""
        requests = [
            post(1, "/plant/pump-1/state", b"{"),
            post(2, "/", b"x"),
            post(3, "/plant/pump-1/mode", b"x", token=b"12345678"),
            bytes.fromhex("40010004"),
            bytes.fromhex("40020006d10e08"),  # Block1: a first block with more to come, without anything in it
            bytes.fromhex("400200073004"),
        ]
        async with rig(max_payload=1) as to:
            for request in requests:
                async with wire(to.port) as (out, back):
                    out.sendto(request)
                    out.sendto(bytes.fromhex("4000ffff"))
                    answers = await back.wait(2)
                    assert len(answers[0]) <= 3 * len(request), request.hex()

    async def test_bodies_that_are_never_finished_do_not_pile_up(self) -> None:
        path = "/plant/pump-1/state"
        async with rig() as to, wire(to.port) as (out, back):
            for number in range(300):
                block = post(number, path, b"x" * 16)
                tagged = block.replace(b"\xff" + b"x" * 16, b"\xd1\x03\x08\xd2\xfc" + number.to_bytes(2, "big"))
                out.sendto(tagged + b"\xff" + b"x" * 16)
            answers = await back.wait(300)
            assert {answer[1] for answer in answers} == {0x5F}
            assert len(to.driver._server._bodies) == 64  # type: ignore[union-attr]


class TestLink:
    async def test_a_port_that_is_taken(self) -> None:
        async with rig() as to:
            other = Driver(server_link(to.port, GROUPS), FakeReceiver())
            with pytest.raises(ConnectionLost, match=r"cannot listen on 127\.0\.0\.1:\d+: Address already in use"):
                await other.open()
            await other.close()

    async def test_nothing_can_be_written_or_read(self) -> None:
        async with rig() as to:
            with pytest.raises(CommandRefused, match="over a link that listens"):
                await to.driver.write(tag_of(to.driver.link, "n"), 1)
            with pytest.raises(NotImplementedError):
                await to.driver.read(group_of(to.driver.link, "state"))

    async def test_closing_wakes_run_and_frees_the_port(self) -> None:
        port = free_port(socket.SOCK_DGRAM)
        for _ in range(2):
            driver = Driver(server_link(port, GROUPS), FakeReceiver())
            await driver.open()
            running = asyncio.ensure_future(driver.run())
            await asyncio.sleep(0)
            await driver.close()
            with pytest.raises(ConnectionLost):
                await running

    async def test_what_becomes_durable_after_the_end_is_answered_to_nobody(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        async with rig(safe=False) as to, wire(to.port) as (out, _):
            out.sendto(post(7, "/plant/pump-1/state", b'{"n": 7}'))
            await to.waiting(1)
        to.receiver.release()
        assert caplog.text == ""
        assert to.receiver.refused == []

    @pytest.mark.parametrize("host", ["0.0.0.0", "::"])
    async def test_every_address_answers_for_itself(self, host: str) -> None:
        port = free_port(socket.SOCK_DGRAM)
        async with session(make_link(GROUPS, listen={"host": host, "port": port}), FakeReceiver()):
            assert await asyncio.to_thread(pongs, port, "127.0.0.1")
            assert await asyncio.to_thread(pongs, port, "127.0.0.2")  # an answer from another address is not heard


def mutated(data: bytes, dice: random.Random) -> bytes:
    body = bytearray(data)
    for _ in range(dice.randrange(1, 4)):
        body[dice.randrange(len(body))] = dice.randrange(256)
    return bytes(body[: dice.randrange(1, len(body) + 1)])

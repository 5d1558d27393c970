"""What a client does with servers that nobody should have written."""

from __future__ import annotations

import asyncio
import itertools
import socket
from collections.abc import Sequence

import pytest

from drivers.coap.code import Code
from drivers.coap.datagram import Datagram
from drivers.coap.requester import Broken, Requester
from drivers.coap.settings import LinkSettings
from gateway.errors import DeviceSilent
from tests.drivers.coap.scripted import Scripted, reply, scripted

BLOCK2 = 23


def requester(server: Scripted, refused: list[str], **settings: object) -> Requester:
    made = LinkSettings.model_validate({"driver": "coap", "host": "127.0.0.1", "port": server.port, **settings})
    return Requester(made, refused.append)


def block_of(asked: Datagram) -> int:
    return next((int.from_bytes(value, "big") >> 4 for number, value in asked.options if number == BLOCK2), 0)


def block2(number: int, *, more: bool, etag: bytes = b"") -> bytes:
    """Block2 of 16 bytes, and an ETag before it."""
    head = bytes([0x40 | len(etag)]) + etag if etag else b""
    delta = BLOCK2 - (4 if etag else 0)
    return head + bytes([0xD2, delta - 13]) + (number << 4 | more << 3).to_bytes(2, "big")


async def get(server: Scripted, refused: list[str] | None = None, **settings: object) -> bytes:
    asking = requester(server, [] if refused is None else refused, **settings)
    await asking.open()
    try:
        return (await asking.get(("x",))).payload
    finally:
        await asking.close()


async def test_blocks_without_end_are_given_up() -> None:
    def script(asked: Datagram) -> Sequence[bytes]:
        return [reply(asked, Code.CONTENT, block2(block_of(asked), more=True), b"x" * 16)]

    async with scripted(script) as server:
        with pytest.raises(Broken, match="more than 160 bytes"):
            await get(server, max_payload=160)
    assert len(server.asked) == 10


@pytest.mark.parametrize(
    ("second", "reason"),
    [
        ({"number": 2}, "instead of block 1 came 2.05"),
        ({"payload": b""}, "instead of block 1"),
        ({"code": Code.NOT_FOUND}, "came 4.04"),
        ({"etag": b"b"}, "changed while it was read"),
    ],
)
async def test_blocks_that_make_no_whole(second: dict[str, object], reason: str) -> None:
    def script(asked: Datagram) -> Sequence[bytes]:
        if not block_of(asked):
            return [reply(asked, Code.CONTENT, block2(0, more=True, etag=b"a"), b"x" * 16)]
        given = {"number": 1, "payload": b"y", "code": Code.CONTENT, "etag": b"a"} | second
        number, payload, code, etag = given["number"], given["payload"], given["code"], given["etag"]
        assert isinstance(number, int)
        assert isinstance(code, int)
        assert isinstance(payload, bytes)
        assert isinstance(etag, bytes)
        return [reply(asked, code, block2(number, more=False, etag=etag), payload)]

    async with scripted(script) as server:
        with pytest.raises(Broken, match=reason):
            await get(server)


async def test_a_reset_is_a_silent_device() -> None:
    async with scripted(lambda asked: [b"\x70\x00" + asked.mid.to_bytes(2, "big")]) as server:
        with pytest.raises(DeviceSilent, match="reset"):
            await get(server)


async def test_silence_is_asked_three_times() -> None:
    async with scripted(lambda _: []) as server:
        with pytest.raises(DeviceSilent, match=r"/x(: no answer| did not answer)"):
            await get(server, timeout="200ms")
    assert len(server.asked) == 3
    assert len({asked.mid for asked in server.asked}) == 1


async def test_a_response_by_itself_is_acknowledged() -> None:
    def script(asked: Datagram) -> Sequence[bytes]:
        if asked.code != Code.GET:
            return []
        return [b"\x60\x00" + asked.mid.to_bytes(2, "big"), reply(asked, Code.CONTENT, payload=b"late", kind=0)]

    async with scripted(script) as server:
        assert await get(server) == b"late"
        acknowledged = (await server.wait(2))[1]
    assert (acknowledged.type, acknowledged.code, acknowledged.mid) == (2, 0, server.asked[0].mid)


async def test_a_response_with_an_unknown_critical_option_is_none() -> None:
    refused: list[str] = []
    async with scripted(lambda asked: [reply(asked, Code.CONTENT, b"\x90", b"x")]) as server:
        with pytest.raises(DeviceSilent):
            await get(server, refused, timeout="100ms")
    assert "unknown critical option 9" in refused[0]


async def test_nobody_else_is_heard() -> None:
    """A response from another address, though it has the right token."""
    heard: list[Datagram] = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:

        def script(asked: Datagram) -> Sequence[bytes]:
            heard.append(asked)
            stranger.sendto(reply(asked, Code.CONTENT, payload=b"forged"), server.address)
            return [reply(asked, Code.CONTENT, payload=b"true")]

        async with scripted(script) as server:
            assert await get(server) == b"true"


async def test_tokens_cannot_be_guessed() -> None:
    async with scripted(lambda asked: [reply(asked, Code.CONTENT, payload=b"x")]) as server:
        asking = requester(server, [])
        await asking.open()
        for _ in range(8):
            await asking.get(("x",))
        await asking.close()
    tokens = [int.from_bytes(asked.token, "big") for asked in server.asked]
    assert all(len(asked.token) == 4 for asked in server.asked)
    assert len({b - a for a, b in itertools.pairwise(tokens)}) > 1


async def test_requests_at_once_come_one_after_the_other() -> None:
    """NSTART is 1 (RFC 7252, 4.7): a constrained server is not asked twice at once."""
    async with scripted(lambda asked: [reply(asked, Code.CONTENT, payload=asked.options[-1][1])]) as server:
        asking = requester(server, [])
        await asking.open()
        found = await asyncio.gather(*(asking.get((str(n),)) for n in range(20)))
        await asking.close()
    assert [response.payload for response in found] == [str(n).encode() for n in range(20)]


async def test_a_server_that_asks_back_is_told_that_there_is_nothing() -> None:
    def script(asked: Datagram) -> Sequence[bytes]:
        if asked.code != Code.GET:
            return []
        return [bytes.fromhex("40010001b178"), reply(asked, Code.CONTENT, payload=b"x")]

    async with scripted(script) as server:
        await get(server)
        assert (await server.wait(2))[1].code == Code.NOT_FOUND

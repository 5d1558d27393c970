"""Observing a server that follows a script."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from drivers.coap.code import Code
from drivers.coap.datagram import Datagram
from gateway.errors import ConnectionLost
from gateway.model import StatusCode
from tests.drivers.coap.links import client_link, session, values
from tests.drivers.coap.scripted import Scripted, reply, scripted
from tests.drivers.receiver import FakeReceiver

OBSERVE = 6
GROUP: dict[str, Any] = {"resource": "/x", "observe": True, "tags": {"n": {"type": "int32"}}}


def options(number: int, max_age: int = 60) -> bytes:
    """Observe and Max-Age."""
    return bytes([0x61, number, 0x81, max_age])


def notice(asked: Datagram, number: int, n: int, *, mid: int, max_age: int = 60) -> bytes:
    return reply(asked._replace(mid=mid), Code.CONTENT, options(number, max_age), b'{"n": %d}' % n, kind=1)


def registers(asked: Datagram) -> bool:
    """A GET with Observe 0, which is written as nothing."""
    return asked.code == Code.GET and (OBSERVE, b"") in asked.options


def first(asked: Datagram) -> Sequence[bytes]:
    return [reply(asked, Code.CONTENT, options(10), b'{"n": 0}')] if registers(asked) else []


def numbers(receiver: FakeReceiver) -> list[object]:
    return [values(scan)["n"] for scan in receiver.scans]


async def after(server: Scripted, receiver: FakeReceiver, notices: Sequence[tuple[int, int]]) -> None:
    """Register, then be told `notices`, pairs of a number and a value."""
    await receiver.wait_scans(1)
    for mid, (number, n) in enumerate(notices):
        server.send(notice(server.asked[0], number, n, mid=mid))
    await receiver.wait_scans(1 + sum(number > 10 for number, _ in notices))


async def test_notifications_that_overtake_each_other_are_told_in_order() -> None:
    receiver = FakeReceiver()
    async with scripted(first) as server, session(client_link(server.port, {"g": GROUP}), receiver):
        await after(server, receiver, [(9, 99), (10, 99), (12, 1)])
        server.send(notice(server.asked[0], 11, 99, mid=20))
        server.send(notice(server.asked[0], 13, 3, mid=21))
        await receiver.wait_scans(3)
    assert numbers(receiver) == [0, 1, 3]


async def test_a_burst_is_kept_whole() -> None:
    receiver = FakeReceiver()
    async with scripted(first) as server, session(client_link(server.port, {"g": GROUP}), receiver):
        await after(server, receiver, [(number, number) for number in range(11, 200)])
    assert numbers(receiver) == [0, *range(11, 200)]


async def test_a_confirmable_notification_is_acknowledged() -> None:
    receiver = FakeReceiver()
    async with scripted(first) as server, session(client_link(server.port, {"g": GROUP}), receiver):
        await receiver.wait_scans(1)
        asked = server.asked[0]._replace(mid=77)
        server.send(reply(asked, Code.CONTENT, options(11), b'{"n": 1}', kind=0))
        acknowledged = (await server.wait(2))[1]
    assert (acknowledged.type, acknowledged.mid) == (2, 77)


async def test_what_is_overdue_is_registered_again_and_the_old_one_forgotten() -> None:
    def script(asked: Datagram) -> Sequence[bytes]:
        return [reply(asked, Code.CONTENT, options(1, max_age=0), b'{"n": 5}')] if registers(asked) else []

    receiver = FakeReceiver()
    async with scripted(script) as server:
        async with session(client_link(server.port, {"g": GROUP}, margin="20ms"), receiver):
            await receiver.wait_scans(3)
        registered = [asked for asked in server.asked if registers(asked)]
        forgotten = [asked for asked in server.asked if (OBSERVE, b"\x01") in asked.options]
        assert len({asked.token for asked in registered}) == len(registered)
        assert [asked.token for asked in forgotten[:2]] == [asked.token for asked in registered[:2]]


async def test_who_closes_ends_the_observation() -> None:
    receiver = FakeReceiver()
    async with scripted(first) as server:
        async with session(client_link(server.port, {"g": GROUP}), receiver):
            await receiver.wait_scans(1)
        bye = (await server.wait(2))[1]
    assert (bye.token, bye.options) == (server.asked[0].token, ((OBSERVE, b"\x01"), (11, b"x")))


async def test_an_error_ends_it_until_it_is_registered_again() -> None:
    def script(asked: Datagram) -> Sequence[bytes]:
        if not registers(asked):
            return []
        if len(server.asked) == 1:
            return [reply(asked, Code.SERVICE_UNAVAILABLE, bytes([0xD1, 1, 0]))]
        return first(asked)

    receiver = FakeReceiver()
    async with (
        scripted(script) as server,
        session(client_link(server.port, {"g": GROUP}, margin="20ms"), receiver),
    ):
        await receiver.wait_scans(2)
    assert numbers(receiver) == [StatusCode.BAD_OUT_OF_SERVICE, 0]


async def test_a_registration_that_nobody_answers_ends_the_session() -> None:
    receiver = FakeReceiver()
    link_settings: dict[str, Any] = {"timeout": "100ms", "keepalive": "0s"}
    async with scripted(lambda _: []) as server:
        with pytest.raises(ExceptionGroup) as caught:
            async with session(client_link(server.port, {"g": GROUP}, **link_settings), receiver):
                await asyncio.Event().wait()
    assert caught.group_contains(ConnectionLost, match="not even an acknowledgement")


async def test_one_that_is_only_acknowledged_is_asked_again() -> None:
    def script(asked: Datagram) -> Sequence[bytes]:
        if registers(asked) and len(server.asked) == 1:
            return [b"\x60\x00" + asked.mid.to_bytes(2, "big")]
        return first(asked)

    receiver = FakeReceiver()
    async with (
        scripted(script) as server,
        session(client_link(server.port, {"g": GROUP}, timeout="100ms"), receiver),
    ):
        await receiver.wait_scans(1)
    assert receiver.refused == [("pump-1/g", "/x was not answered within 0.1 s")]

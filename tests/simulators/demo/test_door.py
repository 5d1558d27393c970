from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest

from simulators.demo.door import Door, TagReading
from simulators.demo.failure import DemoFailed

STATUS = (
    b'{"answer": "status", "status": {"site": "demo", "time": 5, "lag_s": 0.0, "devices": [], "alarms": [],'
    b' "links": [{"id": "floor", "driver": "mqtt", "online": true, "reason": ""}], "sinks": [{"id": "cloud",'
    b' "online": true, "ingested": 9, "delivered": 7, "pending": 2, "dead_letters": 0, "dropped": 0, "oldest_s": 0.5'
    b"}]}}\n"
)

Serve = Callable[[bytes], AbstractAsyncContextManager[Door]]


@pytest.fixture
def gateway(tmp_path: Path) -> Serve:
    """Answers one request with what it is given, and hangs up."""

    @asynccontextmanager
    async def serve(answer: bytes) -> AsyncIterator[Door]:
        async def meet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            assert (await reader.readline()).startswith(b'{"ask":')
            writer.write(answer)
            writer.close()

        async with await asyncio.start_unix_server(meet, tmp_path / "control.sock"):
            yield Door(tmp_path / "control.sock")

    return serve


async def test_a_status_is_taken_for_what_the_demo_wants_of_it(gateway: Serve) -> None:
    async with gateway(STATUS) as door:
        status = await door.status()
    assert (status.time, status.links[0].online, status.sink.pending, status.sink.oldest_s) == (5, True, 2, 0.5)


async def test_a_watch_goes_on_until_the_gateway_ends(gateway: Serve) -> None:
    line = b'{"answer": "readings", "readings": [{"tag": "pump-1/flow", "value": 50.2, "unit": "l"}]}\n'
    async with gateway(line * 2) as door:
        assert [found async for found in door.watch(["pump-1/flow"], 0.2)] == [[TagReading("pump-1/flow", 50.2)]] * 2


async def test_what_goes_wrong_is_told(gateway: Serve, tmp_path: Path) -> None:
    async with gateway(b'{"answer": "error", "message": "there is no tag flow"}\n') as door:
        with pytest.raises(DemoFailed, match="there is no tag flow"):
            await anext(door.watch(["flow"], 0.2))
    async with gateway(b"") as door:
        with pytest.raises(OSError, match="hung up"):
            await door.status()
    with pytest.raises(OSError):
        await Door(tmp_path / "nobody").status()

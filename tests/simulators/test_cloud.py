from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from influxdb_client.client.influxdb_client import InfluxDBClient
from influxdb_client.client.write_api import SYNCHRONOUS

from simulators.cloud import STATUSES, serve
from simulators.log import Log
from tests.simulators.process import Simulator, lines

WRITE = "/api/v2/write?org=plant&bucket=line-a&precision=ns"


class Writer:
    """A writer and the director of one cloud."""

    def __init__(self, http: aiohttp.ClientSession, port: int, control_port: int) -> None:
        self._http = http
        self.url = f"http://127.0.0.1:{port}"
        self._door = f"http://127.0.0.1:{control_port}"

    async def write(self, body: str | bytes, path: str = WRITE, **headers: str) -> int:
        async with self._http.post(self.url + path, data=body, headers=headers) as reply:
            await reply.read()
            return reply.status

    async def cut(self, mode: bool | str) -> int:
        async with self._http.post(f"{self._door}/_control", json={"cut": mode}) as reply:
            return reply.status

    async def stats(self) -> dict[str, object]:
        async with self._http.get(f"{self._door}/_stats") as reply:
            answer: dict[str, object] = await reply.json()
            return answer


@asynccontextmanager
async def stage(log: Path) -> AsyncIterator[Writer]:
    with Log(log) as out:
        async with serve(out, 0, 0) as (cloud, control_port), aiohttp.ClientSession() as http:
            yield Writer(http, cloud.port, control_port)


async def test_points_are_counted_and_recorded(tmp_path: Path) -> None:
    async with stage(tmp_path / "log") as writer:
        assert await writer.write("m,site=a v=1,n=2i 10\nm,site=b v=1 10\n") == 204
        assert await writer.write(gzip.compress(b"m,site=a v=1.0,x=t 10"), **{"Content-Encoding": "gzip"}) == 204
        assert await writer.write("m,site=a v=3 10", "/write?db=plant") == 204
        assert await writer.write("m,site=a v=4 10", "/write?db=plant&precision=ms") == 204
        stats = await writer.stats()
    assert stats == {
        "mode": "open",
        "requests": 4,
        "refused": 0,
        "lines": 5,
        "points": 7,
        "duplicates": 1,
        "conflicts": 1,
        "rejected": 0,
        "series": 2,
        "measurements": {"m": 7},
    }
    records = lines(tmp_path / "log")
    assert records[0]["tags"] == {"site": "a"}
    assert records[0]["fields"] == {"v": ["float", 1.0], "n": ["integer", 2]}
    assert [record["time"] for record in records] == [10, 10, 10, 10, 10_000_000]


async def test_bad_lines_and_type_conflicts_cost_no_other_line(tmp_path: Path) -> None:
    async with stage(tmp_path / "log") as writer:
        assert await writer.write("m v=1 1\nm v=1i 2\nm v=\nm v=3 3") == 400
        assert await writer.write(b"m v=\xff 1") == 400
        assert await writer.write("m v=1 1", "/api/v2/write?org=plant") == 400
        assert await writer.write("m v=1 1", WRITE.replace("ns", "years")) == 400
        stats = await writer.stats()
    assert (stats["lines"], stats["rejected"]) == (2, 2)
    assert [record["time"] for record in lines(tmp_path / "log")] == [1, 3]


@pytest.mark.parametrize("status", STATUSES)
async def test_cut_by_a_status(tmp_path: Path, status: str) -> None:
    async with stage(tmp_path / "log") as writer:
        assert await writer.cut(status) == 200
        assert await writer.write("m v=1 1") == int(status)
        assert (await writer.stats())["refused"] == 1
        assert await writer.cut(False) == 200
        assert await writer.write("m v=1 1") == 204
    assert len(lines(tmp_path / "log")) == 1


async def test_cut_by_refusing_connections(tmp_path: Path) -> None:
    async with stage(tmp_path / "log") as writer:
        assert await writer.write("m v=1 1") == 204
        assert await writer.cut(True) == 200
        with pytest.raises(aiohttp.ClientConnectorError, match="Cannot connect"):
            await writer.write("m v=2 2")
        assert (await writer.stats())["mode"] == "refuse"
        assert await writer.cut(False) == 200
        assert await writer.write("m v=2 2") == 204
        assert (await writer.stats())["duplicates"] == 0


async def test_a_hanging_write_is_never_stored(tmp_path: Path) -> None:
    async with stage(tmp_path / "log") as writer:
        await writer.cut("hang")
        hanging = asyncio.create_task(writer.write("m v=1 1"))
        while (await writer.stats())["requests"] == 0:
            await asyncio.sleep(0)
        assert not hanging.done()
        await writer.cut(False)
        assert await hanging == 503
        assert (await writer.stats())["lines"] == 0


@pytest.mark.parametrize("mode", ["later", 5, [], None])
async def test_a_cut_that_makes_no_sense(tmp_path: Path, mode: str) -> None:
    async with stage(tmp_path / "log") as writer:
        assert await writer.cut(mode) == 400
        assert (await writer.stats())["mode"] == "open"


@pytest.mark.slow
def test_influxdb_client_writes_to_the_process(tmp_path: Path) -> None:
    with Simulator("cloud", "--port", 0, "--control-port", 0, "--log", tmp_path / "log") as cloud:
        url = f"http://127.0.0.1:{cloud.port}"
        with InfluxDBClient(url, "token", org="plant", enable_gzip=True) as client:
            writer = client.write_api(write_options=SYNCHRONOUS)
            fields = {"v": 1.5, "n": 3}
            writer.write(
                "line-a", record={"measurement": "pump 1/state", "tags": {"site": "a,b"}, "fields": fields, "time": 7}
            )
    (record,) = lines(tmp_path / "log")
    assert (record["measurement"], record["tags"], record["time"]) == ("pump 1/state", {"site": "a,b"}, 7)
    assert record["fields"] == {"v": ["float", 1.5], "n": ["integer", 3]}

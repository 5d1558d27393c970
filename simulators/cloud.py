"""An HTTP stand-in for the cloud: takes line protocol like InfluxDB, records all of it, and can be cut off.

On `--port`, gzip or not: `POST /api/v2/write?bucket=[&precision=ns|us|ms|s]` and
`POST /write?db=[&precision=n|ns|u|ms|s|m|h]`, answered with 204; `GET /ping`, `GET /health`. Lines that cannot be read,
and points whose field has another type than before, are refused with 400 after the others have been stored, as InfluxDB
does.

On `--control-port`, which is never cut: `POST /_control {"cut": MODE}`, and `GET /_stats`.

| MODE             | a writer sees                                                                       |
|------------------|-------------------------------------------------------------------------------------|
| false            | a server that works                                                                 |
| true, "refuse"   | its connections closed, new ones refused: the listening socket is closed            |
| "400" and others | that status for each write (400 401 404 413 429 500 503), Retry-After: 1 with 429 and 503 |
| "hang"           | no answer at all; when it is over, 503                                              |

Of what is answered by a cut, nothing is stored.

`/_stats` gives `{"mode": "open", "requests": …, "refused": …, "lines": …, "points": …, "duplicates": …, "conflicts": …,
"rejected": …, "series": …, "measurements": {"…": points}}`. A point is one value of one field; `points` counts all that
were stored, and of these `duplicates` were there already with the same value and `conflicts` with another; `rejected`
counts lines; `requests` counts writes of any kind and `refused` those that were answered by a cut.

The log has a line for every line that was stored: `{"received_ns": …, "measurement": "…", "tags": {…}, "fields":
{"name": ["float", 1.5], …}, "time": NS}`. It is written before the answer is.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import orjson
from aiohttp import web

from simulators import service
from simulators.ledger import Ledger
from simulators.lineprotocol import Malformed, Point, parse, split
from simulators.log import Log

NANOSECONDS = {
    **dict.fromkeys(("n", "ns", ""), 1),
    **dict.fromkeys(("u", "us"), 1_000),
    "ms": 1_000_000,
    "s": 1_000_000_000,
    "m": 60_000_000_000,
    "h": 3_600_000_000_000,
}
STATUSES = ("400", "401", "404", "413", "429", "500", "503")
MODES = ("open", "refuse", "hang", *STATUSES)
BODY_BYTES = 64 << 20


class Cloud:
    """The two doors of the stand-in: one for writers, one for whoever directs the play."""

    def __init__(self, log: Log, port: int) -> None:
        self.port = port
        self.mode = "open"
        self._log = log
        self._ledger = Ledger()
        self._requests = self._refused = self._rejected = 0
        self._changed = asyncio.Event()
        self._listener: web.AppRunner | None = None

    async def open(self) -> None:
        """Listen for writers."""
        app = web.Application(client_max_size=BODY_BYTES)
        app.router.add_post("/api/v2/write", self._write)
        app.router.add_post("/write", self._write)
        app.router.add_get("/ping", self._pong)
        app.router.add_get("/health", self._pong)
        self._listener, self.port = await _listen(app, self.port)

    async def close(self) -> None:
        """Close the listening socket and every connection; what is being answered is answered first."""
        self._change("refuse")
        if self._listener is not None:
            await self._listener.cleanup()
            self._listener = None

    async def control(self, request: web.Request) -> web.Response:
        wanted = _order(await request.read())
        if wanted is None:
            return web.json_response({"error": f"cut is true, false or one of {', '.join(MODES)}"}, status=400)
        if wanted == "refuse":
            await self.close()
        self._change(wanted)
        if wanted != "refuse" and self._listener is None:
            await self.open()
        return web.json_response({"mode": self.mode})

    async def stats(self, request: web.Request) -> web.Response:
        ledger = self._ledger
        return web.json_response(
            {
                "mode": self.mode,
                "requests": self._requests,
                "refused": self._refused,
                **ledger.counts,
                "rejected": self._rejected,
                "series": ledger.series,
                "measurements": ledger.measurements,
            }
        )

    def _change(self, mode: str) -> None:
        self.mode = mode
        self._changed.set()
        self._changed = asyncio.Event()

    async def _pong(self, request: web.Request) -> web.Response:
        return web.json_response({"status": "pass", "name": "influxdb", "message": "a stand-in"})

    async def _write(self, request: web.Request) -> web.Response:
        self._requests += 1
        body = await request.read()
        if self.mode == "hang":
            await self._changed.wait()
            return self._refuse("503")
        if self.mode in STATUSES:
            return self._refuse(self.mode)
        scale = NANOSECONDS.get(request.query.get("precision", ""))
        destination = "bucket" if request.path == "/api/v2/write" else "db"
        if scale is None or not request.query.get(destination):
            return _refusal(400, f"{destination} or precision is missing or wrong")
        return self._store(body, scale)

    def _refuse(self, status: str) -> web.Response:
        self._refused += 1
        return _refusal(int(status), "cut by the director")

    def _store(self, body: bytes, scale: int) -> web.Response:
        now = time.time_ns()
        try:
            lines = split(body.decode())
        except UnicodeDecodeError as error:
            return _refusal(400, str(error))
        errors = [flaw for line in lines if (flaw := self._enter(line, scale, now)) is not None]
        self._rejected += len(errors)
        if errors:
            return _refusal(400, f"partial write: {'; '.join(errors[:10])} dropped={len(errors)}")
        return web.Response(status=204)

    def _enter(self, line: str, scale: int, now: int) -> str | None:
        """Store one line, or say why not."""
        try:
            point = parse(line)
        except Malformed as error:
            return f"unable to parse '{line[:200]}': {error}"
        clash = self._ledger.clash(point)
        if clash is None:
            time_ns = now if point.time is None else point.time * scale
            self._log.write(_record(point, time_ns, now))
            self._ledger.enter(point, time_ns)
        return clash


def _order(body: bytes) -> str | None:
    """The mode that the director asks for, or None where the body makes no sense."""
    try:
        cut = orjson.loads(body)["cut"]
    except (ValueError, KeyError, TypeError):
        return None
    if isinstance(cut, bool):
        return "refuse" if cut else "open"
    return cut if cut in MODES else None


def _record(point: Point, time_ns: int, now: int) -> dict[str, object]:
    tags, fields = dict(point.tags), {name: [field.type, field.value] for name, field in point.fields}
    return {"received_ns": now, "measurement": point.measurement, "tags": tags, "fields": fields, "time": time_ns}


def _refusal(status: int, message: str) -> web.Response:
    """As InfluxDB 2 words it, and InfluxDB 1 beside it."""
    headers = {"Retry-After": "1"} if status in (429, 503) else {}
    codes = {400: "invalid", 401: "unauthorized", 413: "request too large", 429: "too many requests"}
    body = {"code": codes.get(status, "internal error"), "message": message, "error": message}
    return web.json_response(body, status=status, headers=headers)


async def _listen(app: web.Application, port: int) -> tuple[web.AppRunner, int]:
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    return runner, int(runner.addresses[0][1])


@asynccontextmanager
async def serve(log: Log, port: int, control_port: int) -> AsyncIterator[tuple[Cloud, int]]:
    """A cloud that listens, and the port of its control door."""
    cloud = Cloud(log, port)
    app = web.Application()
    app.router.add_post("/_control", cloud.control)
    app.router.add_get("/_stats", cloud.stats)
    await cloud.open()
    door, control_port = await _listen(app, control_port)
    try:
        yield cloud, control_port
    finally:
        await cloud.close()
        await door.cleanup()


class Options(argparse.Namespace):
    port: int
    control_port: int
    log: Path | None


async def main(options: Options) -> None:
    with Log(options.log) as log:
        async with serve(log, options.port, options.control_port) as (cloud, control_port):
            service.ready(port=cloud.port, control_port=control_port)
            await asyncio.Event().wait()


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(
        prog="python -m simulators.cloud",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    arguments.add_argument("--port", type=int, default=8086, help="0 for any that is free")
    arguments.add_argument("--control-port", type=int, default=8087, help="0 for any that is free")
    arguments.add_argument("--log", type=Path)
    service.run(main(arguments.parse_args(namespace=Options())))

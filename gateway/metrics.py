"""What monitoring asks over HTTP: `/metrics`, `/healthz` and `/readyz`."""

from __future__ import annotations

import asyncio
import logging

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST

from gateway import backlog, status
from gateway.cell import Cell
from gateway.errors import ConfigError
from gateway.exposition import expose
from gateway.site import HttpSettings
from gateway.status import Rates

_log = logging.getLogger(__name__)

_CLOSE_SECONDS = 1.0


class Metrics:
    """`open` takes the port, `run` answers until it is cancelled. `port` is then the one in use."""

    def __init__(self, cell: Cell, settings: HttpSettings) -> None:
        self.host = settings.host
        self.port = settings.port
        self._runner = web.AppRunner(application(cell), access_log=None, shutdown_timeout=_CLOSE_SECONDS)

    async def open(self) -> None:
        """Raises ConfigError where the port cannot be had."""
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, self.host, self.port).start()
        except OSError as error:
            await self._runner.cleanup()
            raise ConfigError(f"http cannot listen on {self.host}, port {self.port}: {error.strerror}") from error
        self.port = self._runner.addresses[0][1]
        _log.info("metrics and health at http://%s:%d", self.host, self.port)

    async def run(self) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await self._runner.cleanup()


def application(cell: Cell) -> web.Application:
    async def metrics(request: web.Request) -> web.Response:
        taken = status.collect(cell, await backlog.look(cell), Rates())
        return web.Response(body=expose(taken), headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def health(request: web.Request) -> web.Response:
        return _verdict("healthy", ailments(cell))

    async def readiness(request: web.Request) -> web.Response:
        return _verdict("ready", ailments(cell) + untried(cell))

    app = web.Application()
    app.add_routes([web.get("/metrics", metrics), web.get("/healthz", health), web.get("/readyz", readiness)])
    return app


def ailments(cell: Cell) -> list[str]:
    """Why the cell is not healthy. A far end that is away is no reason: to bridge that is what the gateway is for."""
    return [f"the journal cannot write: {cell.journal.failing}"] if cell.journal.failing else []


def untried(cell: Cell) -> list[str]:
    """Why the cell is not ready: its journal is open once it answers here, but not every link has been tried."""
    return [f"link {name} has not been tried yet" for name, link in cell.links.items() if not link.sessions]


def _verdict(claim: str, reasons: list[str]) -> web.Response:
    return web.json_response({claim: not reasons, "reasons": reasons}, status=503 if reasons else 200)

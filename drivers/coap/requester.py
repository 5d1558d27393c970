"""One server, as a client sees it: ask, read what comes in blocks, notice that it is gone."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from functools import partial

from drivers.coap import udp
from drivers.coap.code import Code, words
from drivers.coap.endpoint import Call, Endpoint, Exchange, Take
from drivers.coap.message import Block, Request, Response
from drivers.coap.resource import Segments, show
from drivers.coap.settings import LinkSettings
from gateway.clock import SECOND
from gateway.errors import ConnectionLost, DeviceSilent, GatewayError


class Broken(ValueError):
    """The blocks of a response do not make a whole."""


class Requester:
    """Made fresh for every session: `open` once, then the rest, at last `close`."""

    def __init__(self, settings: LinkSettings, refuse: Callable[[str], None]) -> None:
        """`refuse` is told what came and cannot be used."""
        host = settings.host or ""
        self.refuse = refuse
        self.timeout = settings.timeout / SECOND
        self._keepalive = settings.keepalive / SECOND
        self._max_payload = settings.max_payload
        self._target = (host, settings.port)
        self._host = "" if _is_literal(host) else host
        self._where = f"{host}:{settings.port}"
        self._endpoint: Endpoint | None = None
        self._waiting: set[asyncio.Future[Response]] = set()
        self._error: ConnectionLost | None = None
        self._lost = asyncio.Event()

    async def open(self) -> None:
        """Find the server: of its addresses, the first that answers a ping. Raises ConnectionLost."""
        try:
            addresses = await udp.resolve(*self._target)
        except OSError as error:
            raise ConnectionLost(f"{self._where} is not known: {error.strerror}") from error
        for family, address in addresses:
            await self._leave()
            self._error = None
            self._lost.clear()
            with contextlib.suppress(ConnectionLost):
                await self._greet(family, address)
                return
        raise self._error or ConnectionLost(f"{self._where} has no address")

    async def wait(self) -> None:
        """Stay until the server is gone, then raise ConnectionLost. After `keepalive` without a word it is asked."""
        loop = asyncio.get_running_loop()
        while True:
            endpoint = self._connected()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._keepalive / 2 or None):
                    await self._lost.wait()
            if self._keepalive and loop.time() - endpoint.heard >= self._keepalive:
                await self._ping()

    async def get(self, path: Segments) -> Response:
        """The whole of a resource, or the error that the server answers. Raises DeviceSilent, ConnectionLost,
        Broken."""
        async with self._bounded(path):
            return await self._whole(path, await self._ask(self._request(Code.GET, path)))

    async def complete(self, path: Segments, first: Response) -> Response:
        """A notification with the blocks that it did not hold. Raises as `get` does."""
        async with self._bounded(path):
            return await self._whole(path, first)

    async def send(self, method: Code, path: Segments, payload: bytes, content_format: int) -> Response:
        """Raises DeviceSilent, ConnectionLost."""
        request = replace(self._request(method, path), payload=payload, content_format=content_format)
        async with self._bounded(path):
            return await self._ask(request)

    def observe(self, path: Segments, take: Take) -> Exchange:
        """Ask for a resource and for what becomes of it (RFC 7641). Raises ConnectionLost."""
        return self._connected().request(replace(self._request(Code.GET, path), observe=0), take)

    def forget(self, exchange: Exchange) -> None:
        """End an observation, here and, as far as it hears us, at the server."""
        exchange.stop()
        if self._endpoint is not None and self._error is None:
            self._endpoint.forget(exchange)

    async def close(self) -> None:
        self.fail(ConnectionLost("the session was closed"))
        await self._leave()

    # What the endpoint calls

    def answer(self, request: Request, call: Call) -> None:
        call.respond(Response(Code.NOT_FOUND))

    def fail(self, cause: OSError | ConnectionLost) -> None:
        """The server is gone; the first reason counts."""
        if self._error is not None:
            return
        reason = str(cause) if isinstance(cause, ConnectionLost) else f"{self._where}: {cause.strerror}"
        self._error = ConnectionLost(reason)
        self._lost.set()
        for future in self._waiting:
            if not future.done():
                future.set_exception(ConnectionLost(reason))

    # How it is done

    async def _greet(self, family: int, address: udp.SocketAddress) -> None:
        try:
            self._endpoint = Endpoint(udp.connect(family, address), self, self.timeout, address)
        except OSError as error:
            self.fail(error)
        if self._keepalive:
            await self._ping()
        self._connected()

    async def _leave(self) -> None:
        endpoint, self._endpoint = self._endpoint, None
        if endpoint is not None:
            await endpoint.close()

    async def _ping(self) -> None:
        endpoint = self._connected()
        with self._answer() as answered:
            endpoint.ping(partial(_settle, answered, Response(0), True))
            try:
                async with asyncio.timeout(self.timeout):
                    await answered
            except TimeoutError:
                self.fail(ConnectionLost(f"{self._where} does not answer pings; set keepalive: 0s if it never does"))
        self._connected()

    async def _ask(self, request: Request) -> Response:
        """One request and its response."""
        endpoint = self._connected()
        with self._answer() as answer:
            exchange = endpoint.request(request, partial(_settle, answer))
            try:
                return await answer
            finally:
                exchange.stop()

    async def _whole(self, path: Segments, first: Response) -> Response:
        """Ask for the blocks that follow the first (RFC 7959, 2.4)."""
        body, block = first.payload, first.block2
        while block is not None and block.more:
            if not block.is_valid or len(body) % block.size or len(body) >= self._max_payload:
                raise Broken(f"a block cannot be used, or there are more than {self._max_payload} bytes of them")
            wanted = Block(len(body) // block.size, False, block.exponent)
            found = await self._ask(replace(self._request(Code.GET, path), block2=wanted))
            block = found.block2
            if found.code != Code.CONTENT or block is None or block.start != len(body) or not found.payload:
                raise Broken(f"instead of block {wanted.number} came {words(found.code)}")
            if found.etag != first.etag:
                raise Broken("the resource changed while it was read")
            body += found.payload
        if len(body) > self._max_payload:
            raise Broken(f"the payload has {len(body)} bytes, max_payload is {self._max_payload}")
        return replace(first, payload=body, block2=None)

    def _request(self, method: Code, path: Segments) -> Request:
        return Request(method, path, host=self._host)

    @contextlib.contextmanager
    def _answer(self) -> Iterator[asyncio.Future[Response]]:
        future: asyncio.Future[Response] = asyncio.get_running_loop().create_future()
        self._waiting.add(future)
        try:
            yield future
        finally:
            self._waiting.discard(future)

    @contextlib.asynccontextmanager
    async def _bounded(self, path: Segments) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(self.timeout):
                yield
        except TimeoutError:
            raise DeviceSilent(f"{self._where}{show(path)} did not answer within {self.timeout:g} s") from None
        except DeviceSilent as error:
            raise DeviceSilent(f"{self._where}{show(path)}: {error}") from None

    def _connected(self) -> Endpoint:
        if self._error is not None:
            raise ConnectionLost(str(self._error))
        if self._endpoint is None:
            raise ConnectionLost("not connected")
        return self._endpoint


def _settle(future: asyncio.Future[Response], outcome: Response | GatewayError, _is_last: bool) -> None:
    if future.done():
        return
    if isinstance(outcome, GatewayError):
        future.set_exception(outcome)
    else:
        future.set_result(outcome)


def _is_literal(host: str) -> bool:
    try:
        ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return True

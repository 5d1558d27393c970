"""A link that listens: devices PUT or POST their state, and are answered 2.04 Changed once it is on disk.

| what comes                                      | is answered                                                   |
|-------------------------------------------------|---------------------------------------------------------------|
| values that can be used, by some group at least | 2.04 when all that was made of it is on disk                  |
| a block with more to follow                     | 2.31                                                          |
| values that cannot be used                      | 4.00, and why                                                 |
| an unknown critical option                      | 4.02; 5.05 where it asks for a proxy                          |
| another path                                    | 4.04                                                          |
| another method                                  | 4.05                                                          |
| a block out of turn                             | 4.08                                                          |
| more than `max_payload` bytes                   | 4.13 with Size1                                               |
| a content format that is neither JSON nor text  | 4.15                                                          |
| anything, while the disk is full or far behind  | 5.03 with Max-Age                                             |

No answer is longer than three times its request, so that a forged source cannot be flooded through us; and where
reports wait for the disk, only so many do.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import cast

from drivers.coap import routes, udp
from drivers.coap.assembly import Assemblies, Gap, TooLarge
from drivers.coap.code import Code
from drivers.coap.endpoint import Call, Endpoint
from drivers.coap.message import Request, Response
from drivers.coap.resource import show
from drivers.coap.routes import Route
from drivers.coap.settings import LinkSettings
from gateway.clock import SECOND
from gateway.contracts import Receiver
from gateway.errors import ConnectionLost, JournalFull
from gateway.model import Link, Scan
from gateway.payload.decoder import Refused

MOST_WAITING = 1000
"""Reports that wait for the disk."""
RETRY_S = 10
"""When whoever was answered 5.03 may come again (RFC 7252, 5.9.3.4)."""
AMPLIFICATION = 3

_MOST_DIAGNOSTIC = 120
_AROUND_DIAGNOSTIC = 4 + 8 + 5 + 5 + 1  # header, token, Block1, Size1, payload marker
_METHODS = (Code.POST, Code.PUT)
_FORMATS = (None, 0, 50)  # not said, text/plain, application/json
_PROXY = (35, 39)


class Rejected(Exception):
    """The request is answered with an error."""

    def __init__(self, code: Code, reason: str = "", *, max_age: int | None = None, size1: int | None = None) -> None:
        super().__init__(reason)
        self.code = code
        self.max_age = max_age
        self.size1 = size1


class _Report:
    """A request whose scans are on their way to the disk; `done` is called when all of them are there."""

    def __init__(self, scans: int) -> None:
        self.pending = scans
        self.call: Call | None = None


class Server:
    """Made fresh for every session."""

    def __init__(self, link: Link, receiver: Receiver) -> None:
        settings = cast(LinkSettings, link.settings)
        assert settings.listen is not None
        self._link = link
        self._receiver = receiver
        self._listen = settings.listen
        self._timeout = settings.timeout / SECOND
        self._max_payload = settings.max_payload
        self._routes = routes.reported(link)
        self._bodies = Assemblies(settings.max_payload)
        self._waiting = 0
        self._endpoint: Endpoint | None = None
        self._lost: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def open(self) -> None:
        """Raises ConnectionLost where the port cannot be had."""
        where = f"{self._listen.host}:{self._listen.port}"
        try:
            (family, address), *_ = await udp.resolve(self._listen.host, self._listen.port)
            sock = udp.bind(family, address)
        except OSError as error:
            raise ConnectionLost(f"cannot listen on {where}: {error.strerror}") from error
        self._endpoint = Endpoint(sock, self, self._timeout)

    async def run(self) -> None:
        raise ConnectionLost(await asyncio.shield(self._lost))

    async def close(self) -> None:
        self._end("the session was closed")
        if self._endpoint is not None:
            await self._endpoint.close()

    # What the endpoint calls

    def refuse(self, reason: str) -> None:
        self._receiver.refuse(self._link.id, reason)

    def fail(self, cause: OSError) -> None:
        self._end(f"the port of {self._link.id} failed: {cause.strerror}")

    def answer(self, request: Request, call: Call) -> None:
        try:
            found = self._find(request)
            payload = self._payload(request)
            if payload is None:
                call.respond(Response(Code.CONTINUE, block1=request.block1))
            else:
                self._publish(self._scans(found, payload), request, call)
        except Rejected as error:
            call.respond(_rejection(error, request))

    # How it is done

    def _find(self, request: Request) -> list[Route]:
        """What takes the request."""
        if request.unknown:
            self.refuse(f"a request has the unknown critical option {request.unknown}")
            raise Rejected(Code.PROXYING_NOT_SUPPORTED if request.unknown in _PROXY else Code.BAD_OPTION)
        found = self._routes.get(request.path)
        if found is None:
            self.refuse(f"no tag group takes the path {show(request.path)[:80]!r}")
            raise Rejected(Code.NOT_FOUND)
        if request.code not in _METHODS:
            raise Rejected(Code.METHOD_NOT_ALLOWED)
        if request.content_format not in _FORMATS:
            raise Rejected(Code.UNSUPPORTED_CONTENT_FORMAT)
        return found

    def _payload(self, request: Request) -> bytes | None:
        """The whole of it, or None while blocks are missing."""
        try:
            if request.block1 is None:
                if len(request.payload) > self._max_payload:
                    raise TooLarge("the payload is too large")
                return request.payload
            key = (request.source, request.code, request.path, request.content_format, request.tag)
            return self._bodies.add(key, request.block1, request.payload)
        except TooLarge as error:
            self.refuse(f"{show(request.path)}: {error}")
            raise Rejected(Code.REQUEST_ENTITY_TOO_LARGE, size1=self._max_payload) from None
        except Gap:
            raise Rejected(Code.REQUEST_ENTITY_INCOMPLETE) from None

    def _scans(self, found: list[Route], payload: bytes) -> list[Scan]:
        """What the groups that take the path make of the payload. One that cannot use it refuses it for itself."""
        now = self._receiver.clock.now()
        scans: list[Scan] = []
        problem = ""
        for group, decoder, path, column in found:
            try:
                scan, doubt = decoder.decode(payload, now, column=column)
            except Refused as error:
                problem = problem or str(error)
                self._receiver.refuse(group.id, f"{show(path)}: {error}")
                continue
            scans.append(scan)
            if doubt:
                self._receiver.refuse(f"{group.id} time", f"{show(path)}: {doubt}")
        if not scans:
            raise Rejected(Code.BAD_REQUEST, problem)
        return scans

    def _publish(self, scans: list[Scan], request: Request, call: Call) -> None:
        if self._waiting >= MOST_WAITING:
            self.refuse(f"{MOST_WAITING} reports wait for the disk")
            raise Rejected(Code.SERVICE_UNAVAILABLE, max_age=RETRY_S)
        report = _Report(len(scans))
        report.call = call
        done = partial(self._done, report, Response(Code.CHANGED, block1=request.block1))
        for scan in scans:
            self._waiting += 1
            try:
                self._receiver.publish(scan, done)
            except JournalFull as error:
                self._waiting -= 1
                report.call = None
                self._receiver.refuse(scan.group.id, str(error))
                raise Rejected(Code.SERVICE_UNAVAILABLE, max_age=RETRY_S) from None

    def _done(self, report: _Report, response: Response) -> None:
        """One more scan of a report is on disk."""
        self._waiting -= 1
        report.pending -= 1
        if not report.pending and report.call is not None:
            report.call.respond(response)

    def _end(self, reason: str) -> None:
        if not self._lost.done():
            self._lost.set_result(reason)


def _rejection(error: Rejected, request: Request) -> Response:
    """With the reason, as far as it may be told at that length."""
    room = min(AMPLIFICATION * request.size - _AROUND_DIAGNOSTIC, _MOST_DIAGNOSTIC)
    reason = str(error).encode()[: max(0, room)].decode(errors="ignore").encode()
    return Response(error.code, reason, max_age=error.max_age, block1=request.block1, size1=error.size1)

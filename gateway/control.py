"""The door into a running gateway: a Unix socket, and callers known by their user id. Every command that asks or tells
a running gateway goes through it; nobody else opens the journal or a device.

Whoever calls, whatever they say and however they hang up, the gateway runs on: requests are capped in size, callers in
number, and nobody keeps the door open without saying or hearing anything.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import stat
import struct
from pathlib import Path

import msgspec

from gateway import status
from gateway.answer import Desk
from gateway.cell import Cell
from gateway.door import MAX_REQUEST, AnyRequest, Failure, ReadingsReply, Watch, fitting
from gateway.errors import ConfigError
from gateway.inquiry import AnyErrand
from gateway.notice import Notices
from gateway.phrase import Reply
from gateway.reload import Reloader
from gateway.status import Rates

_log = logging.getLogger(__name__)

_MOST_CALLERS = 32
_IDLE_SECONDS = 60.0
_SEND_SECONDS = 5.0
_READ_SECONDS = 60.0
"""What an errand brings may be looked at page by page."""
_CLOSE_SECONDS = 1.0
_SAMPLE_SECONDS = 1.0

_decoder = msgspec.json.Decoder(AnyRequest)


class Control:
    """`open` takes the socket, `run` answers until it is cancelled."""

    def __init__(self, cell: Cell, reloader: Reloader, path: Path) -> None:
        self.path = path
        self._cell = cell
        self._rates = Rates()
        self._desk = Desk(cell, reloader, self._rates)
        self._notices = Notices(_log)
        self.callers = 0
        self._is_closed = False
        self._socket: socket.socket | None = None

    def open(self) -> None:
        """Raises ConfigError where the socket cannot be had."""
        _clear(fitting(self.path))
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            os.fchmod(listening.fileno(), 0o600)  # before it has a name, so that nobody slips in between
            listening.bind(bytes(self.path))
        except OSError as error:
            listening.close()
            raise ConfigError(f"the control socket {self.path} cannot be made: {error.strerror}") from error
        self._socket = listening

    async def run(self) -> None:
        async with asyncio.TaskGroup() as tasks:

            def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                if self._is_closed:
                    writer.transport.abort()  # accepted as the gateway ended
                    return
                serving = tasks.create_task(self._serve(Caller(reader, writer)), name="caller")
                serving.add_done_callback(lambda _: writer.transport.abort())  # also where it never came to begin

            server = await asyncio.start_unix_server(greet, sock=self._socket, limit=MAX_REQUEST)
            try:
                await self._sample()
            finally:
                self._is_closed = True
                server.close()
                self.path.unlink(missing_ok=True)

    async def _sample(self) -> None:
        while True:
            now = self._cell.clock.monotonic()
            self._rates.sample(status.points(self._cell), now)
            self._notices.expire(now)
            await asyncio.sleep(_SAMPLE_SECONDS)

    async def _serve(self, caller: Caller) -> None:
        self.callers += 1
        try:
            refusal = self._refusal(caller)
            if refusal is None:
                await self._converse(caller)
            else:
                await caller.say(refusal)
        except (OSError, TimeoutError):
            pass  # they hung up, or do not listen: nobody is left to tell
        except Exception:
            _log.exception("a request at the control door failed")
        finally:
            self.callers -= 1
            await caller.leave()

    def _refusal(self, caller: Caller) -> Failure | None:
        if self.callers > _MOST_CALLERS:
            return Failure(f"{_MOST_CALLERS} callers are here already", "close one of them, or try later")
        uid = caller.uid = peer(caller.socket)
        if uid in (0, os.geteuid()):
            return None
        self._notices.begin(f"control door, user id {uid}", "refused", self._cell.clock.monotonic())
        return Failure(
            f"user id {uid} may not talk to this gateway",
            f"only root and the user that the gateway runs as, user id {os.geteuid()}, may",
        )

    async def _converse(self, caller: Caller) -> None:
        """Until they hang up or fall silent."""
        while True:
            try:
                line = await caller.hear()
            except ValueError:
                await caller.say(Failure(f"a request is one line of at most {MAX_REQUEST} bytes"))
                return
            if not line:
                return
            try:
                request = _decoder.decode(line)
            except msgspec.MsgspecError as error:
                await caller.say(Failure(f"this is no request: {error}"))
                continue
            if isinstance(request, Watch):
                await self._watch(caller, request)
                return
            if isinstance(request, AnyErrand):
                await self._run(caller, request)
                return
            await caller.say(await self._desk.answer(request, caller.uid))

    async def _watch(self, caller: Caller, request: Watch) -> None:
        """Only what is there is looked at, so nothing piles up for somebody who reads slowly."""
        if failure := await self._desk.unknown(request.tags):
            await caller.say(failure)
            return
        changes = self._desk.changes(request.tags)
        while True:
            for readings in changes.look():
                if readings:
                    await caller.say(ReadingsReply(readings))
                await asyncio.sleep(0)
            if await caller.speaks(request.interval):
                return

    async def _run(self, caller: Caller, errand: AnyErrand) -> None:
        """As long as they listen: an errand ends when they say anything, or hang up."""
        async with asyncio.TaskGroup() as tasks:
            telling = tasks.create_task(self._report(caller, errand), name="errand")
            leaving = tasks.create_task(caller.leaves(), name="caller's end")
            await asyncio.wait((telling, leaving), return_when=asyncio.FIRST_COMPLETED)
            telling.cancel()
            leaving.cancel()

    async def _report(self, caller: Caller, errand: AnyErrand) -> None:
        with contextlib.suppress(OSError, TimeoutError):  # they hung up, or do not listen
            async with contextlib.aclosing(self._desk.run(errand, caller.uid)) as replies:
                async for reply in replies:
                    await caller.say(reply, _READ_SECONDS)


class Caller:
    """One connection. Lines in, lines out, and no wait without a bound."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.uid = -1
        self.socket: socket.socket = writer.get_extra_info("socket")
        self._reader = reader
        self._writer = writer

    async def hear(self) -> bytes:
        """A line; nothing when they hung up. Raises ValueError for a line that is too long, TimeoutError for none."""
        async with asyncio.timeout(_IDLE_SECONDS):
            return await self._reader.readline()

    async def say(self, reply: Reply, seconds: float | None = None) -> None:
        """Raises TimeoutError when they do not read within so many seconds, OSError when they are gone."""
        self._writer.write(msgspec.json.encode(reply) + b"\n")
        async with asyncio.timeout(seconds or _SEND_SECONDS):
            await self._writer.drain()

    async def speaks(self, seconds: float) -> bool:
        """Whether they say anything, or hang up, within so many seconds."""
        try:
            async with asyncio.timeout(seconds):
                await self._reader.read(1)
        except TimeoutError:
            return False
        return True

    async def leaves(self) -> None:
        """Until they say anything, or hang up."""
        with contextlib.suppress(OSError):
            await self._reader.read(1)

    async def leave(self) -> None:
        self._writer.close()
        try:
            async with asyncio.timeout(_CLOSE_SECONDS):
                await self._writer.wait_closed()
        except (OSError, TimeoutError):
            self._writer.transport.abort()


def peer(connection: socket.socket) -> int:
    """The user id at the other end, as the kernel knows it: SO_PEERCRED, unix(7)."""
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("iII"))
    uid: int = struct.unpack("iII", credentials)[1]
    return uid


def _clear(path: Path) -> None:
    """Away with the socket of a gateway that is no more. Raises ConfigError where something else is in the way."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise ConfigError(f"{path} is in the way: it is not a socket")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(_CLOSE_SECONDS)
        try:
            probe.connect(bytes(path))
        except ConnectionRefusedError:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise ConfigError(f"the control socket {path} cannot be looked at: {error}") from error
        else:
            raise ConfigError(f"another gateway answers at {path}")

"""A session with a stream of NATS: what is published, what is acknowledged, and what an answer means."""

from __future__ import annotations

import asyncio
import contextlib
import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import msgspec
import nats.errors
import nats.js.errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js.api import StreamConfig

from gateway.errors import ChunkRejected, ChunkTooLarge, ConnectionLost, GatewayError, ServerFailed, SinkHeld
from gateway.sinks._login import Login, Tls
from gateway.sinks._words import brief

MAX_IN_FLIGHT = 256
MAX_BYTES_IN_FLIGHT = 4 * 1024 * 1024

_HEADER_BYTES = 512
"""More than our headers take: a server counts them among the payload, and hangs up on one that is too large."""
_CLOSE_SECONDS = 1.0
_REFUSED = re.compile(r"authorization|authentication (?!timeout)|permissions violation")
_TOO_LARGE = 10054
_IN_USE = 10058
_OTHER_STREAM = 10060


class Parcel(NamedTuple):
    """A message to be published."""

    subject: str
    id: str
    body: bytes


@dataclass(frozen=True, slots=True)
class Terms:
    """Which server, as whom and how. `stream` must take what is published, whichever it is where it is None; `make`
    is a stream to be made where there is none of its name."""

    url: str
    name: str
    inbox: str
    timeout_s: float
    tls: Tls | None
    login: Login
    stream: str | None
    make: StreamConfig | None


class Flight(NamedTuple):
    """A message that is on its way. `acknowledged` gets what the stream said of it."""

    parcel: Parcel
    acknowledged: asyncio.Future[Msg]


class Session:
    """One connection to the server."""

    def __init__(self, terms: Terms) -> None:
        self._terms = terms
        self._client = Client()
        self._inbox = ""
        self._sent = 0
        self._flights: dict[str, Flight] = {}
        self._bytes = 0
        self._noted: Exception | None = None

    @property
    def is_over(self) -> bool:
        return self._client.is_closed

    async def open(self) -> None:
        """Raises `ConnectionLost` or `SinkHeld`."""
        terms = self._terms
        try:
            async with asyncio.timeout(terms.timeout_s):
                await self._client.connect(
                    terms.url,
                    name=terms.name,
                    tls=terms.tls,
                    allow_reconnect=False,
                    max_reconnect_attempts=1,  # 0 would mean for ever
                    reconnect_time_wait=0,
                    connect_timeout=math.ceil(terms.timeout_s),
                    pending_size=0,  # nothing is kept for a connection that is gone
                    inbox_prefix=terms.inbox,
                    error_cb=self._note,
                    closed_cb=self._end,
                    **terms.login,
                )
                if terms.tls is not None:
                    terms.tls.prove()
                self._inbox = self._client.new_inbox()
                await self._client.subscribe(f"{self._inbox}.*", cb=self._land)
                if terms.make is not None:
                    await self._make(terms.make)
        except (OSError, nats.errors.Error) as error:
            raise self._explain(error) from error

    def measure(self, parcels: Iterable[Parcel]) -> None:
        """Raises `ChunkTooLarge` before the server would hang up on a message that is too large for it."""
        limit = self._client.max_payload - _HEADER_BYTES
        largest = max(len(parcel.body) for parcel in parcels)
        if largest > limit:
            raise ChunkTooLarge(f"a message of {largest} bytes; the server takes {limit}")

    async def publish(self, parcels: Iterable[Parcel]) -> None:
        """Return when the stream has acknowledged every parcel. After an error the session is of no more use."""
        try:
            for parcel in parcels:
                while len(self._flights) >= MAX_IN_FLIGHT or self._bytes > MAX_BYTES_IN_FLIGHT:
                    await self._settle()
                await self._launch(parcel)
            while self._flights:
                await self._settle()
        except (OSError, nats.errors.Error) as error:
            raise self._explain(error) from error

    async def close(self) -> None:
        for flight in self._flights.values():
            flight.acknowledged.cancel()
        self._flights.clear()
        with contextlib.suppress(OSError, nats.errors.Error):
            async with asyncio.timeout(_CLOSE_SECONDS):
                await self._client.close()

    async def _launch(self, parcel: Parcel) -> None:
        self._sent += 1
        reply = f"{self._inbox}.{self._sent}"
        self._flights[reply] = Flight(parcel, asyncio.get_running_loop().create_future())
        self._bytes += len(parcel.body)
        headers = {"Nats-Msg-Id": parcel.id}
        if self._terms.stream is not None:
            headers["Nats-Expected-Stream"] = self._terms.stream
        await self._client.publish(parcel.subject, parcel.body, reply, headers)

    async def _settle(self) -> None:
        """Wait for the oldest message that is on its way. Raises what the stream has against it."""
        reply, (parcel, acknowledged) = next(iter(self._flights.items()))
        try:
            async with asyncio.timeout(self._terms.timeout_s):
                answer = await acknowledged
        except TimeoutError:
            # Where anybody at all listens, nobody says that there is no stream.
            wait = f"{self._terms.timeout_s:g} s"
            raise ConnectionLost(f"no stream acknowledged {parcel.subject} within {wait}: is there one?") from None
        if (objection := judge(answer, parcel.subject)) is not None:
            raise objection
        del self._flights[reply]
        self._bytes -= len(parcel.body)

    async def _land(self, answer: Msg) -> None:
        flight = self._flights.get(answer.subject)
        if flight is not None and not flight.acknowledged.done():
            flight.acknowledged.set_result(answer)

    async def _note(self, error: Exception) -> None:
        """What the library says beside what it raises. A subject that is forbidden is never answered."""
        self._noted = error
        if "permissions violation" in str(error).lower():
            self._fail(SinkHeld(brief(str(error))))

    async def _end(self) -> None:
        self._fail(self._explain(nats.errors.ConnectionClosedError()))

    def _fail(self, error: GatewayError) -> None:
        for flight in self._flights.values():
            if not flight.acknowledged.done():
                flight.acknowledged.set_exception(error)
                flight.acknowledged.exception()  # only the first is ever waited for

    def _explain(self, error: Exception) -> GatewayError:
        """What to do next, in the words that say most."""
        if isinstance(error, nats.js.errors.APIError):
            return refusal(error.code or 0, error.err_code or 0, error.description or "")
        known = self._client.last_error
        cause = (None if isinstance(known, nats.errors.NoServersError) else known) or self._noted or error
        text = f"{self._terms.url}: {brief(str(cause)) or type(cause).__name__}"
        if isinstance(error, TimeoutError) and cause is error:
            text = f"{self._terms.url} gave no answer within {self._terms.timeout_s:g} s"
        if isinstance(cause, nats.errors.AuthorizationError) or _REFUSED.search(text.lower()):
            return SinkHeld(text)
        return ConnectionLost(text)

    async def _make(self, stream: StreamConfig) -> None:
        try:
            await self._client.jetstream(timeout=self._terms.timeout_s).add_stream(stream)
        except nats.js.errors.APIError as error:
            if error.err_code != _IN_USE:  # it is there, as somebody else wants it
                raise SinkHeld(f"the stream {stream.name} cannot be made: {error.description}") from error


class _Error(msgspec.Struct):
    code: int = 0
    err_code: int = 0
    description: str = ""


class _Answer(msgspec.Struct):
    stream: str = ""
    error: _Error | None = None


def judge(answer: Msg, subject: str) -> GatewayError | None:
    """What the answer to a message means: None where a stream has it."""
    if not answer.data and (answer.headers or {}).get("Status") == "503":
        return SinkHeld(f"no stream takes {subject}: make one that has this subject, or set create_stream")
    try:
        decoded = msgspec.json.decode(answer.data, type=_Answer)
    except msgspec.DecodeError:
        decoded = _Answer()
    if decoded.error is not None:
        return refusal(decoded.error.code, decoded.error.err_code, decoded.error.description)
    # Anybody who listens to the subject may answer; only a stream acknowledges.
    return None if decoded.stream else SinkHeld(f"somebody else than a stream answers {subject}")


def refusal(code: int, detail: int, description: str) -> GatewayError:
    """The errors of JetStream: https://github.com/nats-io/nats-server/blob/main/server/errors.json"""
    reason = f"{code} ({detail}): {brief(description)}"
    if detail == _TOO_LARGE:
        return ChunkTooLarge(reason)
    if "exceeded" in description or "insufficient" in description:
        return SinkHeld(f"{reason}: it is full, and may not forget what it has")
    if code == 503:
        return ConnectionLost(reason)
    if code >= 500:
        return ServerFailed(reason)
    return ChunkRejected(reason) if code == 400 and detail != _OTHER_STREAM else SinkHeld(reason)

"""NATS JetStream: a message a row and a message an event, each acknowledged by the stream that keeps it.

Every message bears `Nats-Msg-Id`. Within its duplicate window the stream drops what comes a second time; after that,
the id tells the copies. A session is one client, made fresh and never reopened: the library's own reconnecting is off.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import math
import re
import ssl
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import zip_longest
from pathlib import Path
from typing import Literal, NamedTuple, TypedDict
from urllib.parse import urlsplit

import msgspec
import nats.errors
import nats.js.errors
import nkeys
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js.api import StreamConfig
from pydantic import Field, field_validator, model_validator

from gateway import contracts, fields
from gateway.clock import SECOND
from gateway.contracts import Ability, Repeats
from gateway.errors import ChunkRejected, ChunkTooLarge, ConnectionLost, GatewayError, ServerFailed, SinkHeld
from gateway.fields import Duration, Secret, parse_duration
from gateway.model import AnyEvent, Rows
from gateway.sinks._record import Place, event_records, row_records
from gateway.sinks._secret import reveal
from gateway.sinks._transport import printable

MAX_IN_FLIGHT = 256
MAX_BYTES_IN_FLIGHT = 4 * 1024 * 1024
_HEADER_BYTES = 512
"""More than our headers take: a server counts them among the payload, and hangs up on one that is too large."""
_CLOSE_SECONDS = 1.0
_PLACEHOLDER = re.compile(r"\{(\w*)\}")
_UNFIT = re.compile(r"[\s.*>\x00-\x1f\x7f]")
_MAX_TOKEN = 128
_CREDENTIALS = re.compile(r"BEGIN NATS USER JWT-+\s+(\S+)\s.*BEGIN USER NKEY SEED-+\s+(\S+)\s", re.DOTALL)
_REFUSED = re.compile(r"authorization|authentication (?!timeout)|permissions violation")
_TOO_LARGE = 10054
_IN_USE = 10058
_OTHER_STREAM = 10060


class Settings(fields.SinkSettings):
    """Which server, as whom, and under which subjects."""

    sink: Literal["nats"]
    url: str = Field(description="where the server listens: nats://127.0.0.1:4222, or tls://… for TLS")
    subject: str = Field(
        default="edgeward.{site}.{cell}.{device}.{group}",
        description="of a row; what stands in a name and no subject can carry (a dot, a star, a space) becomes _",
    )
    event_subject: str = Field(default="edgeward.{site}.{cell}.events.{type}", description="of an event")
    stream: str | None = Field(
        default=None, pattern=r"^[A-Za-z0-9_-]+$", description="the stream that must take them; any unless set"
    )
    create_stream: bool = Field(default=False, description="make the stream where it is missing")
    max_age: Duration | None = Field(default=None, gt=0, description="how long the stream that is made keeps a message")
    max_bytes: int | None = Field(default=None, gt=0, description="how much it keeps; the oldest goes first")
    replicas: int = Field(default=1, ge=1, le=5, description="how many servers keep it")
    duplicate_window: Duration = Field(
        default=parse_duration("2m"), gt=0, description="for how long it drops what comes a second time"
    )
    username: str | None = Field(default=None, description="the user")
    password: Secret | None = Field(default=None, description="the user's password")
    token: Secret | None = Field(default=None, description="a token, where the server asks for one")
    nkey: Secret | None = Field(default=None, description="the seed of a user's key, SU…")
    credentials: Secret | None = Field(default=None, description="a user's .creds file")
    inbox: str = Field(
        default="_INBOX", pattern=r"^[^\s.*>]+(\.[^\s.*>]+)*$", description="where this user may be answered"
    )
    timeout: Duration = Field(default=parse_duration("10s"), gt=0, description="how long an acknowledgement may take")
    ca_file: Path | None = Field(default=None, description="certificates to trust instead of the system's, PEM")
    certificate: Path | None = Field(default=None, description="our own certificate, PEM")
    key: Path | None = Field(default=None, description="the private key of our own certificate, PEM")

    @field_validator("url")
    @classmethod
    def _plain_url(cls, url: str) -> str:
        parts = urlsplit(url)
        if parts.scheme not in ("nats", "tls") or not parts.hostname:
            raise ValueError(
                "write the URL of the server, such as nats://127.0.0.1:4222 or tls://nats.example.com:4222"
            )
        if "@" in parts.netloc:
            raise ValueError("a secret does not stand in the configuration: give username and password, or token")
        _ = parts.port  # raises ValueError where it is none
        if parts.path.strip("/") or parts.query or parts.fragment:
            raise ValueError("the URL ends after the port")
        return url

    @field_validator("subject")
    @classmethod
    def _subject_of_rows(cls, subject: str) -> str:
        return _template(subject, ("site", "cell", "device", "group"))

    @field_validator("event_subject")
    @classmethod
    def _subject_of_events(cls, subject: str) -> str:
        return _template(subject, ("site", "cell", "type"))

    @model_validator(mode="after")
    def _complete(self) -> Settings:
        if (self.username is None) != (self.password is None):
            raise ValueError("give username and password together")
        if sum(way is not None for way in (self.username, self.token, self.nkey, self.credentials)) > 1:
            raise ValueError("give only one of username, token, nkey and credentials")
        if (self.certificate is None) != (self.key is None):
            raise ValueError("a certificate needs its key, and a key its certificate")
        if (self.certificate or self.ca_file) and not self.is_secure:
            raise ValueError("certificates are for TLS: write the URL as tls://…")
        return self

    @model_validator(mode="after")
    def _has_a_stream_to_make(self) -> Settings:
        if self.create_stream and self.stream is None:
            raise ValueError("create_stream needs the name of the stream")
        made = {"max_age", "max_bytes", "replicas", "duplicate_window"} & self.model_fields_set
        if made and not self.create_stream:
            raise ValueError(f"{', '.join(sorted(made))} is for a stream that is made here: add create_stream: true")
        return self

    @property
    def is_secure(self) -> bool:
        return urlsplit(self.url).scheme == "tls"


class Message(NamedTuple):
    subject: str
    id: str
    body: bytes


class Sink(contracts.Sink):
    """Renders on a thread of its own, and sends on the event loop."""

    ability = Ability(precision=1, repeats=Repeats.IGNORED, typed=False)
    """Ignored for as long as the stream's duplicate window lasts."""

    def __init__(self, settings: Settings, site: str, cell: str) -> None:
        self._settings = settings
        self._place = Place(site, cell)
        self._session: Session | None = None
        self._hand = ThreadPoolExecutor(1, "nats")

    async def write(self, rows: Sequence[Rows]) -> None:
        await self._send(lambda: self._rows(rows))

    async def report(self, events: Sequence[AnyEvent]) -> None:
        await self._send(lambda: self._events(events))

    async def close(self) -> None:
        self._hand.shutdown(wait=False, cancel_futures=True)
        await self._leave()

    def _rows(self, batches: Sequence[Rows]) -> list[Message]:
        template, place = self._settings.subject, self._place
        subjects = {
            (rows.schema.device, rows.schema.group): subject_of(
                template, place._asdict() | {"device": rows.schema.device, "group": rows.schema.group}
            )
            for rows in batches
        }
        return [
            Message(subjects[row.device, row.group], row.id(place), row.body) for row in row_records(batches, place)
        ]

    def _events(self, events: Sequence[AnyEvent]) -> list[Message]:
        template, place = self._settings.event_subject, self._place
        return [
            Message(subject_of(template, place._asdict() | {"type": event.type}), event.id(place), event.body)
            for event in event_records(events, place)
        ]

    async def _send(self, render: Callable[[], list[Message]]) -> None:
        messages = await asyncio.get_running_loop().run_in_executor(self._hand, render)
        if not messages:
            return
        session = await self._enter()
        session.measure(messages)
        async with contextlib.AsyncExitStack() as stack:
            stack.push_async_callback(self._leave)  # whatever goes wrong: what is in flight would answer the next write
            await session.publish(messages)
            stack.pop_all()

    async def _enter(self) -> Session:
        if self._session is None or self._session.is_over:
            await self._leave()
            tls = secured(self._settings) if self._settings.is_secure else None
            self._session = Session(self._settings, tls, login(self._settings, tls))
            async with contextlib.AsyncExitStack() as stack:
                stack.push_async_callback(self._leave)
                await self._session.open(f"edgeward {self._place.site}/{self._place.cell}")
                stack.pop_all()
        return self._session

    async def _leave(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            await session.close()


class Flight(NamedTuple):
    """A message that is on its way. `acknowledged` gets what the stream said of it."""

    message: Message
    acknowledged: asyncio.Future[Msg]


class Session:
    """One connection to the server."""

    def __init__(self, settings: Settings, tls: Tls | None, login: Login) -> None:
        self._settings = settings
        self._tls = tls
        self._login = login
        self._timeout_s = settings.timeout / SECOND
        self._client = Client()
        self._inbox = ""
        self._sent = 0
        self._flights: dict[str, Flight] = {}
        self._bytes = 0
        self._noted: Exception | None = None

    @property
    def is_over(self) -> bool:
        return self._client.is_closed

    async def open(self, name: str) -> None:
        """Raises `ConnectionLost` or `SinkHeld`."""
        settings = self._settings
        try:
            async with asyncio.timeout(self._timeout_s):
                await self._client.connect(
                    settings.url,
                    name=name,
                    tls=self._tls,
                    allow_reconnect=False,
                    max_reconnect_attempts=1,  # 0 would mean for ever
                    reconnect_time_wait=0,
                    connect_timeout=math.ceil(self._timeout_s),
                    pending_size=0,  # nothing is kept for a connection that is gone
                    inbox_prefix=settings.inbox,
                    error_cb=self._note,
                    closed_cb=self._end,
                    **self._login,
                )
                if self._tls is not None:
                    self._tls.prove()
                self._inbox = self._client.new_inbox()
                await self._client.subscribe(f"{self._inbox}.*", cb=self._land)
                if settings.create_stream:
                    await self._make_stream()
        except (OSError, nats.errors.Error) as error:
            raise self._explain(error) from error

    def measure(self, messages: Iterable[Message]) -> None:
        """Raises `ChunkTooLarge` before the server would hang up on a message that is too large for it."""
        limit = self._client.max_payload - _HEADER_BYTES
        largest = max(len(message.body) for message in messages)
        if largest > limit:
            raise ChunkTooLarge(f"a message of {largest} bytes; the server takes {limit}")

    async def publish(self, messages: Iterable[Message]) -> None:
        """Return when the stream has acknowledged every message. After an error the session is of no more use."""
        try:
            for message in messages:
                while len(self._flights) >= MAX_IN_FLIGHT or self._bytes > MAX_BYTES_IN_FLIGHT:
                    await self._settle()
                await self._launch(message)
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

    async def _launch(self, message: Message) -> None:
        self._sent += 1
        reply = f"{self._inbox}.{self._sent}"
        self._flights[reply] = Flight(message, asyncio.get_running_loop().create_future())
        self._bytes += len(message.body)
        headers = {"Nats-Msg-Id": message.id}
        if self._settings.stream is not None:
            headers["Nats-Expected-Stream"] = self._settings.stream
        await self._client.publish(message.subject, message.body, reply, headers)

    async def _settle(self) -> None:
        """Wait for the oldest message that is on its way. Raises what the stream has against it."""
        reply, (message, acknowledged) = next(iter(self._flights.items()))
        async with asyncio.timeout(self._timeout_s):
            answer = await acknowledged
        if (objection := judge(answer, message.subject)) is not None:
            raise objection
        del self._flights[reply]
        self._bytes -= len(message.body)

    async def _land(self, answer: Msg) -> None:
        flight = self._flights.get(answer.subject)
        if flight is not None and not flight.acknowledged.done():
            flight.acknowledged.set_result(answer)

    async def _note(self, error: Exception) -> None:
        """What the library says beside what it raises. A subject that is forbidden is never answered."""
        self._noted = error
        if "permissions violation" in str(error).lower():
            self._fail(SinkHeld(printable(str(error))))

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
        text = f"{self._settings.url}: {printable(str(cause)) or type(cause).__name__}"
        if isinstance(error, TimeoutError) and cause is error:
            text = f"{self._settings.url} gave no answer within {self._timeout_s:g} s"
        if isinstance(cause, nats.errors.AuthorizationError) or _REFUSED.search(text.lower()):
            return SinkHeld(text)
        return ConnectionLost(text)

    async def _make_stream(self) -> None:
        settings = self._settings
        config = StreamConfig(
            name=settings.stream,
            subjects=patterns((settings.subject, settings.event_subject)),
            max_age=None if settings.max_age is None else settings.max_age / SECOND,
            max_bytes=settings.max_bytes,
            num_replicas=settings.replicas,
            duplicate_window=settings.duplicate_window / SECOND,
        )
        try:
            await self._client.jetstream(timeout=self._timeout_s).add_stream(config)
        except nats.js.errors.APIError as error:
            if error.err_code != _IN_USE:  # it is there, as somebody else wants it
                raise SinkHeld(f"the stream {settings.stream} cannot be made: {error.description}") from error


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
    reason = f"{code} ({detail}): {printable(description)}"
    if detail == _TOO_LARGE:
        return ChunkTooLarge(reason)
    if "exceeded" in description or "insufficient" in description:
        return SinkHeld(f"{reason}: it is full, and may not forget what it has")
    if code == 503:
        return ConnectionLost(reason)
    if code >= 500:
        return ServerFailed(reason)
    return ChunkRejected(reason) if code == 400 and detail != _OTHER_STREAM else SinkHeld(reason)


def subject_of(template: str, parts: Mapping[str, str]) -> str:
    """A template with its parts in place, each of them one token of a subject."""
    return _PLACEHOLDER.sub(lambda match: _UNFIT.sub("_", parts[match[1]][:_MAX_TOKEN]) or "_", template)


def patterns(templates: Iterable[str]) -> list[str]:
    """The subjects of a stream that takes whatever these templates give; a stream refuses two that overlap."""
    split = [template.split(".") for template in templates]
    found = list(dict.fromkeys(".".join("*" if "{" in word else word for word in words) for words in split))
    return [one for one in found if not any(other != one and covers(other, one) for other in found)]


def covers(wide: str, narrow: str) -> bool:
    """Whether every subject of the one pattern is one of the other; words and `*` only."""
    pairs = list(zip_longest(wide.split("."), narrow.split(".")))
    return all(one == other or (one == "*" and other is not None) for one, other in pairs)


def _template(subject: str, names: Sequence[str]) -> str:
    if unknown := set(_PLACEHOLDER.findall(subject)) - set(names):
        raise ValueError(f"unknown {{{min(unknown)}}}: there is {', '.join(f'{{{name}}}' for name in names)}")
    tokens = _PLACEHOLDER.sub("x", subject).split(".")
    if subject.startswith("$") or not all(tokens) or any(_UNFIT.search(token) or "{" in token for token in tokens):
        raise ValueError("a subject is words between dots, with no space, * or >, and does not start with $")
    return subject


class Tls(ssl.SSLContext):
    """Knows whether it was used: where a server does not offer TLS, or somebody on the way takes the offer away, the
    library would go on in the clear."""

    is_used = False

    def wrap_bio(
        self,
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
        server_side: bool = False,
        server_hostname: str | bytes | None = None,
        session: ssl.SSLSession | None = None,
    ) -> ssl.SSLObject:
        self.is_used = True
        return super().wrap_bio(incoming, outgoing, server_side, server_hostname, session)

    def prove(self) -> None:
        """Raises `SinkHeld` where the connection is not secure; the handshake is over when anybody asks."""
        if not self.is_used:
            raise SinkHeld("the server offers no TLS, and the URL asks for it: nothing was sent")


def secured(settings: Settings) -> Tls:
    """TLS 1.2 or later; the server's certificate and host name are always verified. Raises `SinkHeld`."""
    context = Tls(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        if settings.ca_file is None:
            context.load_default_certs()
        else:
            context.load_verify_locations(settings.ca_file)
        if settings.certificate is not None:
            # Without a password to try, OpenSSL would ask for one at the terminal.
            context.load_cert_chain(settings.certificate, settings.key, password="")
    except OSError as error:  # ssl.SSLError is one
        raise SinkHeld(f"the certificates cannot be used: {printable(str(error))}") from error
    return context


class Login(TypedDict, total=False):
    """What the library is told about us."""

    user: Callable[[], str]
    password: Callable[[], str]
    token: Callable[[], str]
    nkeys_seed_str: str
    user_jwt_cb: Callable[[], bytes]
    signature_cb: Callable[[str], bytes]


def login(settings: Settings, tls: Tls | None) -> Login:
    """Secrets, read now and given only to a server that has proved who it is, where it has to. Raises `SinkHeld`."""

    def guarded(text: str) -> Callable[[], str]:
        def give() -> str:
            if tls is not None:
                tls.prove()
            return text

        return give

    if settings.password is not None:
        return {"user": guarded(str(settings.username)), "password": guarded(reveal(settings.password))}
    if settings.token is not None:
        return {"token": guarded(reveal(settings.token))}
    if settings.nkey is not None:
        # There is no token; but it is asked for before the signature is sent.
        return {"nkeys_seed_str": _seed(reveal(settings.nkey)), "token": guarded("")}
    if settings.credentials is not None:
        jwt, seed = _credentials(reveal(settings.credentials))
        give = guarded(jwt)
        return {"user_jwt_cb": lambda: give().encode(), "signature_cb": lambda nonce: sign(seed, nonce)}
    return {}


def _credentials(text: str) -> tuple[str, str]:
    """The JWT and the seed in a .creds file."""
    found = _CREDENTIALS.search(text + "\n")
    if found is None:
        raise SinkHeld("the credentials hold no user JWT with its seed: it is the whole .creds file that is needed")
    return found[1], _seed(found[2])


def _seed(text: str) -> str:
    sign(text, "")
    return text


def sign(seed: str, nonce: str) -> bytes:
    """The signature of a nonce, in base64. Raises `SinkHeld`, in whose words the seed never stands."""
    try:
        signature = nkeys.from_seed(bytearray(seed.encode())).sign(nonce.encode())
    except (nkeys.NkeysError, ValueError):  # binascii.Error is one
        raise SinkHeld("what should be the seed of a user's nkey (SU…) is none") from None
    return base64.b64encode(signature)

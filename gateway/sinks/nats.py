"""NATS JetStream: a message a row and a message an event, each acknowledged by the stream that keeps it.

Every message bears `Nats-Msg-Id`. Within its duplicate window the stream drops what comes a second time; after that,
the id tells the copies. A session is one client, made fresh and never reopened: the library's own reconnecting is off.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from nats.js.api import StreamConfig
from pydantic import Field, field_validator, model_validator

from gateway import contracts, fields
from gateway.clock import SECOND
from gateway.contracts import Ability, Repeats
from gateway.fields import Duration, Secret, parse_duration
from gateway.model import AnyEvent, Rows
from gateway.sinks._jetstream import Parcel, Session, Terms
from gateway.sinks._json import Message, event_messages, row_messages
from gateway.sinks._login import Login, Tls, by_credentials, by_nkey, guarded, secured
from gateway.sinks._secret import reveal
from gateway.sinks._stamp import stamp
from gateway.sinks._subject import check, patterns, subject_of


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
        return check(subject, ("site", "cell", "device", "group"))

    @field_validator("event_subject")
    @classmethod
    def _subject_of_events(cls, subject: str) -> str:
        return check(subject, ("site", "cell", "type"))

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

    def terms(self, name: str) -> Terms:
        """Reads the secrets. Raises `SinkHeld`."""
        tls = secured(self.ca_file, self.certificate, self.key) if self.is_secure else None
        timeout_s = self.timeout / SECOND
        return Terms(self.url, name, self.inbox, timeout_s, tls, self._login(tls), self.stream, self._new_stream())

    def _login(self, tls: Tls | None) -> Login:
        if self.password is not None:
            return {"user": guarded(str(self.username), tls), "password": guarded(reveal(self.password), tls)}
        if self.token is not None:
            return {"token": guarded(reveal(self.token), tls)}
        if self.nkey is not None:
            return by_nkey(reveal(self.nkey), tls)
        return {} if self.credentials is None else by_credentials(reveal(self.credentials), tls)

    def _new_stream(self) -> StreamConfig | None:
        if not self.create_stream:
            return None
        return StreamConfig(
            name=self.stream,
            subjects=patterns((self.subject, self.event_subject)),
            max_age=None if self.max_age is None else self.max_age / SECOND,
            max_bytes=self.max_bytes,
            num_replicas=self.replicas,
            duplicate_window=self.duplicate_window / SECOND,
        )


class Sink(contracts.Sink):
    """Renders on a thread of its own, and sends on the event loop."""

    ability = Ability(precision=1, repeats=Repeats.IGNORED, typed=False)
    """Ignored for as long as the stream's duplicate window lasts."""

    def __init__(self, settings: Settings, site: str, cell: str) -> None:
        self._settings = settings
        self._place = {"site": site, "cell": cell}
        self._session: Session | None = None
        self._hand = ThreadPoolExecutor(1, "nats")
        self._subject = lru_cache(4096)(self._fill)

    async def write(self, rows: Sequence[Rows]) -> None:
        await self._send(lambda: self._parcels(row_messages(rows, self._place)))

    async def report(self, events: Sequence[AnyEvent]) -> None:
        await self._send(lambda: self._parcels(event_messages(events, self._place)))

    async def close(self) -> None:
        self._hand.shutdown(wait=False, cancel_futures=True)
        await self._leave()

    def _parcels(self, messages: Iterable[Message]) -> list[Parcel]:
        return [
            Parcel(self._subject(each.device, each.group, each.kind), stamp(each, **self._place), each.body)
            for each in messages
        ]

    def _fill(self, device: str, group: str, kind: str) -> str:
        template = self._settings.event_subject if kind else self._settings.subject
        return subject_of(template, {**self._place, "device": device, "group": group, "type": kind})

    async def _send(self, render: Callable[[], list[Parcel]]) -> None:
        parcels = await asyncio.get_running_loop().run_in_executor(self._hand, render)
        if not parcels:
            return
        session = await self._enter()
        session.measure(parcels)
        async with contextlib.AsyncExitStack() as stack:
            stack.push_async_callback(self._leave)  # whatever goes wrong: what is in flight would answer the next write
            await session.publish(parcels)
            stack.pop_all()

    async def _enter(self) -> Session:
        if self._session is None or self._session.is_over:
            await self._leave()
            self._session = Session(self._settings.terms(f"edgeward {self._place['site']}/{self._place['cell']}"))
            async with contextlib.AsyncExitStack() as stack:
                stack.push_async_callback(self._leave)
                await self._session.open()
                stack.pop_all()
        return self._session

    async def _leave(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            await session.close()

"""HTTP: rows and events as JSON, posted to one URL.

Every row bears an id, and every request an `Idempotency-Key` that is the same when the same content is sent again.
Nothing is sent to an address that the allow-list does not cover, and no redirect is followed.
"""

from __future__ import annotations

import gzip
import hashlib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal
from urllib.parse import SplitResult, parse_qsl, urlsplit

from pydantic import Field, field_validator, model_validator
from urllib3.exceptions import ConnectTimeoutError, NewConnectionError

from gateway import contracts, fields
from gateway.contracts import Ability, Repeats
from gateway.errors import ConnectionLost, GatewayError, SinkHeld
from gateway.fields import Duration, Secret, parse_duration
from gateway.model import AnyEvent, Rows
from gateway.sinks._egress import Address, Egress, parse
from gateway.sinks._json import Message, event_messages, row_messages
from gateway.sinks._secret import basic, header_value
from gateway.sinks._stamp import stamp
from gateway.sinks._transport import Courier, Pool, refusal
from gateway.sinks._words import brief

_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_OURS = {"host", "content-type", "content-length", "content-encoding", "transfer-encoding", "connection", "expect"}
_OURS |= {"idempotency-key"}
_CONFIDENTIAL = re.compile(r"auth|cookie|token|secret|passw|key|credential|\bsig", re.IGNORECASE)
_BY_REFERENCE = "a secret does not stand in the configuration"


class Settings(fields.SinkSettings):
    """Where to post to, and as whom."""

    sink: Literal["http"]
    url: str = Field(description="where to post to, such as https://historian.example.com/ingest")
    method: Literal["POST", "PUT"] = "POST"
    format: Literal["json", "ndjson"] = Field(
        default="json", description='json: {"rows": [...]} or {"events": [...]}; ndjson: a line each'
    )
    headers: Mapping[str, str | Secret] = Field(
        default={}, description="headers of every request; a value is text, or {env: NAME} or {file: PATH}"
    )
    token: Secret | None = Field(default=None, description="a bearer token")
    username: str | None = Field(default=None, description="the user, for basic authentication")
    password: Secret | None = Field(default=None, description="the user's password")
    allow: tuple[str, ...] = Field(
        default=(),
        description="the only hosts, addresses and networks (10.1.2.0/24) that may be connected to; the host of the "
        "URL unless set, and then only at a public address, or at the address that stands in the URL",
    )
    timeout: Duration = Field(default=parse_duration("10s"), gt=0, description="how long one request may take in all")
    gzip: bool = Field(default=False, description="compress requests; the server must take that")
    ca_file: Path | None = Field(default=None, description="certificates to trust instead of the system's, PEM")
    certificate: Path | None = Field(default=None, description="our own certificate, PEM")
    key: Path | None = Field(default=None, description="the private key of our own certificate, PEM")

    @field_validator("url")
    @classmethod
    def _plain_url(cls, url: str) -> str:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or not url.isascii() or not url.isprintable():
            raise ValueError("write the URL to post to, such as https://historian.example.com/ingest")
        parse(parts.hostname)
        if "@" in parts.netloc:
            raise ValueError(f"{_BY_REFERENCE}: give username and password, or token")
        if any(_CONFIDENTIAL.search(name) for name, _ in parse_qsl(parts.query, keep_blank_values=True)):
            raise ValueError(f"{_BY_REFERENCE}, nor in a URL: give token, or a header by reference")
        if parts.fragment:
            raise ValueError("the URL ends before #: no server ever sees what follows")
        _ = parts.port  # raises ValueError where it is none
        return url

    @field_validator("headers")
    @classmethod
    def _bearable(cls, headers: Mapping[str, str | Secret]) -> Mapping[str, str | Secret]:
        for name, value in headers.items():
            if not _HEADER.fullmatch(name):
                raise ValueError(f"{name!r} cannot be the name of a header")
            if name.lower() in _OURS:
                raise ValueError(f"{name} is set by the gateway itself")
            if isinstance(value, str) and _CONFIDENTIAL.search(name):
                raise ValueError(f"{_BY_REFERENCE}: write {name}: {{env: NAME}} or {{file: PATH}}")
            if isinstance(value, str) and not (value.isascii() and value.isprintable()):
                raise ValueError(f"the value of {name} holds characters that an HTTP header cannot carry")
        return headers

    @field_validator("allow")
    @classmethod
    def _all_places(cls, allow: tuple[str, ...]) -> tuple[str, ...]:
        for entry in allow:
            parse(entry)
        return allow

    @model_validator(mode="after")
    def _complete(self) -> Settings:
        if (self.username is None) != (self.password is None):
            raise ValueError("give username and password together")
        written = "authorization" in {name.lower() for name in self.headers}
        if (self.token is not None) + (self.username is not None) + written > 1:
            raise ValueError("give only one of token, username and the header Authorization")
        if (self.certificate is None) != (self.key is None):
            raise ValueError("a certificate needs its key, and a key its certificate")
        if (self.certificate or self.ca_file) and self.parts.scheme != "https":
            raise ValueError("certificates are for https, and the URL says http")
        return self

    @model_validator(mode="after")
    def _allowed(self) -> Settings:
        if objection := self.egress.veto(self.host):
            raise ValueError(f"the host of the URL, {self.host}, {objection}")
        return self

    @property
    def parts(self) -> SplitResult:
        return urlsplit(self.url)

    @property
    def host(self) -> str:
        return str(self.parts.hostname).rstrip(".")

    @property
    def port(self) -> int:
        return self.parts.port or (443 if self.parts.scheme == "https" else 80)

    @property
    def egress(self) -> Egress:
        return Egress.of(self.host, self.allow)


class Sink(contracts.Sink):
    """Renders and sends on one thread of its own."""

    ability = Ability(precision=1, repeats=Repeats.MARKED, typed=False)

    def __init__(self, settings: Settings, site: str, cell: str) -> None:
        self._settings = settings
        self._place = {"site": site, "cell": cell}
        self._headers: dict[str, str] | None = None
        self._route = Route(settings)
        self._courier = Courier("http", settings.url, settings.timeout / 1e9)

    async def write(self, rows: Sequence[Rows]) -> None:
        await self._courier.run(lambda: self._send("rows", list(row_messages(rows, self._place))))

    async def report(self, events: Sequence[AnyEvent]) -> None:
        await self._courier.run(lambda: self._send("events", list(event_messages(events, self._place))))

    async def close(self) -> None:
        """At once: a request that hangs is not waited for."""
        self._route.close()
        self._courier.close()

    def _send(self, kind: str, messages: Sequence[Message]) -> None:
        if not messages:
            return
        bodies = [b'{"id":"%b",%b' % (stamp(each, **self._place).encode(), each.body[1:]) for each in messages]
        body = b"\n".join([*bodies, b""])
        if self._settings.format == "json":
            body = b'{"%b":[%b]}' % (kind.encode(), b",".join(bodies))
        try:
            if self._headers is None:
                self._headers = headers(self._settings)
            key = {"Idempotency-Key": hashlib.sha256(body).hexdigest()}
            # Without a time in its header, what is sent again is the same to the last byte.
            self._route.post(gzip.compress(body, 1, mtime=0) if self._settings.gzip else body, self._headers | key)
        except SinkHeld:
            self._headers = None  # somebody may renew the secret: read it again next time
            raise


class Route:
    """The way to one URL: where its host was found and judged, and the connection to there."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        # The connection is made to an address; TLS and the Host header go by the name that it was found under.
        tls = {"server_hostname": settings.host}
        if settings.certificate is not None:
            tls |= {"cert_file": str(settings.certificate), "key_file": str(settings.key)}
        self._pool = Pool(settings.timeout / 1e9, settings.ca_file, judge, **tls)
        self._address: Address | None = None

    def post(self, body: bytes, headers: Mapping[str, str]) -> None:
        """Return when the server has taken it. After a lost connection the host is looked up, and judged, anew."""
        settings = self._settings
        known, self._address = self._address, None
        *others, last = [known] if known else settings.egress.resolve(settings.host, settings.port)
        for address in others:
            try:
                return self._post(address, body, headers)
            except ConnectionLost as error:
                if not isinstance(error.__cause__, (NewConnectionError, ConnectTimeoutError)):
                    raise
        return self._post(last, body, headers)

    def _post(self, address: Address, body: bytes, headers: Mapping[str, str]) -> None:
        parts = self._settings.parts
        place = f"[{address}]" if address.version == 6 else str(address)
        url = parts._replace(netloc=f"{place}:{self._settings.port}").geturl()
        try:
            self._pool.request(self._settings.method, url, body=body, headers=headers)
        except ConnectionLost:
            raise
        except GatewayError:
            self._address = address
            raise
        self._address = address

    def close(self) -> None:
        self._pool.clear()


def headers(settings: Settings) -> dict[str, str]:
    """What stands above every request. Raises `SinkHeld` where a secret cannot be had."""
    found = {name: value if isinstance(value, str) else header_value(value) for name, value in settings.headers.items()}
    if "user-agent" not in {name.lower() for name in found}:
        found["User-Agent"] = "edgeward"
    if settings.token is not None:
        found["Authorization"] = f"Bearer {header_value(settings.token)}"
    if settings.password is not None:
        found["Authorization"] = basic(str(settings.username), settings.password)
    if settings.gzip:
        found["Content-Encoding"] = "gzip"
    kind = "application/json" if settings.format == "json" else "application/x-ndjson"
    return found | {"Host": settings.parts.netloc, "Content-Type": kind}


def judge(status: int, headers: Mapping[str, str], body: bytes) -> None:
    """Any 2xx is a yes, whatever else it says: nobody knows how a server tells of rows that it left out."""
    if 200 <= status < 300:
        return
    if 300 <= status < 400:
        place = brief(headers.get("Location", "")) or "elsewhere"
        raise SinkHeld(
            f"{status}: it redirects to {place}, and redirects are not followed: set url to where it belongs"
        )
    raise refusal(status, headers, body)

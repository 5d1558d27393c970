"""InfluxDB, and servers that take its line protocol: version 2 by influxdb-client, version 1 by plain HTTP.

influxdb-client speaks only `/api/v2/write`, which InfluxDB before 1.8 does not have. It also reads answers of any
length, so its connection pool is replaced by ours.
"""

from __future__ import annotations

import gzip
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Literal, TypeAlias
from urllib.parse import urlencode, urlsplit

from pydantic import Field, field_validator, model_validator

from gateway import contracts, fields
from gateway.clock import MILLISECOND
from gateway.contracts import Ability, Repeats
from gateway.errors import SinkHeld
from gateway.fields import Duration, Secret, parse_duration
from gateway.model import AnyEvent, Rows
from gateway.sinks._line import Dialect, Renderer, Unsigned
from gateway.sinks._point import render_events
from gateway.sinks._secret import basic, header_value
from gateway.sinks._transport import Courier, Pool

Post: TypeAlias = Callable[[bytes], None]


class Settings(fields.SinkSettings):
    """Where to write to, and as whom."""

    sink: Literal["influxdb"]
    url: str = Field(description="where the server listens, such as http://127.0.0.1:8086")
    version: Literal["v1", "v2"] = Field(default="v2", description="v2 writes to /api/v2/write, v1 to /write?db=")
    server: Literal["influxdb", "victoriametrics"] = Field(
        default="influxdb",
        description="victoriametrics keeps milliseconds and no strings: string values are not sent to it",
    )
    org: str | None = Field(default=None, description="v2: the organisation")
    bucket: str | None = Field(default=None, description="v2: the bucket")
    token: Secret | None = Field(default=None, description="v2: an API token that may write to the bucket")
    database: str | None = Field(default=None, description="v1: the database")
    retention_policy: str | None = Field(default=None, description="v1: the retention policy, if not the default")
    username: str | None = Field(default=None, description="v1: the user")
    password: Secret | None = Field(default=None, description="v1: the user's password")
    timeout: Duration = Field(default=parse_duration("10s"), gt=0, description="how long one request may take in all")
    gzip: bool = Field(default=False, description="compress requests: for slow links; on a LAN it only costs CPU")
    ca_file: Path | None = Field(default=None, description="certificates to trust instead of the system's, PEM")
    unsigned: Unsigned | None = Field(
        default=None,
        description="how uint64 is written: unsigned (the default for v2), integer (for v1, which has no unsigned), "
        "float or string; what that cannot hold goes as text into the field <tag>.text",
    )

    @field_validator("url")
    @classmethod
    def _plain_url(cls, url: str) -> str:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("write the URL of the server, such as http://127.0.0.1:8086")
        if "@" in parts.netloc:
            raise ValueError("a secret does not stand in the configuration: give username and password, or token")
        _ = parts.port  # raises ValueError where it is none
        if parts.query or parts.fragment:
            raise ValueError("the URL ends before ? and #: database, org and bucket are settings of their own")
        return url.rstrip("/")

    @model_validator(mode="after")
    def _complete(self) -> Settings:
        needed = {"v1": ("database",), "v2": ("org", "bucket")}[self.version]
        foreign = {"v1": ("org", "bucket", "token"), "v2": ("database", "retention_policy", "username", "password")}
        if missing := [name for name in needed if not getattr(self, name)]:
            raise ValueError(f"version {self.version} needs {' and '.join(missing)}")
        if surplus := [name for name in foreign[self.version] if getattr(self, name) is not None]:
            raise ValueError(f"version {self.version} has no {' and no '.join(surplus)}")
        if (self.username is None) != (self.password is None):
            raise ValueError("give username and password together")
        return self

    @property
    def dialect(self) -> Dialect:
        default: Unsigned = "unsigned" if self.version == "v2" else "integer"
        return Dialect(self.unsigned or default, strings=self.server == "influxdb")

    @property
    def ability(self) -> Ability:
        if self.server == "victoriametrics":
            return Ability(precision=MILLISECOND, repeats=Repeats.KEPT, typed=False)
        return Ability(precision=1, repeats=Repeats.OVERWRITTEN, typed=True)


class Sink(contracts.Sink):
    """Renders and sends on one thread of its own."""

    def __init__(self, settings: Settings, site: str, cell: str) -> None:
        self.ability = settings.ability
        self._settings = settings
        self._site = site
        self._cell = cell
        self._renderer = Renderer(site, cell, settings.dialect)
        self._pool = Pool(settings.timeout / 1e9, settings.ca_file)
        self._post: Post | None = None
        if settings.version == "v2":
            # It costs 0.4 s and 30 MiB, so nobody else pays for it; and now, because later it would be held against the
            # time that the first request may take.
            import_module("influxdb_client")
        self._courier = Courier("influxdb", settings.url, settings.timeout / 1e9)

    async def write(self, rows: Sequence[Rows]) -> None:
        await self._courier.run(lambda: self._send(self._renderer.render(rows)))

    async def report(self, events: Sequence[AnyEvent]) -> None:
        dialect = self._settings.dialect
        await self._courier.run(lambda: self._send(render_events(events, self._site, self._cell, dialect)))

    async def close(self) -> None:
        """At once: a request that hangs is not waited for."""
        self._pool.clear()
        self._courier.close()

    def _send(self, body: bytes) -> None:
        if not body:
            return
        try:
            if self._post is None:
                self._post = _POSTS[self._settings.version](self._settings, self._pool)
            # influxdb-client would compress at level 9: a fifth smaller yet, in 40 times the time.
            self._post(gzip.compress(body, 1) if self._settings.gzip else body)
        except SinkHeld:
            self._post = None  # somebody may renew the secret: read it again next time
            raise


def _post_v1(settings: Settings, pool: Pool) -> Post:
    query = {"db": settings.database, "rp": settings.retention_policy, "precision": "ns"}
    url = f"{settings.url}/write?{urlencode({key: value for key, value in query.items() if value})}"
    headers = {"Content-Type": "text/plain; charset=utf-8"}
    if settings.password is not None:
        headers["Authorization"] = basic(str(settings.username), settings.password)
    if settings.gzip:
        headers["Content-Encoding"] = "gzip"

    def post(body: bytes) -> None:
        pool.request("POST", url, body=body, headers=headers)

    return post


def _post_v2(settings: Settings, pool: Pool) -> Post:
    from influxdb_client.client.influxdb_client import InfluxDBClient
    from influxdb_client.client.write_api import SYNCHRONOUS

    token = "" if settings.token is None else header_value(settings.token)
    bucket, org = str(settings.bucket), str(settings.org)
    client = InfluxDBClient(settings.url, token, org=org)
    client.api_client.rest_client.pool_manager = pool  # type: ignore[assignment]
    if settings.gzip:
        client.api_client.default_headers["Content-Encoding"] = "gzip"
    api = client.write_api(write_options=SYNCHRONOUS)

    def post(body: bytes) -> None:
        api.write(bucket, org, body)  # in nanoseconds, its default

    return post


_POSTS: dict[str, Callable[[Settings, Pool], Post]] = {"v1": _post_v1, "v2": _post_v2}

"""What people write about CoAP links, resources and paths."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Literal, TypeAlias

from pydantic import AfterValidator, Field, model_validator

from drivers.coap import resource
from gateway import fields
from gateway.fields import Duration, Interval, Settings, parse_duration
from gateway.payload import settings as payload

KIB = 1024


def _template(text: str, *, tag: bool) -> str:
    resource.check_template(text, tag=tag)
    return text


Resource: TypeAlias = Annotated[str, AfterValidator(partial(_template, tag=False))]
Path: TypeAlias = Annotated[str, AfterValidator(partial(_template, tag=True))]


class ListenSettings(Settings):
    """Where devices report to. Nobody proves who they are: leave loopback only for a network of its own."""

    host: str = Field("127.0.0.1", min_length=1, max_length=253, description="our own address; 0.0.0.0 or :: for all")
    port: int = Field(5683, ge=1, le=65_535)


class LinkSettings(fields.LinkSettings):
    """One server that we ask, or one port that devices report to."""

    host: str | None = Field(None, min_length=1, max_length=253, description="the server that we ask")
    port: int = Field(5683, ge=1, le=65_535, description="the server's")
    listen: ListenSettings | None = Field(None, description="be the server instead; {} for loopback at port 5683")
    timeout: Duration = Field(
        parse_duration("10s"), gt=0, description="how long to wait for an answer, two retransmissions included"
    )
    keepalive: Duration = Field(
        parse_duration("30s"),
        ge=0,
        description="how often a quiet server is pinged; 0s for one that answers no pings: then nothing tells its loss",
    )
    margin: Duration = Field(
        parse_duration("10s"),
        gt=0,
        description="how long an observation is overdue, give or take half, before it is registered again",
    )
    max_payload: int = Field(64 * KIB, ge=1, description="a longer payload is refused, bytes, all blocks together")

    @model_validator(mode="after")
    def _asks_or_listens(self) -> LinkSettings:
        if (self.host is None) == (self.listen is None):
            raise ValueError("give either host, to ask a server, or listen, to be one")
        if self.listen is not None and "port" in self.model_fields_set:
            raise ValueError("the port to listen on stands in listen: {port: 5683}")
        return self


class CommandSettings(Settings):
    """How a new value reaches the device: as the payload of one request."""

    resource: Path = Field(description="{device} and a level {tag} stand for their names")
    method: Literal["put", "post"] = "put"


class TagSettings(payload.TagSettings):
    """One value of a payload, and where a new one goes to."""

    command: CommandSettings | None = Field(None, description="where a new value is written to")

    @model_validator(mode="after")
    def _can_be_written(self) -> TagSettings:
        if self.writable and self.command is None:
            raise ValueError("a writable tag needs a command: {resource: /path}")
        return self


class GroupSettings(payload.GroupSettings, fields.PolledSettings):
    """One resource that we read, or one path that devices report to, and what its payloads hold."""

    resource: Resource | None = Field(None, description="what we read; {device} stands for the device's name")
    path: Path | None = Field(
        None, description="where devices report to; {device} and a level {tag} stand for their names"
    )
    observe: bool = Field(False, description="let the server tell us what is new, instead of asking every interval")
    # Only what is polled has one, and a frozen model is never written through its base.
    interval: Interval | None = Field(None, description="the scan interval: 1s, 1m")  # type: ignore[assignment]
    tags: dict[str, TagSettings]

    @property
    def names_tag(self) -> bool:
        return self.path is not None and resource.names_tag(self.path)

    @model_validator(mode="after")
    def _has_one_source(self) -> GroupSettings:
        if (self.resource is None) == (self.path is None):
            raise ValueError("give either resource, to read it, or path, where devices report to")
        if self.path is not None and (self.observe or self.interval is not None):
            raise ValueError("what devices report to a path is neither observed nor polled")
        if self.resource is not None and self.observe == (self.interval is not None):
            raise ValueError("give either interval, to poll the resource, or observe: true")
        return self


class DeviceSettings(fields.DeviceSettings):
    """One device: resources of the server, or paths that it reports to."""

    groups: dict[str, GroupSettings]

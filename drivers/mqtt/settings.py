"""What people write about brokers, topics and payloads."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Annotated, Literal, TypeAlias

from pydantic import AfterValidator, Field, model_validator

from drivers.mqtt import topic
from gateway import fields
from gateway.fields import Duration, Secret, Settings, parse_duration
from gateway.payload import settings as payload

MIB = 1024 * 1024


def _template(text: str) -> str:
    topic.check_template(text)
    return text


def _command(text: str) -> str:
    topic.check_template(text)
    topic.check_name(topic.fill(text, "device", "tag"))
    return text


Template: TypeAlias = Annotated[str, AfterValidator(_template)]
CommandTopic: TypeAlias = Annotated[str, AfterValidator(_command)]


class TlsSettings(Settings):
    """TLS 1.2 or later. The broker's certificate and host name are always verified."""

    ca: Path | None = Field(None, description="certificates to trust, PEM; the system's unless set")
    certificate: Path | None = Field(None, description="our own certificate, PEM")
    key: Path | None = Field(None, description="the private key of our own certificate, PEM")

    @model_validator(mode="after")
    def _both(self) -> TlsSettings:
        if (self.certificate is None) != (self.key is None):
            raise ValueError("a certificate needs its key, and a key its certificate")
        return self

    def context(self) -> ssl.SSLContext:
        """What a connection is made with. Raises OSError for files that cannot be read, or that hold something else."""
        context = ssl.create_default_context(cafile=self.ca)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if self.certificate is not None:
            context.load_cert_chain(self.certificate, self.key)
        return context


class LinkSettings(fields.LinkSettings):
    """One session with one broker."""

    host: str = Field(min_length=1, description="the broker's name or address")
    port: int = Field(1883, ge=1, le=65_535, description="1883 is usual, 8883 with TLS")
    version: Literal[5, "3.1.1"] = Field(5, description="of the MQTT protocol")
    username: str | None = None
    password: Secret | None = None
    tls: TlsSettings | None = Field(None, description="{} for TLS with the system's certificates; none unless set")
    client_id: str | None = Field(
        None,
        min_length=1,
        max_length=128,
        description="what the broker knows the session by, edgeward-SITE-CELL-LINK unless set; two may not share one",
    )
    keepalive: Duration = Field(
        parse_duration("30s"),
        ge=parse_duration("1s"),
        le=parse_duration("18h"),
        description="how often a quiet connection is probed; after 1.5 times as long without a byte it is lost",
    )
    session_expiry: Duration = Field(
        parse_duration("7d"),
        ge=0,
        description="how long the broker keeps messages for us while we are away; with 3.1.1 only 0s can be chosen",
    )
    max_payload: int = Field(MIB, ge=1, description="a longer payload is refused, bytes")
    max_packet: int = Field(
        16 * MIB, ge=1024, le=268_435_455, description="a broker of MQTT 5 does not even send us a longer packet, bytes"
    )

    @model_validator(mode="after")
    def _has_user(self) -> LinkSettings:
        if self.password is not None and self.username is None:
            raise ValueError("a password needs a username")
        return self


class TagSettings(payload.TagSettings):
    """One value of a payload, and where a new one is published."""

    command_topic: CommandTopic | None = Field(
        None, description="where a new value is published to; {device} and {tag} stand for their names"
    )

    @model_validator(mode="after")
    def _can_be_written(self) -> TagSettings:
        if self.writable and self.command_topic is None:
            raise ValueError("a writable tag needs a command_topic")
        return self


class GroupSettings(payload.GroupSettings):
    """One topic, or one family of topics, and what its messages hold."""

    topic: Template = Field(description="{device} and a level {tag} stand for their names; + and # as in MQTT")
    qos: Literal[0, 1] = Field(1, description="1: acknowledged once it is on disk. 0: lost with the connection")
    tags: dict[str, TagSettings]

    @property
    def names_tag(self) -> bool:
        return topic.names_tag(self.topic)


class DeviceSettings(fields.DeviceSettings):
    """One device behind the broker."""

    groups: dict[str, GroupSettings]

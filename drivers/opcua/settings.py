"""What people write about OPC UA servers, subscriptions and nodes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, TypeAlias
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from drivers.opcua.address import PATTERN, Address, parse_address
from gateway import fields
from gateway.fields import Duration, Interval, Secret, parse_duration

Policy: TypeAlias = Literal["none", "basic256sha256", "aes128_sha256_rsaoaep", "aes256_sha256_rsapss"]
Mode: TypeAlias = Literal["sign", "sign_and_encrypt"]
AddressField: TypeAlias = Annotated[
    Address, BeforeValidator(parse_address, json_schema_input_type=Annotated[str, Field(pattern=PATTERN)])
]

PORT = 4840


def _url(text: str) -> str:
    """With its port."""
    parts = urlsplit(text)
    if parts.scheme != "opc.tcp" or not parts.hostname:
        raise ValueError("write opc.tcp://HOST:PORT/PATH")
    if "@" in parts.netloc:
        raise ValueError("a user does not stand in the URL: write username and password")
    try:
        port = parts.port or PORT
    except ValueError:
        raise ValueError("the port is a number from 1 to 65535") from None
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"opc.tcp://{host}:{port}{parts.path}"


Url: TypeAlias = Annotated[str, AfterValidator(_url)]


class TagSettings(fields.TagSettings):
    """One node. Its type must be one that every value of the node fits into exactly; a DateTime is an int64, unix
    nanoseconds. Arrays are not read."""

    node: AddressField = Field(
        description="nsu=http://example.com/pumps;s=Pump.Speed, which lasts; or ns=2;s=Pump.Speed, or i=2258"
    )


class GroupSettings(fields.PolledSettings):
    """Nodes of one subscription; or, where there is an `interval`, nodes that we read."""

    # None is a group that the server pushes. Nobody writes through the base, which has no None: the model is frozen.
    interval: Interval | None = Field(  # type: ignore[assignment]
        None, gt=0, description="read the nodes this often instead of subscribing to them"
    )
    publishing_interval: Duration = Field(
        parse_duration("500ms"), gt=0, description="how often the server sends what has changed"
    )
    sampling_interval: Duration | None = Field(
        None, ge=0, description="how often the server looks for a change; the publishing interval unless set"
    )
    queue_size: int = Field(10, ge=1, le=10_000, description="changes that the server keeps for a node until it sends")
    trigger: Literal["value", "timestamp"] = Field(
        "value", description="timestamp: a new source timestamp is a change, even when value and quality are the same"
    )
    tags: dict[str, TagSettings] = Field(min_length=1)

    @model_validator(mode="after")
    def _is_one_of_two(self) -> GroupSettings:
        ours = {"publishing_interval", "sampling_interval", "queue_size", "trigger"} & self.model_fields_set
        if self.interval is not None and ours:
            raise ValueError(f"a group with an interval has no subscription, and so no {sorted(ours)[0]}")
        return self


class DeviceSettings(fields.DeviceSettings):
    """One device behind the server."""

    groups: dict[str, GroupSettings]


class LinkSettings(fields.LinkSettings):
    """One session with one server."""

    url: Url = Field(description="opc.tcp://HOST:PORT/PATH; the port is 4840 unless given")
    security: Policy = Field("none", description="the security policy")
    mode: Mode | None = Field(None, description="sign, or sign_and_encrypt; needed with every policy but none")
    certificate: Path | None = Field(None, description="our own application certificate, PEM or DER")
    key: Path | None = Field(None, description="its private key, PEM or DER")
    server_certificate: Path | None = Field(
        None, description="the only certificate that the server may have, PEM or DER; any unless set"
    )
    username: str | None = Field(None, min_length=1)
    password: Secret | None = None
    plain_password: bool = Field(False, description="send the password even where nothing on the way encrypts it")
    user_certificate: Path | None = Field(None, description="log in with this certificate, PEM or DER")
    user_key: Path | None = Field(None, description="its private key, PEM or DER")
    application_uri: str | None = Field(
        None, min_length=1, description="who we are; the URI in our certificate unless set, or urn:edgeward without one"
    )
    timeout: Duration = Field(parse_duration("4s"), gt=0, description="how long to wait for an answer")
    session_timeout: Duration = Field(
        parse_duration("60s"),
        ge=parse_duration("1s"),
        description="how long the server keeps a session without requests",
    )
    keepalive: Duration = Field(
        parse_duration("5s"),
        ge=parse_duration("100ms"),
        description="how often a quiet subscription says that it is alive; after three times without, it is lost",
    )

    @model_validator(mode="after")
    def _is_secured(self) -> LinkSettings:
        if self.security == "none":
            if self.mode or self.server_certificate:
                raise ValueError("security: none signs and encrypts nothing: name a policy, such as basic256sha256")
            return self
        if self.mode is None:
            raise ValueError(f"{self.security} needs its mode: sign, or sign_and_encrypt")
        if self.certificate is None:
            raise ValueError(f"{self.security} needs a certificate of our own, and its key")
        return self

    @model_validator(mode="after")
    def _has_both(self) -> LinkSettings:
        for one, other in (("certificate", "key"), ("user_certificate", "user_key")):
            if (getattr(self, one) is None) != (getattr(self, other) is None):
                raise ValueError(f"{one} and {other} go together")
        if self.password is not None and self.username is None:
            raise ValueError("a password needs a username")
        if self.username is not None and self.user_certificate is not None:
            raise ValueError("log in with a username or with a user_certificate, not with both")
        return self

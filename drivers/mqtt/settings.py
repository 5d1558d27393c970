"""What people write about brokers, topics and payloads."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import AfterValidator, Field, model_validator

from drivers.mqtt import topic
from gateway import fields
from gateway.fields import Duration, parse_duration
from gateway.mqtt.settings import BrokerSettings
from gateway.mqtt.topic import check_name
from gateway.payload import settings as payload

MIB = 1024 * 1024


def _template(text: str) -> str:
    topic.check_template(text)
    return text


def _command(text: str) -> str:
    topic.check_template(text)
    check_name(topic.fill(text, "device", "tag"))
    return text


Template: TypeAlias = Annotated[str, AfterValidator(_template)]
CommandTopic: TypeAlias = Annotated[str, AfterValidator(_command)]


class LinkSettings(BrokerSettings, fields.LinkSettings):
    """One session with one broker."""

    version: Literal[5, "3.1.1"] = Field(5, description="of the MQTT protocol")
    client_id: str | None = Field(
        None,
        min_length=1,
        max_length=128,
        description="what the broker knows the session by, edgeward-SITE-CELL-LINK unless set; two may not share one",
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

"""The top of a configuration: what belongs to no plugin."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, TypeAlias

from pydantic import Field, model_validator

from gateway.fields import Duration, Secret, Settings, parse_duration

NAME = r"^[A-Za-z0-9][A-Za-z0-9_.-]*$"
NAME_HINT = "a name is made of letters, digits, _ . and -, and starts with a letter or digit"

Name: TypeAlias = Annotated[str, Field(pattern=NAME, max_length=128)]
Section: TypeAlias = dict[Name, dict[str, object]]


class HttpSettings(Settings):
    """Where metrics and health are served. They are for the machine itself unless set otherwise."""

    host: str = Field("127.0.0.1", min_length=1, description="the address to listen on")
    port: int = Field(9273, ge=0, le=65535, description="the TCP port to listen on; 0 takes a free one")


class JournalSettings(Settings):
    """How the journal keeps what is not delivered yet."""

    commit_interval: Duration = Field(
        parse_duration("100ms"), gt=0, description="the longest that a scan waits for disk"
    )
    segment_bytes: int = Field(64 << 20, ge=1 << 20, description="the size at which a new segment file is begun")
    segment_age: Duration = Field(parse_duration("6h"), gt=0, description="the age at which one is begun at the latest")
    max_bytes: int = Field(
        10 << 30,
        ge=4 << 20,
        description="the most that the journal may take up on disk, beside 20 MiB for logs and a reserve",
    )
    retention: Duration = Field(
        parse_duration("7d"),
        gt=0,
        description="how long it keeps what no sink took, in time that the gateway runs: no clock can change that",
    )
    memory_bytes: int = Field(
        64 << 20, ge=1 << 20, description="the most that may wait in memory while the disk takes nothing"
    )
    wait_for_clock: bool = Field(
        False,
        description="true: after a start of the machine, nothing is sent before the clock was synchronised (NTP, PTP); "
        "what came in earlier is dated then",
    )
    key: Secret | None = Field(
        None,
        description="seals all that is on disk: 64 hexadecimal digits; unless set, the file journal.key in data",
    )
    previous_key: Secret | None = Field(
        None, description="the key before, as long as not everything is wrapped with the new one; see journal status"
    )
    recovery_key: str | None = Field(
        None,
        pattern="^[0-9a-f]{64}$",
        description="the public half of a recovery key, as edgeward journal recovery-key makes one: the private half, "
        "kept in a safe, opens the journal when the key is lost",
    )

    @model_validator(mode="after")
    def _holds_segments(self) -> JournalSettings:
        if self.max_bytes < 2 * self.segment_bytes:
            raise ValueError("max_bytes is room for two segments of segment_bytes or more: only whole ones are dropped")
        return self


class SiteSettings(Settings):
    """The whole file. The sections are judged one by one, each entry by the settings of its plugin."""

    site: Name = Field(description="the name of the plant")
    cell: Name = Field(description="the name of this cell, unique in the plant")
    data: Path = Field(Path("data"), description="the directory of journal and control socket")
    include: list[str] = Field([], description="more files, relative to this one, whose sections are merged with these")
    templates: Section = Field({}, description="bodies of devices, to be named by a device's key template")
    links: Section = Field({}, description="the connections: buses, brokers, endpoints")
    devices: Section = Field({}, description="the devices, each reached by a link")
    sinks: Section = Field({}, description="where everything is delivered to")
    rules: Section = Field({}, description="what is judged, and what is done about it")
    http: HttpSettings = HttpSettings.model_validate({})
    journal: JournalSettings = JournalSettings.model_validate({})

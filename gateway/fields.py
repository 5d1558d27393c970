"""What people write: the ground of every settings model, and the field types that all of them share.

pydantic is for what people write, never for what flows.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Literal, TypeAlias

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from gateway.clock import MILLISECOND
from gateway.model import Priority, ValueType

_UNITS = {"us": 1_000, "ms": 1_000_000, "s": 1_000_000_000, "m": 60_000_000_000, "h": 3_600_000_000_000}
_UNITS["d"] = 24 * _UNITS["h"]
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(us|ms|s|m|h|d)")


def parse_duration(text: object) -> int:
    """`500ms`, `1.5s`, `2m`, `7d` in nanoseconds. Raises ValueError for anything else."""
    match = _DURATION.fullmatch(text.strip()) if isinstance(text, str) else None
    if match is None:
        raise ValueError("write a duration with its unit: 500ms, 1s, 2m, 1h or 7d")
    return round(float(match[1]) * _UNITS[match[2]])


Duration: TypeAlias = Annotated[
    int,
    BeforeValidator(parse_duration, json_schema_input_type=Annotated[str, Field(pattern=f"^{_DURATION.pattern}$")]),
]
"""A span of time, in nanoseconds; written with its unit."""


def _lasts(interval: int) -> int:
    if interval < MILLISECOND:
        raise ValueError("a scan interval is at least 1ms")
    return interval


Interval: TypeAlias = Annotated[Duration, AfterValidator(_lasts)]
"""A scan interval, in nanoseconds."""


class Settings(BaseModel):
    """The ground of every settings model: a key that is not known is a mistake, and nothing changes once read."""

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)


_MOST_SECRET = 64 * 1024


class Secret(Settings):
    """A secret by reference, `{env: NAME}` or `{file: PATH}`: it never stands in the configuration itself, and it
    never shows in a message or a log because it is only read when it is used."""

    env: str | None = None
    file: Path | None = None

    @model_validator(mode="before")
    @classmethod
    def _by_reference(cls, value: object) -> object:
        if not isinstance(value, dict | Secret):
            raise ValueError("a secret does not stand in the configuration: write {env: NAME} or {file: PATH}")
        return value

    @model_validator(mode="after")
    def _exactly_one(self) -> Secret:
        if (self.env is None) == (self.file is None):
            raise ValueError("give either env or file")
        return self

    def reveal(self) -> str:
        """The secret itself. Raises LookupError, which names the place and not the secret."""
        if self.env is not None:
            if self.env not in os.environ:
                raise LookupError(f"the environment variable {self.env} is not set")
            return os.environ[self.env]
        path = Path(str(self.file))
        try:
            if not path.is_file():
                raise LookupError(f"the secret file {path} does not exist, or is no file")
            with path.open(encoding="utf-8") as file:
                return file.read(_MOST_SECRET).strip()
        except (OSError, UnicodeDecodeError) as error:
            raise LookupError(f"the secret file {self.file} cannot be read: {error}") from error


class TagSettings(Settings):
    """One tag. A driver adds where to find it."""

    type: ValueType = Field(description="the type of the value as it flows")
    unit: str = Field("", description="engineering unit, such as °C or bar", max_length=32)
    range: tuple[float, float] | None = Field(None, description="lowest and highest value that make sense")
    deadband: float = Field(0.0, ge=0, description="a change of this size or less is judged but not stored")
    writable: bool = Field(False, description="may be written, by rules and by hand")
    description: str = ""

    @model_validator(mode="after")
    def _range_has_order(self) -> TagSettings:
        if self.range is not None and not self.range[0] < self.range[1]:
            raise ValueError(f"the range [{self.range[0]:g}, {self.range[1]:g}] is empty: give the lower end first")
        return self


class GroupSettings(Settings):
    """Tags that are read together. A driver adds how."""

    stale_after: Duration | None = Field(
        None,
        gt=0,
        description="older values are stale; 3 scan intervals and at least 1s, or 60s where nobody polls, unless set",
    )
    priority: Priority = Field(
        Priority.NORMAL, description="what is sent first and kept longest where not all can be: high, normal or low"
    )
    tags: Mapping[str, TagSettings] = Field(min_length=1)


class PolledSettings(GroupSettings):
    """Tags that we ask for."""

    interval: Interval = Field(description="the scan interval: 100ms, 1s, 1m; at least 1ms")


class ClockSettings(Settings):
    """Whose time the values of a device are stored by."""

    trust: Literal["device", "gateway"] = Field(
        "device", description="device: the time that it gives, if any; gateway: when the values reached us"
    )
    tolerance: Duration | None = Field(
        None,
        gt=0,
        description="a device's time that is further off ours, either way, is not taken, and its values are uncertain; "
        "any is taken unless set. Values that were held back on their way are older than it, too",
    )

    @model_validator(mode="after")
    def _judges_what_it_trusts(self) -> ClockSettings:
        if self.trust == "gateway" and self.tolerance is not None:
            raise ValueError("a clock that is not trusted needs no tolerance: leave it out, or trust: device")
        return self


class DeviceSettings(Settings):
    """One device. A driver adds what it needs to reach it."""

    link: str = Field(description="the link that it is reached by")
    description: str = ""
    clock: ClockSettings = Field(ClockSettings.model_validate({}), description="which clock to trust, and how far")
    groups: Mapping[str, GroupSettings] = Field(min_length=1)


class LinkSettings(Settings):
    """One connection. A driver adds where it goes to."""

    driver: str = Field(description="the protocol: the name of a module in drivers/")
    open_timeout: Duration = Field(parse_duration("10s"), gt=0, description="how long connecting may take")


class SinkSettings(Settings):
    """One place to deliver to. A sink adds where that is."""

    sink: str = Field(description="the kind of sink: the name of a module in gateway/sinks/")
    backlog: Literal["oldest_first", "newest_first"] = Field(
        "oldest_first",
        description="in which order what has waited is sent, once events and live values are through; newest_first "
        "where the last hour matters more than last week, and the far side does not mind the order",
    )


class CommandSettings(Settings):
    """What the far side of a sink may write. A sink adds how it says so."""

    tags: tuple[Annotated[str, Field(min_length=1, max_length=256)], ...] = Field(
        min_length=1,
        max_length=1000,
        description="the tags that may be written, as device/tag; * stands for any letters. Nothing else is",
    )
    max_age: Duration = Field(
        parse_duration("30s"),
        gt=0,
        le=parse_duration("1d"),
        description="an older command is not executed, however long its sender says that it holds",
    )

    def allows(self, tag: str) -> bool:
        return any(fnmatchcase(tag, pattern) for pattern in self.tags)

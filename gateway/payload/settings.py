"""What people write about payloads. A driver adds where they come from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal, TypeAlias

from pydantic import AfterValidator, Field, StrictBool, StrictFloat, StrictInt, StrictStr, model_validator

from gateway import fields
from gateway.fields import Settings
from gateway.payload import path
from gateway.payload.moment import TimeFormat


def _path(text: str) -> str:
    path.parse(text)
    return text


JsonPath: TypeAlias = Annotated[str, AfterValidator(_path)]


class TimeSettings(Settings):
    """Where the payload tells when its values were measured."""

    path: JsonPath
    format: TimeFormat


class QualitySettings(Settings):
    """Where the payload tells whether its values are good."""

    path: JsonPath
    good: list[StrictBool | StrictInt | StrictFloat | StrictStr] = Field(
        min_length=1, description="what stands there when they are good: [good], [true], [0, 192]"
    )


class TagSettings(fields.TagSettings):
    """One value of a payload."""

    path: JsonPath | None = Field(
        None,
        description="where in the document; the tag's own name unless set, or all of it where a level {tag} names it",
    )


class GroupSettings(fields.GroupSettings):
    """What the payloads of one source hold."""

    format: Literal["json", "text"] = Field("json", description="json, or text: the payload is one plain value")
    time: TimeSettings | None = Field(None, description="the moment of arrival unless set")
    quality: QualitySettings | None = None
    tags: Mapping[str, TagSettings]

    @property
    def names_tag(self) -> bool:
        """The source of a message says which tag it is about."""
        return False

    def path_of(self, name: str) -> path.Path:
        """Where the tag called `name` stands in the document. Raises ValueError."""
        given = self.tags[name].path
        if given is not None:
            return path.parse(given)
        return () if self.names_tag or self.format == "text" else path.parse(name)

    @model_validator(mode="after")
    def _has_paths(self) -> GroupSettings:
        for name in self.tags:
            try:
                self.path_of(name)
            except ValueError as error:
                raise ValueError(f"the tag {name!r} needs a path of its own: {error}") from error
        return self

    @model_validator(mode="after")
    def _is_plain(self) -> GroupSettings:
        if self.format == "json":
            return self
        if self.time or self.quality or any(tag.path is not None for tag in self.tags.values()):
            raise ValueError("format: text has no room for a time, a quality or a path")
        if len(self.tags) > 1 and not self.names_tag:
            raise ValueError("format: text holds one value: give one tag, or let a level {tag} name it")
        return self

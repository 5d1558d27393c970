"""What people write about a rule, whatever its condition."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal, TypeAlias

from pydantic import BeforeValidator, Field

from gateway.fields import Duration, Settings, parse_duration
from gateway.model import Tag, Value, ValueType
from rules.condition import Settings as ConditionSettings
from rules.number import exact, reach

Priority: TypeAlias = Literal["low", "medium", "high", "critical"]


def _scalar(value: object) -> object:
    """One message instead of one a type, and no conversion: what is written is what is sent."""
    if not isinstance(value, bool | int | float | str) or (isinstance(value, float) and not math.isfinite(value)):
        raise ValueError("write a plain value: true, 5, 2.5 or a text")
    return value


class WriteSettings(Settings):
    """Isolation: what the rule writes each time its alarm is raised."""

    tag: str = Field(description="the tag to write, of any device")
    value: Annotated[Value, BeforeValidator(_scalar)] = Field(description="the value to write, in the tag's own type")
    expires_after: Duration = Field(
        default=parse_duration("10s"), description="what could not be written by then is not written any more"
    )

    def problem(self, tags: Mapping[str, Tag]) -> str | None:
        """Why this cannot be written, as a sentence without its full stop; None if it can."""
        tag = tags.get(self.tag)
        if tag is None:
            return f"there is no tag {self.tag}"
        if not tag.writable:
            return f"{self.tag} is not writable"
        if not _fits(self.value, tag):
            return f"{self.value!r} is not a value of {self.tag}, which is {_described(tag)}"
        return None


class RuleSettings(Settings):
    """One rule. Beside these keys stands exactly one that names its condition."""

    on_delay: Duration = Field(default=0, description="how long the condition must hold before the alarm is raised")
    priority: Priority = Field(default="medium", description="how soon somebody must act")
    message: str = Field(default="", description="what the alarm tells people")
    latched: bool = Field(default=False, description="whether the alarm stays, after it has returned, until its reset")
    write: WriteSettings | None = Field(default=None, description="isolation: written each time the alarm is raised")


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule, read and put together. `condition` names a module in `rules/conditions/`, and `condition_settings` is
    an instance of its `Settings`."""

    name: str
    settings: RuleSettings
    condition: str
    condition_settings: ConditionSettings

    def revision(self) -> str:
        """Another one for every wording of the rule, and the same one after a restart."""
        parts = (self.settings.model_dump_json(exclude_defaults=True), self.condition)
        wording = json.dumps([*parts, self.condition_settings.model_dump_json(exclude_defaults=True)])
        return hashlib.sha256(wording.encode()).hexdigest()[:12]

    def problem(self, tags: Mapping[str, Tag]) -> str | None:
        """What is wrong with this rule on these tags, the condition first; None if nothing is."""
        write = self.settings.write
        return self.condition_settings.problem(tags) or (write.problem(tags) if write else None)


def _fits(value: Value, tag: Tag) -> bool:
    """Whether a value can be written to the tag without becoming another one."""
    if tag.type is ValueType.BOOL or isinstance(value, bool):
        return tag.type is ValueType.BOOL and isinstance(value, bool)
    if tag.type is ValueType.STRING or isinstance(value, str):
        return tag.type is ValueType.STRING and isinstance(value, str)
    bottom, top = reach(tag)
    return bottom <= exact(value) <= top and (tag.type.is_float or isinstance(value, int))


def _described(tag: Tag) -> str:
    return tag.type if tag.range is None else f"{tag.type} from {tag.range[0]:g} to {tag.range[1]:g}"

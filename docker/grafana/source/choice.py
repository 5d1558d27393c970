"""The lists at the top of a dashboard, from which people choose."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeAlias

from query import GROUPS, chosen, picked

Json: TypeAlias = dict[str, object]

EVENTS = ("alarms", "devices", "commands", "losses")

_SHOWN_LATER = 2  # asked again whenever the time range changes
_BY_NAME = 1
_HIDDEN = 2


@dataclass(frozen=True, slots=True)
class Names:
    """What the database knows of one kind: values of a tag (`cell`, `device`), measurements or fields."""

    kind: str
    after: tuple[str, ...] = ()

    def influxql(self) -> str:
        where = f" WHERE {chosen(self.after)}" if self.after else ""
        if self.kind == "group":
            return f"SHOW MEASUREMENTS{where}"
        if self.kind == "tag":
            return f"SHOW FIELD KEYS FROM {GROUPS}"
        return f'SHOW TAG VALUES WITH KEY = "{self.kind}"{where}'

    def flux(self) -> str:
        column = {"group": "_measurement", "tag": "_field"}.get(self.kind, self.kind)
        rules = [picked(self.after), f"r._measurement =~ {GROUPS}" if self.kind == "tag" else ""]
        predicate = " and ".join(filter(None, rules)) or "true"
        return (
            'import "influxdata/influxdb/schema"\n\n'
            f'schema.tagValues(bucket: v.defaultBucket, tag: "{column}", '
            f"predicate: (r) => {predicate}, start: v.timeRangeStart)"
        )


@dataclass(frozen=True, slots=True)
class Choice:
    """A list that the database fills. `keep` is what of it is of use, as a regular expression of JavaScript."""

    name: str
    label: str
    names: Names
    keep: str = ""
    is_multiple: bool = True
    is_hidden: bool = False

    def render(self, source: Json, query: str) -> Json:
        body: Json = {
            "type": "query",
            "name": self.name,
            "label": self.label,
            "datasource": source,
            "query": query,
            "refresh": _SHOWN_LATER,
            "sort": _BY_NAME,
            "regex": self.keep,
            "multi": self.is_multiple,
            "includeAll": self.is_multiple,
            "hide": _HIDDEN if self.is_hidden else 0,
        }
        everything: Json = {"text": ["All"], "value": ["$__all"]}
        return body | ({"current": everything} if self.is_multiple else {})


@dataclass(frozen=True, slots=True)
class Pattern:
    """A text that people may change, such as a regular expression."""

    name: str
    label: str
    text: str

    def render(self) -> Json:
        current = {"text": self.text, "value": self.text, "selected": True}
        return {
            "type": "textbox",
            "name": self.name,
            "label": self.label,
            "query": self.text,
            "current": current,
            "options": [current],
        }


def without(names: Iterable[str]) -> str:
    # No capturing group: Grafana would take what it captures for the name.
    return f"/^(?!(?:{'|'.join(names)})$).+$/"


CELL = Choice("cell", "Cell", Names("cell"))
DEVICES = Choice("device", "Device", Names("device", ("cell",)))
ONE_DEVICE = Choice("device", "Device", Names("device", ("cell",)), is_multiple=False)
GROUP = Choice("group", "Group", Names("group", ("cell", "device")), without(EVENTS))
ANY_GROUP = Choice("group", "Group", Names("group", ("cell",)), without(EVENTS), is_hidden=True)
TAG = Choice("tag", "Tag", Names("tag", ("device",)), r"/^(?!.*\.(?:q|text)$).+$/")

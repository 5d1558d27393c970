"""From the topics that were heard to devices, groups and tags. Pure.

A topic with a JSON object is a tag group, and topics with one plain value each are the tags of one. Which level names
the device is what most topics agree on: the one in which topics of the same shape differ. Devices that are the same but
for their name become one template.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from gateway.model import ValueType
from gateway.payload import outline, shape
from gateway.payload.decoder import Refused, parse
from gateway.payload.shape import Shape
from gateway.survey import Line, Names, Part, Plain, as_name, shown

Levels: TypeAlias = tuple[str, ...]

MOST_TAGS: Final = 2_000
MOST_TOPIC: Final = 256


@dataclass(frozen=True, slots=True)
class Single:
    """A topic with one plain value, by its last level. `form` is the format of the group that can hold it."""

    level: str
    type: ValueType
    form: str
    example: object = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Source:
    """What is published at `levels`: documents of a shape; or, a level below, plain values of one format."""

    levels: Levels
    content: Shape | tuple[Single, ...]

    @property
    def tags(self) -> int:
        return len(self.content.leaves) if isinstance(self.content, Shape) else len(self.content)


@dataclass(frozen=True, slots=True)
class Census:
    """`left_out` are topics that nothing was made of."""

    devices: Mapping[str, Part | Line]
    templates: Mapping[str, Part]
    left_out: Sequence[str]


def take(heard: Mapping[str, Sequence[bytes]], link: str, now: int) -> Census:
    """`heard` has some payloads for each topic; `now` is in nanoseconds UTC."""
    sources: list[Source] = []
    singles: dict[tuple[Levels, str], list[Single]] = defaultdict(list)
    left_out: list[str] = []
    for topic, payloads in sorted(heard.items()):
        *stem, last = levels = tuple(topic.split("/"))
        content = _content(last, payloads, now) if _is_usable(topic) else None
        if isinstance(content, Shape):
            sources.append(Source(levels, content))
        elif content is not None:
            singles[tuple(stem), content.form].append(content)
        else:
            left_out.append(topic)
    sources += [Source(stem, tuple(values)) for (stem, _), values in singles.items()]
    kept = list(_first(sources))
    left_out += ["/".join(source.levels) for source in sources[len(kept) :]]
    return _shared(_devices(kept, link), left_out)


def _first(sources: Iterable[Source]) -> Iterator[Source]:
    """As many as a configuration should begin with."""
    tags = 0
    for source in sources:
        tags += source.tags
        if tags > MOST_TAGS:
            return
        yield source


# What a payload holds


def _is_usable(topic: str) -> bool:
    """Braces stand for names in a configuration, + and # for any, and $ begins what is the broker's own."""
    return 0 < len(topic) <= MOST_TOPIC and topic.isprintable() and topic[0] != "$" and not set("{}+#") & set(topic)


def _content(level: str, payloads: Sequence[bytes], now: int) -> Shape | Single | None:
    documents = [document for payload in payloads if isinstance(document := _document(payload), dict | list)]
    if documents:
        found = shape.learn(documents, now)
        return found if found.leaves else None
    if payloads and all(isinstance(_document(payload), str) for payload in payloads):
        return Single(level, ValueType.STRING, "json", _document(payloads[0]))
    types = {outline.text_type(payload) for payload in payloads}
    if not types or None in types:
        return None
    type_ = types.pop() if len(types) == 1 else ValueType.STRING
    return Single(level, type_ or ValueType.STRING, "text", payloads[0].decode())


def _document(payload: bytes) -> object:
    try:
        return parse(payload)
    except Refused:
        return None


# Whom it belongs to


def _devices(sources: Sequence[Source], link: str) -> dict[str, Part]:
    families = Counter(family for source in sources for family in _families(source))
    members: dict[Levels, list[Source]] = defaultdict(list)
    for source in sources:
        members[source.levels[: _device_level(source, families) + 1]].append(source)
    names = Names()
    devices = {}
    for prefix, own in members.items():
        text = prefix[-1] if prefix else "broker"
        is_exact = bool(prefix) and names.take_exactly(text)
        name = text if is_exact else names.take(text, "device")
        devices[name] = Part({"link": Line(link), "groups": Part(_Groups(prefix, is_exact).build(own))})
    return devices


def _families(source: Source) -> list[object]:
    """For each level, what this source has in common with those that differ from it in that level only."""
    levels = source.levels
    return [(i, levels[:i], levels[i + 1 :], source.content) for i in range(len(levels))]


def _device_level(source: Source, families: Counter[object]) -> int:
    """Where no other source is like this one, a device is what stands before the name of a document."""
    usual = len(source.levels) - (2 if isinstance(source.content, Shape) and len(source.levels) > 1 else 1)
    own = _families(source)
    ranks = [(bool(as_name(source.levels[i])), families[own[i]], i == usual, -i, i) for i in range(len(own))]
    return max(ranks)[-1] if ranks else -1


class _Groups:
    """The groups of one device: everything below `prefix`, whose last level is its name if that `is_exact`."""

    def __init__(self, prefix: Levels, is_exact: bool) -> None:
        self.prefix = prefix
        self.above = (*prefix[:-1], "{device}") if is_exact else prefix
        self.tags = Names()
        self.names = Names()
        self.groups: dict[str, Part] = {}

    def build(self, sources: Iterable[Source]) -> Mapping[str, Part]:
        """Plain values first: their tags have to be called as their topics are."""
        for source in sorted(sources, key=lambda each: isinstance(each.content, Shape)):
            if isinstance(source.content, Shape):
                self.add_document(source, source.content)
            else:
                self.add_singles(source, source.content)
        return self.groups

    def topic(self, levels: Levels, *below: str) -> Line:
        return Line("/".join([*self.above, *levels[len(self.prefix) :], *below]))

    def add_document(self, source: Source, content: Shape) -> None:
        name = self.names.take(".".join(source.levels[len(self.prefix) :]), "state")
        tags = outline.tags(content, self.tags, name)
        self.groups[name] = Part({"topic": self.topic(source.levels), **outline.source(content), "tags": tags})

    def add_singles(self, source: Source, values: Sequence[Single]) -> None:
        """One group for all whose level is a name, and one for each of the others."""
        below = ".".join(source.levels[len(self.prefix) :])
        lines = {each.level: _line(each) for each in values if self.tags.take_exactly(each.level)}
        form = {"format": Line(values[0].form)} if values[0].form != "json" else {}
        if lines:
            name = self.names.take(below, "values")
            self.groups[name] = Part({"topic": self.topic(source.levels, "{tag}"), **form, "tags": Part(lines)})
        for each in values:
            if each.level not in lines:
                name = self.names.take(f"{below}.{each.level}", "value")
                tag = self.tags.take(each.level, name)
                line = _line(each, path="") if each.form == "json" else _line(each)
                topic = self.topic(source.levels, each.level)
                self.groups[name] = Part({"topic": topic, **form, "tags": Part({tag: line})})


def _line(single: Single, **more: Plain) -> Line:
    return Line({**more, "type": single.type.value}, shown(single.example))


# What devices have in common


def _shared(devices: Mapping[str, Part], left_out: Sequence[str]) -> Census:
    """Devices of one kind refer to a template."""
    kinds: dict[str, list[str]] = defaultdict(list)
    for name, part in devices.items():
        kinds[json.dumps(part.plain())].append(name)
    templates: dict[str, Part] = {}
    shortened: dict[str, Part | Line] = {}
    names = Names()
    for alike in kinds.values():
        if len(alike) > 1:
            template = names.take(_stem(alike), "machine")
            templates[template] = devices[alike[0]]
            shortened |= dict.fromkeys(alike, Line({"template": template}))
    return Census({**devices, **shortened}, templates, left_out)


def _stem(names: Sequence[str]) -> str:
    """`pump` for pump-1 and pump-2."""
    stem = names[0]
    while not all(name.startswith(stem) for name in names):
        stem = stem[:-1]
    return stem.rstrip("0123456789_.-")

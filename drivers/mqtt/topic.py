"""Topic names, topic filters and templates; and which of the filters take a given topic. Pure.

A *template* is what the configuration gives: a topic filter in which `{device}` stands for the device's name and a
level `{tag}` for the name of a tag. A *filter* is what the broker is told; `+` and `#` mean what they mean in MQTT
(MQTT 5.0, 4.7). A *name* is the concrete topic of one message.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Generic, TypeVar

from gateway.mqtt.topic import check_filter

MAX_CACHED = 4_096
MAX_CACHED_LENGTH = 512

_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")

T = TypeVar("T")


def check_template(template: str) -> None:
    """Raises ValueError unless `template` becomes a filter once it is filled in."""
    unknown = set(_PLACEHOLDER.findall(template)) - {"device", "tag"}
    if unknown:
        raise ValueError(f"the topic {template!r} has {{{unknown.pop()}}}: only {{device}} and {{tag}} are known")
    if any("{tag}" in level and level != "{tag}" for level in template.split("/")):
        raise ValueError(f"the topic {template!r} mixes {{tag}} with text: it stands alone in its level")
    check_filter(fill(template, "device", "tag"))


def names_tag(template: str) -> bool:
    """True where a level of the topic says which tag the message is about."""
    return "{tag}" in template.split("/")


def fill(template: str, device: str, tag: str = "") -> str:
    """The filter or name that a template stands for. Raises ValueError where a name would change its levels."""
    names = {"{device}": device, "{tag}": tag}
    for placeholder, name in names.items():
        if placeholder in template and re.search(r"[/+#\0]", name):
            raise ValueError(f"{name!r} cannot stand for {placeholder} in a topic: it holds / + # or a null character")
    return _PLACEHOLDER.sub(lambda match: names.get(match[0], match[0]), template)


class _Node(Generic[T]):
    """One level of the filters. `routes` are those that end here."""

    __slots__ = ("children", "routes")

    def __init__(self) -> None:
        self.children: dict[str, _Node[T]] = {}
        self.routes: list[T] = []


class Router(Generic[T]):
    """Which routes take a topic.

    Topics that the configuration names in full are looked up at once. For the others the last `MAX_CACHED` answers are
    remembered, for topics of a reasonable length: whoever invents topics cannot fill the memory.
    """

    def __init__(self, routes: Iterable[tuple[str, T]]) -> None:
        """`routes` are pairs of a filter and what takes the topics that match it."""
        self._root: _Node[T] = _Node()
        filters = []
        for text, route in routes:
            self._add(text, route)
            filters.append(text)
        self._exact = {text: self._search(text) for text in filters if "+" not in text and "#" not in text}
        self._cached = lru_cache(MAX_CACHED)(self._search)

    def find(self, name: str) -> tuple[T, ...]:
        """The routes that take the topic `name`; none for a name that no broker may deliver."""
        found = self._exact.get(name)
        if found is not None:
            return found
        return self._cached(name) if len(name) <= MAX_CACHED_LENGTH else self._search(name)

    def _add(self, text: str, route: T) -> None:
        node = self._root
        for level in text.split("/"):
            node = node.children.setdefault(level, _Node())
        node.routes.append(route)

    def _search(self, name: str) -> tuple[T, ...]:
        if not name or "+" in name or "#" in name:
            return ()
        routes: list[T] = []
        nodes = [self._root]
        for depth, level in enumerate(name.split("/")):
            # [MQTT-4.7.2-1]: a wildcard in the first level does not match topics that begin with $.
            hidden = depth == 0 and level.startswith("$")
            keys = (level,) if hidden else (level, "+")
            routes += [] if hidden else _ends(nodes, "#")
            nodes = [child for node in nodes for key in keys if (child := node.children.get(key)) is not None]
            if not nodes:
                return tuple(routes)
        for node in nodes:
            routes += node.routes
        # MQTT 5.0, 4.7.1.2: "sport/#" matches "sport" itself too.
        return tuple(routes + _ends(nodes, "#"))


def _ends(nodes: list[_Node[T]], key: str) -> list[T]:
    return [route for node in nodes if key in node.children for route in node.children[key].routes]

"""Which tags a configuration has, and where each of them stands in its text."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from types import ModuleType

from gateway import plugins
from gateway.document import Node
from gateway.fields import TagSettings
from gateway.problems import Keys


@dataclass(frozen=True, slots=True)
class Shelf:
    """The tags of one group of one device: the mapping `node`, which stands at `keys` in `file`. Devices with the same
    template share it."""

    device: str
    group: str
    driver: ModuleType
    node: Node
    keys: Keys

    @property
    def file(self) -> str:
        return self.node.place.file

    @property
    def model(self) -> type[TagSettings]:
        model: type[TagSettings] = self.driver.TagSettings
        return model


def shelves(root: Node) -> Iterator[Shelf]:
    """Those of every device, in the order of the text. `root` is that of a configuration without mistakes."""
    links = {name: plugins.load("driver", str(_text(node, "driver"))) for name, node in root.section("links").items()}
    for device, node in root.section("devices").items():
        name = _text(node, "template")
        template = root.find(("templates", name)) if name else None
        link = _text(node, "link") or (_text(template, "link") if template else "")
        for group, (keys, body) in _groups(device, node, name, template).items():
            tags = body.child("tags")
            if tags is not None:
                yield Shelf(device, group, links[link], tags, (*keys, "tags"))


def _groups(device: str, node: Node, name: str, template: Node | None) -> dict[str, tuple[Keys, Node]]:
    """A device's own groups go before those of its template."""
    own = {group: (("devices", device, "groups", group), body) for group, body in node.section("groups").items()}
    if template is None:
        return dict(own)
    inherited = {
        group: (("templates", name, "groups", group), body) for group, body in template.section("groups").items()
    }
    return {**inherited, **own}


def _text(node: Node, key: str) -> str:
    child = node.child(key)
    return child.value if child is not None and isinstance(child.value, str) else ""

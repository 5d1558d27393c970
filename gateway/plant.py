"""Links, devices, tag groups and tags out of a configuration, each judged by its driver's settings."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Set
from dataclasses import dataclass
from types import ModuleType

from gateway.clock import SECOND
from gateway.diagnosis import choose, validate
from gateway.document import Node
from gateway.fields import DeviceSettings, GroupSettings, LinkSettings, PolledSettings, TagSettings
from gateway.model import Device, Link, Tag, TagGroup
from gateway.problems import Keys, Place, Report, listed, shown, suggestion
from gateway.site import NAME, NAME_HINT

_STALE_AFTER = 60 * SECOND
_STALE_LEAST = SECOND
_STALE_INTERVALS = 3


@dataclass(frozen=True, slots=True)
class Plant:
    """The links as the model knows them, and every tag by id. `places` says where each tag stands that the text names,
    also those that could not be built because something about them is wrong, which the report then says. Which tags
    the `unclear` devices have, nobody can tell."""

    links: tuple[Link, ...]
    tags: Mapping[str, Tag]
    places: Mapping[str, Place]
    unclear: Set[str]


def build(root: Node, report: Report) -> Plant:
    """The plant in a configuration's `links`, `devices` and `templates`."""
    return _Builder(root, report).build()


class _Builder:
    def __init__(self, root: Node, report: Report) -> None:
        self.report = report
        self.links = root.section("links")
        self.devices = root.section("devices")
        self.templates = root.section("templates")
        self.drivers: dict[str, ModuleType] = {}
        self.places: dict[str, Place] = {}
        self.unclear: set[str] = set()

    def build(self) -> Plant:
        settings = dict(self.read_links())
        devices: dict[str, list[Device]] = {name: [] for name in self.links}
        for name, node in self.devices.items():
            body = self.expand(name, node)
            if body is None:
                self.unclear.add(name)
                continue
            self.note_tags(name, body)
            link = self.find_link(body, ("devices", name))
            if link in self.drivers and (device := self.read_device(name, link, body)):
                devices[link].append(device)
        links = tuple(Link(name, each.driver, tuple(devices[name]), each) for name, each in settings.items())
        for each in links:
            self.check(each)
        return Plant(links, {tag.id: tag for link in links for tag in _tags(link)}, self.places, self.unclear)

    def read_links(self) -> Iterator[tuple[str, LinkSettings]]:
        for name, node in self.links.items():
            keys = ("links", name)
            driver = choose("driver", node, keys, self.report)
            if driver is None:
                continue
            self.drivers[name] = driver
            model: type[LinkSettings] = driver.LinkSettings
            if settings := validate(model, node, keys, self.report):
                yield name, settings

    def read_device(self, name: str, link: str, body: Node) -> Device | None:
        model: type[DeviceSettings] = self.drivers[link].DeviceSettings
        settings = validate(model, body, ("devices", name), self.report)
        if settings is None:
            return None
        if not settings.groups:
            self.report.add(body.anchor, "a device has at least one group", "", ("devices", name))
        for group, each in settings.groups.items():
            if not each.tags:
                self.report.add(body.anchor, "a group has at least one tag", "", ("devices", name, "groups", group))
        groups = [_group(name, each, group) for each, group in settings.groups.items()]
        return Device(name, tuple(groups), settings)

    def expand(self, device: str, node: Node) -> Node | None:
        """A device with the body of its template, None where there is no such template. Its own keys go before the
        template's, and its own groups before the template's groups of the same name."""
        name = node.child("template")
        if name is None:
            return node
        template = self.templates.get(name.value) if isinstance(name.value, str) else None
        if template is None:
            hint = suggestion(name.value, self.templates, "templates")
            self.report.add(name.place, f"unknown template {shown(name.value)}", hint, ("devices", device))
            return None
        if nested := template.child("template"):
            self.report.add(nested.anchor, "a template does not build on another")
        members = {**template.members, **node.members}
        del members["template"]
        inherited, own = template.child("groups"), node.child("groups")
        if inherited and own and own.members:
            members["groups"] = Node(own.place, {**inherited.members, **own.members}, own.key)
        return Node(node.place, members, node.key)

    def find_link(self, node: Node, keys: Keys) -> str:
        """The name of the device's link, or nothing where there is no such link."""
        link = node.child("link")
        if link is None:
            if isinstance(node.value, dict):  # another shape is the section's mistake, and reported there
                self.report.add(node.anchor, 'missing key "link"', f"the links are: {listed(self.links)}", keys)
            return ""
        if isinstance(link.value, str) and link.value in self.links:
            return link.value
        hint = suggestion(link.value, self.links, "links")
        self.report.add(link.place, f"unknown link {shown(link.value)}", hint, keys)
        return ""

    def note_tags(self, device: str, node: Node) -> None:
        """Where the device's tags stand; and their names and those of its groups, which are good, and stand once."""
        keys = ("devices", device, "groups")
        for name, group in self.names(node.child("groups"), keys):
            for tag, entry in self.names(group.child("tags"), (*keys, name, "tags")):
                first = self.places.setdefault(f"{device}/{tag}", entry.anchor)
                if first is not entry.anchor:
                    hint = f"the first is at {first}; a device has one tag of a name, whatever its groups"
                    self.report.add(entry.anchor, f"the tag {shown(f'{device}/{tag}')} stands here a second time", hint)

    def names(self, node: Node | None, keys: Keys) -> Iterator[tuple[str, Node]]:
        """The members of a mapping of groups or tags, each with a name that is one."""
        for name, member in node.members.items() if node else ():
            if not re.match(NAME, name):
                self.report.add(member.anchor, f"{shown(name)} is not a name", NAME_HINT, keys)
            yield name, member

    def check(self, link: Link) -> None:
        """What the driver has to say about all devices of a link together, such as two tags at one address."""
        check: Callable[[Link], Iterable[tuple[str, str]]] = self.drivers[link.id].check
        for tag, message in check(link):
            self.report.add(self.places.get(tag, self.links[link.id].anchor), f"{tag}: {message}")


def _group(device: str, name: str, settings: GroupSettings) -> TagGroup:
    columns = TagGroup.sort([_tag(f"{device}/{each}", tag) for each, tag in settings.tags.items()])
    interval = settings.interval if isinstance(settings, PolledSettings) else None
    usual = max(interval * _STALE_INTERVALS, _STALE_LEAST) if interval else _STALE_AFTER
    stale_after = settings.stale_after or usual
    return TagGroup(device, name, columns, interval, stale_after, settings, settings.priority)


def _tag(id_: str, settings: TagSettings) -> Tag:
    return Tag(
        id_,
        settings.type,
        unit=settings.unit,
        range=settings.range,
        deadband=settings.deadband,
        writable=settings.writable,
        description=settings.description,
        address=settings,
    )


def _tags(link: Link) -> Iterator[Tag]:
    return (tag for device in link.devices for group in device.groups for tag in group.columns)

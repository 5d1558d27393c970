"""What stays the same when a configuration is read again.

Links and tag groups are known by identity: a scan, a reading, an alarm belongs to the very object. So what stands as it
stood is taken over as the object that it was.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields, replace

from gateway.model import Link, TagGroup
from rules.settings import Rule

_PARTS = tuple(field.name for field in fields(TagGroup))


def graft_rules(before: Sequence[Rule], after: Sequence[Rule]) -> tuple[Rule, ...]:
    """The same objects are compared in no time, which `Engine.adopt` has to do while everybody waits."""
    known = {rule.name: rule for rule in before}
    return tuple(known[rule.name] if known.get(rule.name) == rule else rule for rule in after)


def graft_links(before: Sequence[Link], after: Sequence[Link]) -> tuple[Link, ...]:
    """`after`, in which every link that stands as it stood is the one of `before`. A link that changed keeps its tag
    groups that did not: to them, the change is no more than a reconnect."""
    links = {link.id: link for link in before}
    return tuple(_link(links[link.id], link) if link.id in links else link for link in after)


def _link(old: Link, new: Link) -> Link:
    if old.driver != new.driver:
        return new
    groups = {group.id: group for device in old.devices for group in device.groups}
    devices = tuple(replace(each, groups=tuple(_group(groups, group) for group in each.groups)) for each in new.devices)
    grafted = replace(new, devices=devices)
    return old if grafted == old else grafted


def _group(groups: Mapping[str, TagGroup], new: TagGroup) -> TagGroup:
    old = groups.get(new.id)
    if old is None:
        return new
    return old if all(getattr(old, part) == getattr(new, part) for part in _PARTS) else new

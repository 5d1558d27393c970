"""What did not change is the same object; what changed is not."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.fields import LinkSettings
from gateway.graft import graft_links, graft_rules
from gateway.model import Device, Link, Tag, TagGroup, ValueType
from rules.conditions import limit
from rules.settings import Rule, RuleSettings


def link(name: str = "bus", timeout: str = "1s", device: str = "press", **groups: str) -> Link:
    """A fresh link of one device with groups of one tag each, `name=type`."""
    settings = LinkSettings.model_validate({"driver": "fake", "open_timeout": timeout})
    made = tuple(
        TagGroup(device, group, (Tag(f"{device}/{group}", ValueType(type_)),), 10**9, 3 * 10**9, settings)
        for group, type_ in groups.items()
    )
    return Link(name, "fake", (Device(device, made),), settings)


def groups(of: Link) -> list[TagGroup]:
    return [group for device in of.devices for group in device.groups]


def test_unchanged() -> None:
    before, after = (link(a="bool"), link("other")), (link("other"), link(a="bool"), link("new"))
    grafted = graft_links(before, after)
    assert grafted[0] is before[1]
    assert grafted[1] is before[0]
    assert grafted[2] is after[2]


def test_of_a_changed_link_the_groups_stay() -> None:
    before, after = link(a="bool", b="bool"), link(a="bool", b="int8", c="bool")
    (grafted,) = graft_links([before], [after])
    assert grafted is not before
    assert groups(grafted)[0] is groups(before)[0]
    assert groups(grafted)[1:] == groups(after)[1:]


def test_settings_of_the_link_alone() -> None:
    before, after = link(a="bool"), link(a="bool")
    after = replace(after, settings=LinkSettings.model_validate({"driver": "fake", "open_timeout": "2s"}))
    (grafted,) = graft_links([before], [after])
    assert grafted is not before
    assert grafted.settings is after.settings
    assert groups(grafted) == groups(before)


@pytest.mark.parametrize("part", [{"interval": None}, {"stale_after": 1}, {"settings": "other"}, {"name": "x"}])
def test_a_group_that_changed(part: dict[str, object]) -> None:
    before, after = link(a="bool"), link(a="bool")
    (device,) = after.devices
    changed = replace(after, devices=(replace(device, groups=(replace(device.groups[0], **part),)),))  # type: ignore[arg-type]
    (grafted,) = graft_links([before], [changed])
    assert grafted is not before
    assert groups(grafted) != groups(before)


def test_another_driver_is_another_link() -> None:
    before, after = link(a="bool"), replace(link(a="bool"), driver="other")
    assert graft_links([before], [after]) == (after,)
    assert groups(after) != groups(before)


def rule(name: str, high: float) -> Rule:
    return Rule(name, RuleSettings(), "limit", limit.Settings.model_validate({"tag": "press/a", "high": high}))


def test_rules() -> None:
    before, after = (rule("a", 1), rule("b", 2)), (rule("b", 3), rule("a", 1), rule("c", 1))
    grafted = graft_rules(before, after)
    assert grafted[0] is after[0]
    assert grafted[1] is before[0]
    assert grafted[2] is after[2]

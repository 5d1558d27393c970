"""Rules out of a configuration, each judged by its condition's settings and against the tags that there are."""

from __future__ import annotations

from collections.abc import Iterator

from gateway import plugins
from gateway.diagnosis import fields, validate
from gateway.document import Node
from gateway.errors import ConfigError
from gateway.plant import Plant
from gateway.problems import Keys, Place, Report, listed, shown, suggestion
from rules import condition
from rules.settings import Rule, RuleSettings, WriteSettings


def build(root: Node, plant: Plant, report: Report) -> tuple[Rule, ...]:
    """The rules in a configuration; every tag that they name is looked up in `plant`."""
    return tuple(_Builder(plant, report).rules(root.section("rules")))


class _Builder:
    def __init__(self, plant: Plant, report: Report) -> None:
        self.plant = plant
        self.report = report
        self.conditions = plugins.names("condition")
        self.keys = fields(RuleSettings)

    def rules(self, section: dict[str, Node]) -> Iterator[Rule]:
        for name, node in section.items():
            if isinstance(node.value, dict) and (rule := self.rule(name, node)):
                yield rule

    def rule(self, name: str, node: Node) -> Rule | None:
        keys = ("rules", name)
        conditions = [key for key in node.members if key in self.conditions]
        unknown = [key for key in node.members if key not in self.conditions and key not in self.keys]
        for key in unknown:
            hint = suggestion(key, [*self.keys, *self.conditions], "keys")
            self.report.add(node.members[key].anchor, f"unknown key {shown(key)}", hint, keys)
        settings = validate(RuleSettings, node.without(*conditions, *unknown), keys, self.report)
        if settings and settings.write:
            self.check_write(name, settings.write, node.members["write"])
        if len(conditions) != 1:
            self.check_count(conditions or unknown, node, keys)
            return None
        condition_settings = self.condition(name, conditions[0], node.members[conditions[0]])
        if settings is None or condition_settings is None:
            return None
        return Rule(name, settings, conditions[0], condition_settings)

    def check_count(self, found: list[str], node: Node, keys: Keys) -> None:
        """A rule has one condition. An unknown key may be one with a slip of the pen, and is reported as that."""
        if not found:
            self.report.add(node.anchor, "missing condition", f"give one of: {listed(self.conditions)}", keys)
        elif found[0] in self.conditions:
            hint = f"found {listed(found)}; make a rule of each"
            self.report.add(node.members[found[1]].anchor, "a rule has one condition", hint, keys)

    def condition(self, rule: str, name: str, node: Node) -> condition.Settings | None:
        keys = ("rules", rule, name)
        try:
            model: type[condition.Settings] = plugins.load("condition", name).Settings
        except ConfigError as error:
            self.report.add(node.anchor, str(error), "", keys)
            return None
        settings = validate(model, node, keys, self.report)
        if settings and self.known(settings.tags(), node, keys):
            self.note(node.anchor, rule, settings.problem(self.plant.tags))
        return settings

    def check_write(self, rule: str, write: WriteSettings, node: Node) -> None:
        if self.known((write.tag,), node, ("rules", rule, "write")):
            culprit = node.members["value" if self.plant.tags[write.tag].writable else "tag"]
            self.note(culprit.place, rule, write.problem(self.plant.tags))

    def note(self, place: Place, rule: str, problem: str | None) -> None:
        if problem:
            self.report.add(place, f"rule {rule}: {problem}")

    def known(self, tags: tuple[str, ...], node: Node, keys: Keys) -> bool:
        """Whether all of the tags can be looked up. Those that no device has are reported; where a tag's own entry is
        wrong, the rule may be right, and nothing is said."""
        for tag in tags:
            if tag not in self.plant.places and tag.partition("/")[0] not in self.plant.unclear:
                place = next((each.place for each in _leaves(node) if each.value == tag), node.anchor)
                self.report.add(place, f"unknown tag {shown(tag)}", self.similar(tag), keys)
        return all(tag in self.plant.tags for tag in tags)

    def similar(self, tag: str) -> str:
        """The hint for an unknown tag, out of its own device if there is that: a cell has many tags, few are alike."""
        device = tag.partition("/")[0]
        siblings = [each for each in self.plant.places if each.startswith(f"{device}/")]
        if siblings:
            return suggestion(tag, siblings, "tags of this device")
        return suggestion(device, {each.partition("/")[0]: None for each in self.plant.places}, "devices")


def _leaves(node: Node) -> Iterator[Node]:
    if isinstance(node.value, dict | list):
        for child in node.value.values() if isinstance(node.value, dict) else node.value:
            yield from _leaves(child)
    else:
        yield node

"""Rules out of a configuration, each judged by its condition's settings and against the tags that there are."""

from __future__ import annotations

from collections.abc import Iterator

from gateway import plugins
from gateway.diagnosis import fields, validate
from gateway.document import Node
from gateway.errors import ConfigError
from gateway.plant import Plant
from gateway.problems import Keys, Place, Report, listed, shown, suggestion
from rules.condition import Settings as ConditionSettings
from rules.condition import Spot
from rules.settings import Rule, RuleSettings, WriteSettings


def build(root: Node, plant: Plant, report: Report) -> tuple[Rule, ...]:
    """The rules in a configuration; every tag that they name is looked up in `plant`."""
    return tuple(_Builder(plant, report).rules(root.section("rules")))


class _Builder:
    def __init__(self, plant: Plant, report: Report) -> None:
        self.plant = plant
        self.report = report
        self.conditions = plugins.names("condition")
        self.beside = {key: name for name in self.conditions for key in _beside(name)}
        self.keys = fields(RuleSettings)

    def rules(self, section: dict[str, Node]) -> Iterator[Rule]:
        for name, node in section.items():
            if isinstance(node.value, dict) and (rule := self.rule(name, node)):
                yield rule

    def rule(self, name: str, node: Node) -> Rule | None:
        keys = ("rules", name)
        conditions = [key for key in node.members if key in self.conditions]
        beside = [key for key in node.members if self.beside.get(key) in conditions]
        unknown = [key for key in node.members if key not in (*self.conditions, *self.keys, *beside)]
        for key in unknown:
            self.check_unknown(key, node, keys)
        settings = validate(RuleSettings, node.without(*conditions, *beside, *unknown), keys, self.report)
        if settings and settings.write:
            self.check_write(name, settings.write, node.members["write"])
        if len(conditions) != 1:
            self.check_count(conditions or unknown, node, keys)
            return None
        condition_settings = self.condition(name, conditions[0], node)
        if settings is None or condition_settings is None:
            return None
        return Rule(name, settings, conditions[0], condition_settings)

    def check_unknown(self, key: str, node: Node, keys: Keys) -> None:
        if key in self.beside:
            message, hint = f"{key} stands beside {self.beside[key]} only", f"give {self.beside[key]}, too"
        else:
            hint = suggestion(key, [*self.keys, *self.conditions, *self.beside], "keys")
            message = f"unknown key {shown(key)}"
        self.report.add(node.members[key].anchor, message, hint, keys)

    def check_count(self, found: list[str], node: Node, keys: Keys) -> None:
        """A rule has one condition. An unknown key may be one with a slip of the pen, and is reported as that."""
        if not found:
            self.report.add(node.anchor, "missing condition", f"give one of: {listed(self.conditions)}", keys)
        elif found[0] in self.conditions:
            hint = f"found {listed(found)}; make a rule of each"
            self.report.add(node.members[found[1]].anchor, "a rule has one condition", hint, keys)

    def condition(self, rule: str, name: str, node: Node) -> ConditionSettings | None:
        keys: Keys = ("rules", rule, name)
        try:
            model: type[ConditionSettings] = plugins.load("condition", name).Settings
        except ConfigError as error:
            self.report.add(node.members[name].anchor, str(error), "", keys)
            return None
        if model.flat:
            keys = ("rules", rule)
            body = node.without(*(key for key in node.members if key not in model.model_fields))
        else:
            body = node.members[name]
        settings = validate(model, body, keys, self.report)
        if settings and self.known(settings, body, keys):
            for flaw in settings.flaws(self.plant.tags):
                place = _spotted(body, flaw.spot) or node.members[name].anchor
                self.report.add(place, f"rule {rule}: {flaw.message}", flaw.hint)
        return settings

    def check_write(self, rule: str, write: WriteSettings, node: Node) -> None:
        if self.is_known(write.tag, _named(node, write.tag), ("rules", rule, "write")):
            culprit = node.members["value" if self.plant.tags[write.tag].writable else "tag"]
            self.note(culprit.place, rule, write.problem(self.plant.tags))

    def note(self, place: Place, rule: str, problem: str | None) -> None:
        if problem:
            self.report.add(place, f"rule {rule}: {problem}")

    def known(self, settings: ConditionSettings, node: Node, keys: Keys) -> bool:
        """Whether all of the tags that a condition reads can be looked up."""
        places = {tag: _spotted(node, settings.spot(tag)) or _named(node, tag) for tag in settings.tags()}
        return all([self.is_known(tag, place, keys) for tag, place in places.items()])

    def is_known(self, tag: str, place: Place, keys: Keys) -> bool:
        """Whether a tag can be looked up. One that no device has is reported; where a tag's own entry is wrong, the
        rule may be right, and nothing is said."""
        if tag not in self.plant.places and tag.partition("/")[0] not in self.plant.unclear:
            self.report.add(place, f"unknown tag {shown(tag)}", self.similar(tag), keys)
        return tag in self.plant.tags

    def similar(self, tag: str) -> str:
        """The hint for an unknown tag, out of its own device if there is that: a cell has many tags, few are alike."""
        device = tag.partition("/")[0]
        siblings = [each for each in self.plant.places if each.startswith(f"{device}/")]
        if siblings:
            return suggestion(tag, siblings, "tags of this device")
        return suggestion(device, {each.partition("/")[0]: None for each in self.plant.places}, "devices")


def _beside(name: str) -> list[str]:
    """The keys of a rule that belong to a condition, beside its own."""
    try:
        model: type[ConditionSettings] = plugins.load("condition", name).Settings
    except ConfigError:
        return []  # told where it is used
    return [key for key in model.model_fields if model.flat and key != name]


def _spotted(node: Node, spot: Spot | None) -> Place | None:
    return None if spot is None else node.members[spot.key].at(spot.at)


def _named(node: Node, tag: str) -> Place:
    """Where the id of a tag is a value of its own."""
    return next((each.place for each in _leaves(node) if each.value == tag), node.anchor)


def _leaves(node: Node) -> Iterator[Node]:
    if isinstance(node.value, dict | list):
        for child in node.value.values() if isinstance(node.value, dict) else node.value:
            yield from _leaves(child)
    else:
        yield node

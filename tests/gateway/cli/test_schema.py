"""The schema for editors takes what `edgeward check` takes, and knows every plugin."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from gateway import plugins
from gateway.cli import schema
from gateway.document import parse
from gateway.problems import Report

EXAMPLES = Path(__file__).parents[3] / "config" / "examples"
TYPES = {"object": dict, "array": list, "string": str, "boolean": bool, "null": type(None)}
SCHEMA = json.loads(json.dumps(schema.schema()))


def accepts(rule: dict, value: object) -> bool:  # type: ignore[type-arg]
    """As much of JSON schema, draft 2020-12, as ours is written in."""
    if "$ref" in rule:
        return accepts(SCHEMA["$defs"][rule["$ref"].removeprefix("#/$defs/")], value)
    return all(CHECKS[key](rule, value) for key in rule.keys() & CHECKS.keys())


def is_of_type(rule: dict, value: object) -> bool:  # type: ignore[type-arg]
    if rule["type"] in ("number", "integer"):
        return isinstance(value, int if rule["type"] == "integer" else int | float) and not isinstance(value, bool)
    return isinstance(value, TYPES[rule["type"]])


def known(rule: dict, key: str) -> list[dict]:  # type: ignore[type-arg]
    patterns = rule.get("patternProperties", {})
    found = [rule["properties"][key]] if key in rule.get("properties", {}) else []
    found += [inner for pattern, inner in patterns.items() if re.search(pattern, key)]
    other = rule.get("additionalProperties", True)
    return found or [other if isinstance(other, dict) else {} if other else {"enum": []}]


def fits(rule: dict, value: object) -> bool:  # type: ignore[type-arg]
    members = value.items() if isinstance(value, dict) else ()
    return all(accepts(inner, member) for key, member in members for inner in known(rule, key))


CHECKS: dict[str, Callable[[dict, object], bool]] = {  # type: ignore[type-arg]
    "type": is_of_type,
    "const": lambda rule, value: value == rule["const"],
    "enum": lambda rule, value: value in rule["enum"],
    "properties": fits,
    "patternProperties": fits,
    "additionalProperties": fits,
    "required": lambda rule, value: isinstance(value, dict) and all(key in value for key in rule["required"]),
    "dependentRequired": lambda rule, value: all(
        other in value for key, others in rule["dependentRequired"].items() if key in value for other in others
    ),
    "anyOf": lambda rule, value: any(accepts(each, value) for each in rule["anyOf"]),
    "oneOf": lambda rule, value: sum(accepts(each, value) for each in rule["oneOf"]) == 1,
    "if": lambda rule, value: accepts(rule["if"], value) or accepts(rule["else"], value),
    "items": lambda rule, value: not isinstance(value, list) or all(accepts(rule["items"], each) for each in value),
    "pattern": lambda rule, value: not isinstance(value, str) or re.search(rule["pattern"], value) is not None,
    "minimum": lambda rule, value: not isinstance(value, int | float) or value >= rule["minimum"],
    "maximum": lambda rule, value: not isinstance(value, int | float) or value <= rule["maximum"],
}


def plain(path: Path) -> dict[str, object]:
    node = parse(path.read_bytes(), str(path), Report())
    assert node is not None
    data = node.plain()
    assert isinstance(data, dict)
    return data


@pytest.mark.parametrize("path", sorted(EXAMPLES.rglob("*.yaml")), ids=lambda path: path.stem)
def test_the_examples_fit(path: Path) -> None:
    assert accepts(SCHEMA, plain(path))


@pytest.mark.parametrize(
    ("keys", "value"),
    [
        (("sites",), "plant-2"),
        (("links", "press-bus", "driver"), "modbsu"),
        (("links", "press-bus", "hosts"), "192.0.2.11"),
        (("links", "press-bus", "timeout"), 5),
        (("links", "press bus"), {"driver": "modbus", "host": "192.0.2.11"}),
        (("devices", "press-1", "unit"), "1"),
        (("devices", "press-1", "groups", "fast", "tags", "run", "type"), "flaot32"),
        (("devices", "press-2"), {"link": "press-bus"}),
        (("sinks", "cloud", "sink"), "influx"),
        (("sinks", "cloud", "token"), "hunter2"),
        (("rules", "press-1-oil-high", "priority"), "hihg"),
        (("rules", "idle"), {"priority": "low"}),
        (("rules", "press-1-oil-high", "when"), "press-1/run"),
        (("rules", "press-1-oil-high", "until"), "press-1/run"),
        (("rules", "press-1-running-dry", "when"), True),
        (("rules", "press-1-running-dry", "whenever"), "press-1/run"),
        (("rules", "press-1-oil-high", "write", "tags"), "press-1/run"),
        (("http",), {"port": 70_000}),
    ],
)
def test_a_mistake_does_not_fit(keys: tuple[str, ...], value: object) -> None:
    data = plain(EXAMPLES / "modbus.yaml")
    inner = data
    for key in keys[:-1]:
        inner = inner[key]  # type: ignore[assignment]
    inner[keys[-1]] = value
    assert not accepts(SCHEMA, data)


def test_every_reference_leads_somewhere() -> None:
    references = set(re.findall(r'"\$ref": "#/\$defs/([^"]*)"', json.dumps(SCHEMA)))
    assert references
    assert references <= SCHEMA["$defs"].keys()


def test_every_plugin_is_in_it() -> None:
    text = json.dumps(SCHEMA)
    for name in [*plugins.usable("driver"), *plugins.usable("sink")]:
        assert f'"const": "{name}"' in text
    for name in plugins.usable("condition"):
        [rule] = SCHEMA["properties"]["rules"]["patternProperties"].values()
        assert {"required": [name]} in rule["oneOf"]


def test_it_is_printed_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert schema.run() == 0
    assert json.loads(capsys.readouterr().out)["$schema"] == "https://json-schema.org/draft/2020-12/schema"

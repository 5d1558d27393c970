"""`edgeward schema`: the configuration as a JSON schema, for editors that complete and check YAML with one.

It is put together from the settings of every plugin there is, so it knows a new driver as soon as its file is there.
"""

from __future__ import annotations

from json import dumps
from types import ModuleType

from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaValue

from gateway import plugins
from gateway.site import NAME, SiteSettings
from rules.settings import RuleSettings


def run() -> int:
    """Print the schema."""
    print(dumps(schema(), indent=2, ensure_ascii=False))
    return 0


def schema() -> dict[str, object]:
    """The JSON schema, draft 2020-12, of a whole configuration."""
    return _Schema().site()


class _Schema:
    """Collects the definitions of many models, each under the name of its plugin, so that no two collide."""

    def __init__(self) -> None:
        self.definitions: dict[str, JsonSchemaValue] = {}

    def site(self) -> dict[str, object]:
        drivers, sinks = plugins.usable("driver"), plugins.usable("sink")
        entries = {
            "links": {"oneOf": [self.link(name, driver) for name, driver in drivers.items()]},
            "devices": {"anyOf": [self.device(name, driver) for name, driver in drivers.items()]},
            "templates": {"anyOf": [self.template(name, driver) for name, driver in drivers.items()]},
            "sinks": {"oneOf": [self.sink(name, sink) for name, sink in sinks.items()]},
            "rules": self.rule(),
        }
        body = self.body("site", SiteSettings)
        for section, entry in entries.items():
            body["properties"][section] |= {"patternProperties": {NAME: entry}, "additionalProperties": False}
        del body["required"]  # a file that is included has only some of the sections
        draft = "https://json-schema.org/draft/2020-12/schema"
        return {"$schema": draft, **body, "title": "Edgeward configuration", "$defs": self.definitions}

    def body(self, prefix: str, model: type[BaseModel]) -> JsonSchemaValue:
        """The schema of a model; the models that it refers to become definitions."""
        body = model.model_json_schema(ref_template=f"#/$defs/{prefix}.{{model}}")
        inner = body.pop("$defs", {})
        self.definitions |= {f"{prefix}.{name}": definition for name, definition in inner.items()}
        for each in (body, *inner.values()):
            _drop_defaults(each)
        return body

    def link(self, name: str, driver: ModuleType) -> JsonSchemaValue:
        body = self.body(f"driver.{name}", driver.LinkSettings)
        body["properties"]["driver"] |= {"const": name}
        return body

    def device(self, name: str, driver: ModuleType) -> JsonSchemaValue:
        """A device: whole, or with a template that gives the rest."""
        body = self.template(name, driver)
        body["properties"]["template"] = {"type": "string", "description": "the template that it is made from"}
        body["if"] = {"required": ["template"]}
        body["else"] = {"required": self.body(f"driver.{name}", driver.DeviceSettings)["required"]}
        return body

    def template(self, name: str, driver: ModuleType) -> JsonSchemaValue:
        """Any part of a device."""
        body = self.body(f"driver.{name}", driver.DeviceSettings)
        del body["required"]
        return body

    def sink(self, name: str, sink: ModuleType) -> JsonSchemaValue:
        body = self.body(f"sink.{name}", sink.Settings)
        body["properties"]["sink"] |= {"const": name}
        return body

    def rule(self) -> JsonSchemaValue:
        """A rule: what all rules have, and exactly one condition."""
        body = self.body("rule", RuleSettings)
        conditions = plugins.usable("condition")
        for name, module in conditions.items():
            settings = self.body(f"condition.{name}", module.Settings)
            if module.Settings.flat:
                body["properties"] |= settings["properties"]
                beside = [key for key in settings["properties"] if key != name]
                body.setdefault("dependentRequired", {}).update({key: [name] for key in beside})
            else:
                body["properties"][name] = settings
        body["oneOf"] = [{"required": [name]} for name in conditions]
        return body


def _drop_defaults(body: JsonSchemaValue) -> None:
    """Without the defaults that are not as people write them: a duration is 10s to them, and nanoseconds to us."""
    for field in body.get("properties", {}).values():
        if field.get("type") == "string" and not isinstance(field.get("default"), str):
            field.pop("default", None)

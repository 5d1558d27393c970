"""Validates a node with a settings model and says in plain words what is wrong with it, and where.

Values are judged strictly: the number 1 is not true, and "1" is no number. A relative path is relative to the file in
which it stands.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import TypeVar, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from gateway import plugins
from gateway.document import Node
from gateway.errors import ConfigError
from gateway.problems import Keys, Place, Report, closest, listed, shown, suggestion
from gateway.scalar import resolve
from gateway.site import NAME, NAME_HINT

Model = TypeVar("Model", bound=BaseModel)

_EXPECTED = {
    "bool_type": "true or false",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "string_type": "text",
    "path_type": "a path",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "list_type": "a list",
    "tuple_type": "a list",
    "set_type": "a list",
    "frozen_set_type": "a list",
    "greater_than": "more than {gt}",
    "greater_than_equal": "{ge} or more",
    "less_than": "less than {lt}",
    "less_than_equal": "{le} or less",
    "multiple_of": "a multiple of {multiple_of}",
    "string_too_short": "at least {min_length} characters",
    "string_too_long": "at most {max_length} characters",
    "too_short": "{min_length} or more entries",
    "too_long": "{max_length} or fewer entries",
    "string_pattern_mismatch": "text of the form {pattern}",
    "enum": "{expected}",
    "literal_error": "{expected}",
    "union_tag_invalid": "{expected_tags}",
}
_TRUTHS = frozenset(("yes", "no", "on", "off", "y", "n", "true", "false"))
_ZERO_LED = re.compile(r"[-+]?0[0-9]+(?:\.[0-9]*)?")


def validate(model: type[Model], node: Node, keys: Keys, report: Report) -> Model | None:
    """The settings in `node`, which stands at `keys`; None where they are wrong, and the report then says why."""
    try:
        # JSON, because strict mode then still takes text for an enumeration and a list for a tuple.
        return _rebase(model.model_validate_json(json.dumps(node.plain()), strict=True), node)
    except ValidationError as error:
        mistakes = [_Mistake(model, node, keys, details) for details in error.errors(include_url=False)]
    for mistake in _distinct(mistakes):
        report.add(mistake.place, mistake.message, mistake.hint, mistake.keys)
    return None


def _rebase(settings: Model, node: Node) -> Model:
    """The settings with their paths seen from where this process stands."""
    values = {name: _seen_from(value, node.child(name) or node) for name, value in settings}
    changes = {name: value for name, value in values.items() if value is not getattr(settings, name)}
    return settings.model_copy(update=changes) if changes else settings


def _seen_from(value: object, node: Node) -> object:
    if isinstance(value, BaseModel):
        return _rebase(value, node)
    if isinstance(value, Path):
        return Path(node.place.file).parent / value
    if isinstance(value, dict) and any(isinstance(each, BaseModel) for each in value.values()):
        return {name: _seen_from(each, node.child(name) or node) for name, each in value.items()}
    return value


def choose(kind: str, node: Node, keys: Keys, report: Report) -> ModuleType | None:
    """The plugin that a node names by the key that is called like the kind; None where it names none."""
    name = node.child(kind)
    if name is None:
        if isinstance(node.value, dict):  # another shape is the section's mistake, and reported there
            hint = f"known {kind}s: {listed(plugins.usable(kind))}"
            report.add(node.anchor, f"missing key {shown(kind)}", hint, keys)
        return None
    if not isinstance(name.value, str) or name.value not in plugins.names(kind):
        hint = suggestion(name.value, plugins.usable(kind), f"{kind}s")
        report.add(name.place, f"unknown {kind} {shown(name.value)}", hint, keys)
        return None
    try:
        return plugins.load(kind, name.value)
    except ConfigError as error:
        report.add(name.place, str(error), "", keys)
        return None


class _Mistake:
    """One of pydantic's errors, found again in the text."""

    def __init__(self, model: type[BaseModel], node: Node, keys: Keys, error: ErrorDetails) -> None:
        self.model = model
        self.error = error
        self.node, inner = _walk(node, error["loc"])
        self.keys = (*keys, *inner)
        self.expected = ""
        self.hint = ""
        self.concerns: str | None = None  # the key that is missing, or that is meant
        self.message = self.describe()

    @property
    def place(self) -> Place:
        whole = isinstance(self.node.value, dict) and self.error["type"] not in _EXPECTED
        named = self.is_key or self.error["type"] in ("extra_forbidden", "missing")
        if self.error["type"] == "expression":
            return self.node.at(self.error["ctx"]["at"])
        return self.node.anchor if whole or named else self.node.place

    @property
    def is_key(self) -> bool:
        return self.error["loc"][-1:] == ("[key]",)

    def describe(self) -> str:
        last = self.error["loc"][-1] if self.error["loc"] else ""
        match self.error["type"]:
            case "extra_forbidden":
                return self.describe_unknown(str(last))
            case "missing":
                return "the list is too short" if isinstance(last, int) else self.describe_missing(str(last))
            case "union_tag_not_found":
                return self.describe_missing(str(self.error["ctx"]["discriminator"]).strip("'"))
            case "value_error" | "assertion_error":
                self.hint = str(self.error["ctx"]["error"])
                return "invalid settings" if isinstance(self.node.value, dict) else "invalid value"
            case "expression":
                self.hint = str(self.error["ctx"]["hint"])
                return str(self.error["ctx"]["problem"])
            case "string_pattern_mismatch" if self.error["ctx"]["pattern"] == NAME:
                return self.describe_name()
            case _:
                return self.describe_unexpected()

    def describe_unknown(self, key: str) -> str:
        self.keys = self.keys[:-1]
        known = fields(self.model, self.error["loc"][:-1])
        self.concerns = closest(key, known)
        self.hint = suggestion(key, known, "keys")
        return f"unknown key {shown(key)}"

    def describe_missing(self, key: str) -> str:
        self.concerns = key
        self.hint = fields(self.model, self.error["loc"][:-1]).get(key, "")
        return f"missing key {shown(key)}"

    def describe_name(self) -> str:
        self.hint = NAME_HINT
        if not self.is_key:
            return f"{shown(self.node.value)} is not a name"
        name, self.keys = self.keys[-1], self.keys[:-1]
        return f"{shown(name)} is not a name"

    def describe_unexpected(self) -> str:
        kind, found = self.error["type"], self.node.value
        if kind not in _EXPECTED:
            return self.error["msg"].replace("Input should be", "expected")
        context = {name: _whole(value) for name, value in self.error.get("ctx", {}).items()}
        self.expected = _EXPECTED[kind].format(**context).replace("'", "")
        self.hint = _hint(kind, found, self.expected)
        return f"expected {self.expected}, found {context.get('actual_length', shown(found))}"


def _walk(node: Node, loc: Keys) -> tuple[Node, Keys]:
    """As far as `loc` leads into the text: what it names beyond that is a missing key or a branch of a union."""
    inner: list[str | int] = []
    for part in loc:
        child = node.child(part)
        if child is not None:
            node = child
            inner.append(part)
    return node, tuple(inner)


def _distinct(mistakes: list[_Mistake]) -> list[_Mistake]:
    """The branches of a union that one value fails are one mistake: it fits none of them. And a key is not missing
    that stands there misspelt."""
    misspelt = {(each.keys, each.concerns) for each in mistakes if each.error["type"] == "extra_forbidden"}
    united: dict[Keys, _Mistake] = {}
    distinct = []
    for mistake in mistakes:
        if mistake.error["type"] == "missing" and (mistake.keys, mistake.concerns) in misspelt:
            continue
        first = united.setdefault(mistake.keys, mistake) if mistake.expected else mistake
        if first is mistake:
            distinct.append(mistake)
        elif mistake.expected not in first.expected:
            first.expected += f" or {mistake.expected}"
            first.message = f"expected {first.expected}, found {shown(first.node.value)}"
    return distinct


def _whole(value: object) -> object:
    """0.0 as 0, for people."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _hint(kind: str, found: object, expected: str) -> str:
    if found is None:
        return "write {} where there is none" if expected == "a mapping" else ""
    if kind == "string_type" and isinstance(found, bool | int | float):
        return f'put it in quotes: "{shown(found)}"'
    if not isinstance(found, str):
        return ""
    if kind in ("enum", "literal_error", "union_tag_invalid"):
        close = closest(found, re.split(", | or ", expected))
        return f"did you mean {shown(close)}?" if close else ""
    if kind == "bool_type" and found.lower() in _TRUTHS:
        return "write true or false, without quotes"
    return _number_hint(found) if kind in ("int_type", "float_type") else ""


def _number_hint(found: str) -> str:
    if _ZERO_LED.fullmatch(found):
        return f"write it without the leading zero: {found.lstrip('+-0') or 0}"
    if "_" in found and found.replace("_", "").isdecimal():
        return f"write it without underscores: {found.replace('_', '')}"
    try:
        return "remove the quotes" if isinstance(resolve(found), int | float) else ""
    except ValueError:
        return ""


def fields(model: type[BaseModel], loc: Keys = ()) -> dict[str, str]:
    """The keys that are known at `loc` inside a model, and what they mean."""
    return {
        field.alias or name: field.description or ""
        for each in _models_at(model, loc)
        for name, field in each.model_fields.items()
    }


def _models_at(model: type[BaseModel], loc: Keys) -> list[type[BaseModel]]:
    """The models that may stand at `loc`. The keys of a dict, indices and branches of a union lead nowhere else."""
    models = [model]
    for part in loc:
        inner = [each.model_fields[part].annotation for each in models if part in each.model_fields]
        models = [found for annotation in inner for found in _models_in(annotation)] or models
    return models


def _models_in(annotation: object) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models_in(argument)

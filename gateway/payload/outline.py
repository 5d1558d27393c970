"""The shape of a payload as the tags of a configuration. Pure."""

from __future__ import annotations

import re

from gateway.model import ValueType
from gateway.payload import path
from gateway.payload.shape import Leaf, Shape
from gateway.survey import Line, Names, Part, Plain, shown

MOST_NUMBER = 40
MOST_TEXT = 200

_NUMBER = re.compile(rb"\s*[+-]?[0-9]+(\.[0-9]*)?([eE][+-]?[0-9]+)?\s*")


def tags(shape: Shape, names: Names, group: str) -> Part:
    """A line a tag. `group` is what to call a value that has no name of its own."""
    lines = {}
    for leaf in shape.leaves:
        name = names.take(leaf.name, f"{group}.{leaf.name}", group)
        lines[name] = Line(_tag(leaf, name), shown(leaf.example))
    left_out = f"{shape.left_out} more stand in the payload that no tag can be made of by itself"
    return Part(lines, (left_out,) if shape.left_out else ())


def source(shape: Shape) -> dict[str, Line | Part]:
    """What the group says of its payloads besides the tags."""
    if shape.time is None:
        return {}
    return {"time": Line({"path": shape.time.path, "format": shape.time.format})}


def text_type(payload: bytes) -> ValueType | None:
    """What a payload is as plain text; None where it is none."""
    if payload.strip().lower() in (b"true", b"false"):
        return ValueType.BOOL
    if _NUMBER.fullmatch(payload) and len(payload) <= MOST_NUMBER:
        return ValueType.FLOAT64
    try:
        text = payload.decode()
    except UnicodeDecodeError:
        return None
    return ValueType.STRING if text.isprintable() and 0 < len(text) <= MOST_TEXT else None


def _tag(leaf: Leaf, name: str) -> Plain:
    body: dict[str, Plain] = {"type": leaf.type.value}
    return body if _is_implied(leaf, name) else {"path": leaf.path, **body}


def _is_implied(leaf: Leaf, name: str) -> bool:
    """A tag without a path is looked for under its name."""
    try:
        return path.parse(name) == path.parse(leaf.path)
    except ValueError:
        return False

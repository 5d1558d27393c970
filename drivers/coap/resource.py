"""Paths of resources, as people write them: `/plant/{device}/state`. Pure.

A *template* begins with a slash, holds no query, and is written plainly, without percent-encoding. `{device}` stands
for the device's name, and a level `{tag}` for the name of a tag. Filled in, it becomes *segments*: one Uri-Path option
each.
"""

from __future__ import annotations

import re
from typing import TypeAlias

Segments: TypeAlias = tuple[str, ...]

MAX_SEGMENT = 255
MAX_SEGMENTS = 32

_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")


def check_template(template: str, *, tag: bool = True) -> None:
    """Raises ValueError unless `template` becomes segments once it is filled in; with a level `{tag}` only if `tag`."""
    known = {"device", "tag"} if tag else {"device"}
    unknown = set(_PLACEHOLDER.findall(template)) - known
    if unknown:
        names = " and ".join(f"{{{name}}}" for name in sorted(known))
        raise ValueError(f"the path {template!r} has {{{unknown.pop()}}}: only {names} can stand here")
    if any("{tag}" in level and level != "{tag}" for level in template.split("/")):
        raise ValueError(f"the path {template!r} mixes {{tag}} with text: it stands alone in its level")
    fill(template, "device", "tag")


def names_tag(template: str) -> bool:
    """True where a level of the path says which tag a request is about."""
    return "{tag}" in template.split("/")


def fill(template: str, device: str, tag: str = "") -> Segments:
    """The segments that a template stands for. Raises ValueError where it stands for none."""
    if not template.startswith("/") or "?" in template or "#" in template:
        raise ValueError(f"the path {template!r} cannot be used: write /a/b, without query")
    names = {"{device}": device, "{tag}": tag}
    levels = template[1:].split("/") if template != "/" else []
    segments = tuple(_PLACEHOLDER.sub(lambda match: names.get(match[0], match[0]), level) for level in levels)
    for segment in segments:
        _check_segment(segment)
    if len(segments) > MAX_SEGMENTS:
        raise ValueError(f"the path {template!r} has more than {MAX_SEGMENTS} levels")
    return segments


def show(segments: Segments) -> str:
    return "/" + "/".join(segments)


def _check_segment(segment: str) -> None:
    if segment in ("", ".", "..") or "/" in segment:  # RFC 7252, 5.10.1
        raise ValueError(f"{segment!r} cannot be a level of a path")
    if len(segment.encode()) > MAX_SEGMENT:
        raise ValueError(f"{segment[:20]!r}… is no level of a path: it has more than {MAX_SEGMENT} bytes")

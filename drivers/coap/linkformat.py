"""What `/.well-known/core` lists: `</sensors/temp>;rt="temperature";obs` (RFC 6690, 2). Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote

from drivers.coap import resource

CORE: Final = "/.well-known/core"
MOST_RESOURCES: Final = 64

_LINK = re.compile(r'\s*<(?P<target>[^<>]{0,1024})>(?P<rest>(?:[^",<]|"(?:[^"\\]|\\.)*")*),?', re.DOTALL)
_PARAMETER = re.compile(
    r';\s*(?P<name>[A-Za-z0-9!#$&+.^_`|~-]+\*?)\s*(?:=\s*(?:"(?P<quoted>(?:[^"\\]|\\.)*)"|(?P<plain>[^;,"\s]+)))?'
)


@dataclass(frozen=True, slots=True)
class Resource:
    """One resource of the server itself. `path` is written plainly; `kind` is what it says it is, in its own words."""

    path: str
    is_observable: bool = False
    kind: str = ""


def parse(text: str) -> Iterator[Resource]:
    """Those that the configuration can name, up to the first thing that is no link."""
    at = count = 0
    while count < MOST_RESOURCES and (match := _LINK.match(text, at)):
        at = match.end()
        path = unquote(match["target"])
        if not is_usable(path):
            continue
        count += 1
        found = {
            each["name"].lower(): each["quoted"] or each["plain"] or "" for each in _PARAMETER.finditer(match["rest"])
        }
        yield Resource(path, "obs" in found, found.get("title") or found.get("rt", ""))


def is_usable(path: str) -> bool:
    """On the server itself, without a query, and with nothing in it that a configuration gives a meaning of its own."""
    if not path.startswith("/") or path.startswith(("//", "/.well-known")) or not path.isprintable():
        return False
    try:
        resource.check_template(path, tag=False)
    except ValueError:
        return False
    return not set("{}") & set(path)

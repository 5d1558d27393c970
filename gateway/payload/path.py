"""Where a value stands in a JSON document: `bearing.temperature`, `axes[2].load`, `"a key.with dots".value`. Pure."""

from __future__ import annotations

import re
from typing import Final, TypeAlias

Path: TypeAlias = tuple[str | int, ...]

MISSING: Final = object()

_STEP = re.compile(r'(?:^|(?<=.)\.)(?:"(?P<quoted>[^"]+)"|(?P<plain>[^.\[\]"]+))|\[(?P<index>\d{1,9})\]')


def parse(text: str) -> Path:
    """The steps of a path; none for the empty path, which is the whole document. Raises ValueError."""
    steps: list[str | int] = []
    position = 0
    while position < len(text):
        match = _STEP.match(text, position)
        if match is None:
            raise ValueError(
                f'the path {text!r} cannot be read after {text[:position]!r}: write a.b[0]."a key.with dots"'
            )
        key = match["quoted"] or match["plain"]
        steps.append(key if key is not None else int(match["index"]))
        position = match.end()
    return tuple(steps)


def find(document: object, path: Path) -> object:
    """What stands at `path`, or MISSING where there is no such key or index."""
    for step in path:
        if isinstance(document, dict):
            document = document.get(step, MISSING)
        elif isinstance(document, list) and isinstance(step, int) and step < len(document):
            document = document[step]
        else:
            return MISSING
    return document

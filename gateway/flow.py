"""Values as YAML text in one line, such that `document` reads back exactly what was written. Pure."""

from __future__ import annotations

import json
import math
import re

from gateway.scalar import resolve
from gateway.survey import Plain

_BARE = re.compile(r"[A-Za-z0-9_/°][A-Za-z0-9_./°%-]*(?::[A-Za-z0-9_./-]+)*", re.ASCII)
_TRUTHS = frozenset(("y", "n", "yes", "no", "on", "off"))
"""Text to us, but not to every reader of YAML."""
_MOST_BARE = 64
_ESCAPED = re.compile("[^\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]")


def write(value: Plain | None) -> str:
    """Lists and mappings in brackets and braces."""
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case int():
            return str(value)
        case float():
            return _number(value)
        case str():
            return _text(value)
        case list():
            return f"[{', '.join(map(write, value))}]"
    return f"{{{', '.join(f'{_text(key)}: {write(each)}' for key, each in value.items())}}}"


def _number(value: float) -> str:
    if math.isfinite(value):
        return repr(value)
    return ".nan" if math.isnan(value) else f"{'-' if value < 0 else ''}.inf"


def _text(text: str) -> str:
    """Without quotes where it cannot be taken for anything else."""
    if len(text) <= _MOST_BARE and _BARE.fullmatch(text) and resolve(text) == text and text.lower() not in _TRUTHS:
        return text
    return _ESCAPED.sub(_escape, json.dumps(text, ensure_ascii=False))


def _escape(match: re.Match[str]) -> str:
    return f"\\u{ord(match[0]):04x}"

"""Topic names and topic filters (MQTT 5.0, 4.7), and names of ours as parts of them. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping

MAX_BYTES = 65_535

_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
_LOOK_ALIKES = {code: 0x2400 + code for code in range(0x20)} | {0x7F: 0x2421}
_LOOK_ALIKES |= {ord("+"): ord("＋"), ord("#"): ord("＃"), ord("/"): ord("／")}
_LOOK_ALIKES |= dict.fromkeys((*range(0x80, 0xA0), *range(0xD800, 0xE000), 0xFFFE, 0xFFFF), 0xFFFD)


def check_name(name: str) -> None:
    """Raises ValueError unless `name` is a topic that a message may have (MQTT 5.0, 4.7.1 and 4.7.3)."""
    if "+" in name or "#" in name:
        raise ValueError(f"the topic {name!r} must name one topic: + and # are for subscriptions")
    check_filter(name)


def check_filter(text: str) -> None:
    """Raises ValueError unless `text` is a topic filter (MQTT 5.0, 4.7.1 and 4.7.3)."""
    if not text:
        raise ValueError("a topic has at least one character")
    if "\0" in text:
        raise ValueError(f"the topic {text!r} holds a null character")
    if len(text.encode()) > MAX_BYTES:
        raise ValueError(f"a topic has at most {MAX_BYTES} bytes")
    if text.startswith("$share/"):
        raise ValueError("a shared subscription gives each subscriber a part of the values only, and is not offered")
    levels = text.split("/")
    for level in levels:
        if len(level) > 1 and ("+" in level or "#" in level):
            raise ValueError(f"the topic {text!r} mixes a wildcard with text: + and # stand alone in their level")
    if "#" in levels[:-1]:
        raise ValueError(f"the topic {text!r} goes on after #, which can only be the last level")


def check_placeholders(template: str, known: Mapping[str, str]) -> None:
    """Raises ValueError for a `{NAME}` in the template that is not among the known ones."""
    for name in _PLACEHOLDER.findall(template):
        if name not in known:
            names = ", ".join(f"{{{each}}}" for each in known)
            raise ValueError(f"the topic {template!r} has {{{name}}}: only {names} are known")


def fill(template: str, names: Mapping[str, str]) -> str:
    """The topic that a template stands for: each `{NAME}` becomes one level, or a part of one, and nothing else."""
    filled = _PLACEHOLDER.sub(lambda match: harmless(names[match[1]]), template)
    if filled.startswith("$") and not template.startswith("$"):
        return "＄" + filled[1:]  # [MQTT-4.7.2-1]: what begins with $ is the broker's own
    return filled


def harmless(name: str) -> str:
    """`name` with a look-alike for whatever means something in a topic, or must not stand there (1.5.4)."""
    return name.translate(_LOOK_ALIKES)

"""Topic names and topic filters (MQTT 5.0, 4.7). Pure."""

from __future__ import annotations

from simulators.broker.packet import Reason


def flaw(pattern: str) -> Reason | None:
    """Why nobody can subscribe to this filter here."""
    levels = pattern.split("/")
    if levels[0] == "$share":
        return Reason.SHARED_NOT_SUPPORTED
    misplaced = "#" in levels[:-1] or any(len(level) > 1 and ("+" in level or "#" in level) for level in levels)
    return Reason.FILTER_INVALID if not pattern or misplaced else None


def matches(pattern: str, topic: str) -> bool:
    """Whether a sound filter takes a topic. A wildcard in front takes no topic that begins with `$` (4.7.2)."""
    if topic.startswith("$") and pattern[0] in "+#":
        return False
    wanted, given = pattern.split("/"), topic.split("/")
    if wanted[-1] == "#":
        wanted.pop()  # and `sport/#` takes `sport` too
        given = given[: len(wanted)]
    return len(wanted) == len(given) and all(w in ("+", g) for w, g in zip(wanted, given, strict=True))

"""How things look, the same on every dashboard. Grey is normal; a colour asks for attention."""

from __future__ import annotations

from typing import TypeAlias

Json: TypeAlias = dict[str, object]

CALM, GOOD, NOTICE, WARNING, DANGER = "text", "semi-dark-green", "semi-dark-yellow", "semi-dark-orange", "semi-dark-red"
LINE = "semi-dark-blue"

DEVICE_STATES = {"online": GOOD, "connecting": CALM, "stale": NOTICE, "offline": DANGER, "quarantined": WARNING}
ALARM_STATES = {"normal": CALM, "returned": NOTICE, "acknowledged": WARNING, "unacknowledged": DANGER}
PRIORITIES = {"low": CALM, "medium": NOTICE, "high": WARNING, "critical": DANGER}
OUTCOMES = {"done": GOOD, "refused": WARNING, "failed": DANGER, "expired": NOTICE}

# OPC UA Part 4, 7.39, and what an interval without any code reads as.
CODES = {
    0x0000_0000: "nothing to report",
    0x4000_0000: "uncertain",
    0x8000_0000: "bad",
    0x8007_0000: "bad: decoding error",
    0x800A_0000: "bad: timeout",
    0x8031_0000: "bad: no communication",
    0x8032_0000: "bad: waiting for the first value",
    0x8034_0000: "bad: unknown node",
    0x803C_0000: "bad: out of range",
    0x8074_0000: "bad: type mismatch",
    0x8089_0000: "bad: configuration error",
    0x808A_0000: "bad: not connected",
    0x808B_0000: "bad: device failure",
    0x808D_0000: "bad: out of service",
    0x809B_0000: "bad: no data",
}

# What a tag of this very name is measured in, and how many decimals say enough. Line protocol carries no units; a name
# that is not here shows none, which is better than a wrong one.
UNITS = {
    "bearing.temperature": ("celsius", 1),
    "motor.temperature": ("celsius", 1),
    "bearing.vibration": ("suffix:mm/s", 2),
    "motor.current": ("amp", 1),
    "oil.pressure": ("pressurebar", 2),
    "flow": ("suffix:m³/h", 1),
    "tank.level": ("percent", 1),
    "tank.balance": ("suffix:l/h", 0),
    "speed.setpoint": ("percent", 1),
    "valve.setpoint": ("percent", 0),
    "rpm": ("suffix:1/min", 0),
    "clock": ("ms", 0),
}


def link(title: str, url: str = "", *tags: str) -> Json:
    """To an address, or to all dashboards that have these tags, which then open as this one stands."""
    return {
        "type": "dashboards" if tags else "link",
        "title": title,
        "url": url,
        "tags": tags,
        "icon": "external link",
        "tooltip": "",
        "asDropdown": False,
        "includeVars": bool(tags),
        "keepTime": bool(tags),
        "targetBlank": False,
    }


NAVIGATION = link("Edgeward", "", "edgeward")


def states(colors: dict[str, str]) -> list[Json]:
    """A value mapping that only colours."""
    return [{"type": "value", "options": {name: {"color": color} for name, color in colors.items()}}]


def booleans() -> list[Json]:
    return [
        {"type": "value", "options": {"true": {"text": "on", "color": LINE}, "false": {"text": "off", "color": CALM}}}
    ]


def codes() -> list[Json]:
    """Status codes in words; of one that is not listed, its severity."""
    exact = {str(code): {"text": text, "color": _severity(code)} for code, text in CODES.items()}
    ranges = [(1, 0x4000_0000, "good"), (0x4000_0001, 0x8000_0000, "uncertain"), (0x8000_0001, 0xFFFF_FFFF, "bad")]
    mappings: list[Json] = [{"type": "value", "options": exact}]
    for low, high, text in ranges:
        result = {"text": text, "color": _severity(low)}
        mappings.append({"type": "range", "options": {"from": low, "to": high, "result": result}})
    return mappings


def units() -> list[Json]:
    """By name, wherever in the name of a series it stands."""
    return [
        override("byRegexp", f"/(^| ){name.replace('.', '[.]')}( |$)/", unit=unit, decimals=decimals)
        for name, (unit, decimals) in UNITS.items()
    ]


def override(matcher: str, options: str, **properties: object) -> Json:
    """Properties of those fields that match. `__` in a name stands for its dot."""
    listed = [{"id": name.replace("__", "."), "value": value} for name, value in properties.items()]
    return {"matcher": {"id": matcher, "options": options}, "properties": listed}


def column(name: str, colors: dict[str, str] | None = None, **properties: object) -> Json:
    """A column of a table: coloured by its value, or with other properties."""
    if colors is not None:
        properties = {"mappings": states(colors), "custom__cellOptions": {"type": "color-text"}, **properties}
    return override("byName", name, **properties)


def thresholds(*steps: tuple[float | None, str]) -> Json:
    return {"mode": "absolute", "steps": [{"value": value, "color": color} for value, color in steps]}


def _severity(code: int) -> str:
    return (CALM, NOTICE, DANGER, DANGER)[code >> 30]

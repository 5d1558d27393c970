"""Finds drivers, sinks and conditions by name. A plugin is a module; its file name is what the configuration says.

Nothing is imported before it is used. A module whose name starts with an underscore is a plugin's helper, not a plugin.
"""

from __future__ import annotations

import contextlib
import importlib
import pkgutil
import re
from importlib import metadata
from types import ModuleType

from gateway.errors import ConfigError

PACKAGES = {"driver": "drivers", "sink": "gateway.sinks", "condition": "rules.conditions"}
EXPORTS = {
    "driver": ("LinkSettings", "DeviceSettings", "GroupSettings", "TagSettings", "Driver", "check"),
    "sink": ("Settings", "Sink"),
    "condition": ("Settings", "Condition"),
}
_NAME = re.compile(r"[a-z][a-z0-9_]*")


def names(kind: str) -> list[str]:
    """The plugins of a kind, sorted; found without importing any of them."""
    package = importlib.import_module(PACKAGES[kind])
    return sorted(module.name for module in pkgutil.iter_modules(package.__path__) if _NAME.fullmatch(module.name))


def load(kind: str, name: str) -> ModuleType:
    """The module of a plugin. Raises ConfigError where there is none, or where it cannot be used."""
    if name not in names(kind):
        raise ConfigError(f'unknown {kind} "{name}"')
    try:
        module = importlib.import_module(f"{PACKAGES[kind]}.{name}")
    except ImportError as error:
        raise ConfigError(f"the {kind} {name} cannot be loaded: {error}{_cure(name)}") from error
    missing = [export for export in EXPORTS[kind] if not hasattr(module, export)]
    if missing:
        raise ConfigError(f"{module.__name__} is not a {kind}: it lacks {', '.join(missing)}")
    return module


def _cure(name: str) -> str:
    """What to install for a plugin with libraries of its own: they are the extra that is called like the plugin."""
    try:
        extras = metadata.metadata("edgeward").get_all("Provides-Extra") or []
    except metadata.PackageNotFoundError:
        return ""
    return f"; install its libraries: pip install 'edgeward[{name}]'" if name in extras else ""


def usable(kind: str) -> dict[str, ModuleType]:
    """Every plugin of a kind that can be loaded here, by name. One whose own dependencies are missing is left out."""
    modules = {}
    for name in names(kind):
        with contextlib.suppress(ConfigError):
            modules[name] = load(kind, name)
    return modules

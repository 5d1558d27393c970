"""From a file to everything that a cell needs to start, or to everything that is wrong with the file."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType

from pydantic import BaseModel

from gateway import include, plant, rulebook
from gateway.diagnosis import choose, validate
from gateway.document import Node
from gateway.fields import CommandSettings, Secret, Settings
from gateway.model import Link
from gateway.plant import Plant
from gateway.problems import InvalidConfiguration, Keys, Report, listed, shown
from gateway.site import HttpSettings, JournalSettings, SiteSettings
from gateway.source import Source
from rules.settings import Rule


@dataclass(frozen=True, slots=True)
class SinkEntry:
    """One sink: the name that people gave it, its plugin, and an instance of the plugin's `Settings`."""

    name: str
    module: ModuleType
    settings: Settings


@dataclass(frozen=True, slots=True)
class Configuration:
    """What a cell is made of. `data` is its directory; `files` are all that were read, the first one first."""

    site: str
    cell: str
    data: Path
    links: tuple[Link, ...]
    sinks: tuple[SinkEntry, ...]
    rules: tuple[Rule, ...]
    http: HttpSettings
    journal: JournalSettings
    files: tuple[Path, ...]


def load(path: Path, source: Source | None = None) -> Configuration:
    """Read a configuration, from `source` or from the disk. Raises InvalidConfiguration, which holds every problem that
    was found.

    Files that cannot be parsed are reported alone: what they would have defined is not missed elsewhere.
    """
    report = Report()
    root, files = include.gather(path, report, source)
    if root is None:
        raise InvalidConfiguration(report)
    site = validate(SiteSettings, root, (), report)
    built = plant.build(root, report)
    rules = rulebook.build(root, built, report)
    sinks = tuple(_sinks(root, report))
    for sink in sinks:
        _check_commands(root, sink, built, report)
    if site:
        _check_secrets(root, site, (), report)
    for link in built.links:
        _check_secrets(root, link.settings, ("links", link.id), report)
    for sink in sinks:
        _check_secrets(root, sink.settings, ("sinks", sink.name), report)
    if report or site is None:
        raise InvalidConfiguration(report)
    links = tuple(replace(link, owner=f"{site.site}-{site.cell}") for link in built.links)
    return Configuration(site.site, site.cell, site.data, links, sinks, rules, site.http, site.journal, files)


def site_of(path: Path) -> SiteSettings:
    """The top of a configuration, without a look at its devices, sinks and rules. Raises InvalidConfiguration."""
    report = Report()
    root, _ = include.gather(path, report, None)
    site = None if root is None else validate(SiteSettings, root, (), report)
    if root is not None and site is not None:
        _check_secrets(root, site, (), report)
    if report or site is None:
        raise InvalidConfiguration(report)
    return site


def _sinks(root: Node, report: Report) -> Iterator[SinkEntry]:
    for name, node in root.section("sinks").items():
        keys = ("sinks", name)
        module = choose("sink", node, keys, report)
        if module is None:
            continue
        model: type[Settings] = module.Settings
        if settings := validate(model, node, keys, report):
            yield SinkEntry(name, module, settings)


def _check_commands(root: Node, sink: SinkEntry, built: Plant, report: Report) -> None:
    """What may be ordered through a sink must be there, and writable. Where a tag's own entry is wrong, or nobody can
    tell which tags a device has, the list may be right, and nothing is said."""
    commands = getattr(sink.settings, "commands", None)
    if not isinstance(commands, CommandSettings) or built.unclear or set(built.places) - set(built.tags):
        return
    writable = [tag.id for tag in built.tags.values() if tag.writable]
    for number, pattern in enumerate(commands.tags):
        if any(fnmatch.fnmatchcase(tag, pattern) for tag in writable):
            continue
        keys = ("sinks", sink.name, "commands", "tags", number)
        node = root.find(keys) or root
        hint = f"writable are: {listed(writable)}" if writable else "no tag is: set writable: true"
        report.add(node.place, f"{shown(pattern)} matches no writable tag", hint, keys)


def _check_secrets(root: Node, settings: object, keys: Keys, report: Report) -> None:
    """Every secret must be there when the cell starts, not only when it is first used."""
    for name, value in settings if isinstance(settings, BaseModel) else ():
        inner = (*keys, name)
        if not isinstance(value, Secret):
            _check_secrets(root, value, inner, report)
            continue
        try:
            value.reveal()
        except LookupError as error:
            node = root.find(inner) or root
            report.add(node.place, str(error), "", inner)

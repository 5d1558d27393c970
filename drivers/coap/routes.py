"""What the tags of a link mean in paths: what is read where, what takes a report, where a command goes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, cast

from drivers.coap import resource
from drivers.coap.code import Code
from drivers.coap.resource import Segments
from drivers.coap.settings import GroupSettings, LinkSettings, TagSettings
from gateway.model import Link, Tag, TagGroup
from gateway.payload.decoder import Decoder
from gateway.payload.path import Path


class Route(NamedTuple):
    """What takes the payloads of one path: a group, or the one `column` of it that the path names."""

    group: TagGroup
    decoder: Decoder
    path: Segments
    column: int | None = None


class CommandRoute(NamedTuple):
    """Where and how a tag is written, and whether its group speaks plain text instead of JSON."""

    method: Code
    path: Segments
    is_text: bool


def polled(link: Link) -> dict[str, Route]:
    """Each group that has a scan interval, by its id."""
    return {group.id: _route(group) for group in _groups(link) if group.interval is not None}


def observed(link: Link) -> list[Route]:
    return [_route(group) for group in _groups(link) if _settings(group).observe]


def reported(link: Link) -> dict[Segments, list[Route]]:
    """What takes the reports to each path."""
    found: dict[Segments, list[Route]] = {}
    for group in _groups(link):
        decoder = Decoder(group, _settings(group))
        for column, tag in _named(group):
            path = _place(group, tag)
            found.setdefault(path, []).append(Route(group, decoder, path, column))
    return found


def commands(link: Link) -> dict[str, CommandRoute]:
    """Where each tag that has a command is written, by tag id."""
    found = {}
    for group in _groups(link):
        for tag in group.columns:
            command = cast(TagSettings, tag.address).command
            if command is not None:
                path = resource.fill(command.resource, tag.device, tag.name)
                found[tag.id] = CommandRoute(Code[command.method.upper()], path, _settings(group).format == "text")
    return found


def check(link: Link) -> Iterator[tuple[str, str]]:
    """What the settings of one tag alone do not show to be wrong: pairs of a tag id and the problem."""
    listens = cast(LinkSettings, link.settings).listen is not None
    seen: dict[tuple[Segments, Path], str] = {}
    for group in _groups(link):
        for tag in group.columns:
            problem = _misplaced(group, tag, listens)
            if problem:
                yield tag.id, problem
                continue
            first = seen.setdefault((_place(group, tag), _settings(group).path_of(tag.name)), tag.id)
            if first != tag.id:
                yield tag.id, f"stands at the same place of the same resource as {first}"


def _misplaced(group: TagGroup, tag: Tag, listens: bool) -> str:
    """Why the tag cannot be had over this link; nothing if it can."""
    settings, command = _settings(group), cast(TagSettings, tag.address).command
    if listens and settings.path is None:
        return "the link listens, so the group needs a path that devices report to, not a resource"
    if not listens and settings.path is not None:
        return "the link has a host, so the group needs a resource, not a path"
    if listens and command is not None:
        return "over a link that listens nothing can be written"
    try:
        _place(group, tag)
        if command is not None:
            resource.fill(command.resource, tag.device, tag.name)
    except ValueError as error:
        return str(error)
    return ""


def _groups(link: Link) -> Iterator[TagGroup]:
    return (group for device in link.devices for group in device.groups)


def _settings(group: TagGroup) -> GroupSettings:
    return cast(GroupSettings, group.settings)


def _route(group: TagGroup) -> Route:
    return Route(group, Decoder(group, _settings(group)), _place(group, group.columns[0]))


def _named(group: TagGroup) -> Iterator[tuple[int | None, Tag]]:
    """The columns that have a path of their own; or none in particular, where one path stands for all."""
    if _settings(group).names_tag:
        yield from enumerate(group.columns)
    else:
        yield None, group.columns[0]


def _place(group: TagGroup, tag: Tag) -> Segments:
    settings = _settings(group)
    return resource.fill(settings.resource or settings.path or "", group.device, tag.name)

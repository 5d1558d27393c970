"""What the tags of a link mean in topics: what to subscribe to, what takes a message, where a command goes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, cast

from drivers.mqtt import topic
from drivers.mqtt.settings import GroupSettings, TagSettings
from gateway.model import Link, Tag, TagGroup
from gateway.mqtt.topic import check_filter, check_name
from gateway.payload.decoder import Decoder
from gateway.payload.path import Path


class Route(NamedTuple):
    """What takes the messages of one filter: a group, or the one `column` of it that the topic names."""

    group: TagGroup
    decoder: Decoder
    column: int | None


class CommandRoute(NamedTuple):
    """Where a tag is written, and whether its group speaks plain text instead of JSON."""

    topic: str
    is_text: bool


def routes(link: Link) -> Iterator[tuple[str, Route]]:
    """Each filter of the link with what takes its messages."""
    for group in _groups(link):
        decoder = Decoder(group, _settings(group))
        for text, column in _filters(group):
            yield text, Route(group, decoder, column)


def subscriptions(link: Link) -> dict[str, int]:
    """Each filter of the link with its QoS, the highest where several groups share it."""
    qos: dict[str, int] = {}
    for group in _groups(link):
        for text, _ in _filters(group):
            qos[text] = max(_settings(group).qos, qos.get(text, 0))
    return qos


def commands(link: Link) -> dict[str, CommandRoute]:
    """Where each tag that has a command topic is written, by tag id."""
    found = {}
    for group in _groups(link):
        is_text = _settings(group).format == "text"
        for tag in group.columns:
            name = _command(tag)
            if name is not None:
                found[tag.id] = CommandRoute(name, is_text)
    return found


def check(link: Link) -> Iterator[tuple[str, str]]:
    """What the settings of one tag alone do not show to be wrong: pairs of a tag id and the problem."""
    seen: dict[tuple[str, Path], str] = {}
    for group in _groups(link):
        for tag in group.columns:
            try:
                place = _place(group, tag)
                _command(tag)
            except ValueError as error:
                yield tag.id, str(error)
                continue
            first = seen.setdefault(place, tag.id)
            if first != tag.id:
                yield tag.id, f"stands at the same path of the same topic as {first}"


def _groups(link: Link) -> Iterator[TagGroup]:
    return (group for device in link.devices for group in device.groups)


def _settings(group: TagGroup) -> GroupSettings:
    return cast(GroupSettings, group.settings)


def _filters(group: TagGroup) -> Iterator[tuple[str, int | None]]:
    """The filters of a group: one for each tag where the topic names it, so that nothing else is ever sent to us."""
    settings = _settings(group)
    if not settings.names_tag:
        yield topic.fill(settings.topic, group.device), None
        return
    for column, tag in enumerate(group.columns):
        yield topic.fill(settings.topic, group.device, tag.name), column


def _place(group: TagGroup, tag: Tag) -> tuple[str, Path]:
    settings = _settings(group)
    text = topic.fill(settings.topic, group.device, tag.name)
    check_filter(text)
    return text, settings.path_of(tag.name)


def _command(tag: Tag) -> str | None:
    template = cast(TagSettings, tag.address).command_topic
    if template is None:
        return None
    name = topic.fill(template, tag.device, tag.name)
    check_name(name)
    return name

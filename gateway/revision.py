"""What a sheet of tags wants to be otherwise in a configuration. Pure."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias, cast

from gateway import sheet
from gateway.diagnosis import validate
from gateway.document import Node
from gateway.fields import TagSettings
from gateway.inventory import Shelf
from gateway.patch import Change
from gateway.problems import Keys, Place, Report, listed, shown, suggestion
from gateway.sheet import Row, Sheet
from gateway.site import NAME, NAME_HINT
from gateway.survey import Plain

Body: TypeAlias = dict[str, Plain]
Spot: TypeAlias = tuple[str, Keys]
"""A file, and where in it a mapping of tags stands, which several devices may share."""


class Wish(NamedTuple):
    """What one row wants a tag to be."""

    place: Place
    device: str
    tag: str
    body: Body


@dataclass(slots=True)
class Revision:
    """`changes` by file; `places` are the rows by tag id. The others are tag ids."""

    changes: dict[str, list[Change]] = field(default_factory=lambda: defaultdict(list))
    places: dict[str, Place] = field(default_factory=dict)
    changed: list[str] = field(default_factory=list)
    added: list[str] = field(default_factory=list)
    same: list[str] = field(default_factory=list)


def revise(page: Sheet, shelves: Sequence[Shelf], report: Report) -> Revision:
    """The report says what is wrong, by row and column; then the revision is of no use."""
    made = Revision()
    if not sheet.check_columns(page, sheet.columns(shelf.model for shelf in shelves), report):
        return made  # each row would say it again
    by_group = {(shelf.device, shelf.group): shelf for shelf in shelves}
    wishes: dict[Spot, dict[str, list[Wish]]] = defaultdict(lambda: defaultdict(list))
    for row in page.rows:
        shelf = _shelf(page, row, by_group, report)
        wish = _wish(page, row, shelf, report) if shelf is not None else None
        if shelf is not None and wish is not None and _is_first(wish, made, report):
            wishes[shelf.file, shelf.keys][wish.tag].append(wish)
    for spot, tags in wishes.items():
        sharing = [shelf for shelf in shelves if (shelf.file, shelf.keys) == spot]
        for tag, own in tags.items():
            _settle(made, sharing, tag, own, report)
    return made


def _shelf(page: Sheet, row: Row, by_group: Mapping[tuple[str, str], Shelf], report: Report) -> Shelf | None:
    device, group = _cell(row, "device"), _cell(row, "group")
    if (device, group) in by_group:
        return by_group[device, group]
    devices = dict.fromkeys(device for device, _ in by_group)
    if device not in devices:
        hint = suggestion(device, devices, "devices")
        report.add(page.place(row, "device"), f"unknown device {shown(device)}", hint)
        return None
    groups = listed(group for owner, group in by_group if owner == device)
    hint = f"the groups of {device} are {groups}; a new one is made in the configuration first"
    report.add(page.place(row, "group"), f"unknown group {shown(group)}", hint)
    return None


def _wish(page: Sheet, row: Row, shelf: Shelf, report: Report) -> Wish | None:
    tag, place = _cell(row, "tag"), page.place(row, "tag")
    if not re.match(NAME, tag):
        report.add(place, f"{shown(tag)} is not a name", NAME_HINT)
        return None
    found = sheet.body(page, row, shelf.model, report)
    unsaid = _unsaid(page, shelf.node.child(tag))
    said = {name: _node(value, page, row, column) for name, (value, column) in found.items()}
    if validate(shelf.model, Node(place, unsaid | said, place), (shelf.device, tag), report) is None:
        return None
    return Wish(place, shelf.device, tag, _given(Node(place, unsaid, place)) | {name: found[name][0] for name in found})


def _unsaid(page: Sheet, tag: Node | None) -> dict[str, Node]:
    """What the sheet has no column for stays as it is: an empty cell takes a setting away, a column that somebody has
    removed does not."""
    said = {*page.columns, *(("range",) if {"low", "high"} <= {*page.columns} else ())}
    return {name: each for name, each in tag.members.items() if name not in said} if tag is not None else {}


def _node(value: Plain, page: Sheet, row: Row, column: str) -> Node:
    """A value that says, when it is wrong, which cell it stands in."""
    place = page.place(row, column)
    if isinstance(value, dict):
        return Node(place, {key: _node(each, page, row, column) for key, each in value.items()}, place)
    if isinstance(value, list):
        return Node(place, [_node(each, page, row, column) for each in value], place)
    return Node(place, value, place)


def _is_first(wish: Wish, made: Revision, report: Report) -> bool:
    id_ = f"{wish.device}/{wish.tag}"
    first = made.places.setdefault(id_, wish.place)
    if first is not wish.place:
        report.add(wish.place, f"the tag {shown(id_)} stands here a second time", f"the first is in row {first.line}")
    return first is wish.place


def _settle(made: Revision, sharing: Sequence[Shelf], tag: str, wishes: Sequence[Wish], report: Report) -> None:
    """One tag of one mapping: leave it, change it or add it. Devices that share it have to agree."""
    shelf = sharing[0]
    node = shelf.node.child(tag)
    present = _given(node)
    ids = [f"{wish.device}/{tag}" for wish in wishes]
    different = [wish for wish in wishes if node is None or wish.body != present]
    if not different:
        made.same += ids
        return
    wish = different[0]
    if len(wishes) < len(sharing) or any(each.body != wish.body for each in wishes):
        names = listed(each.device for each in sharing)
        hint = "say the same in the rows of all, or give the device a group of its own in the configuration"
        report.add(wish.place, f"{names} share the tag {shown(tag)} through a template, and the rows differ", hint)
        return
    made.changes[shelf.file].append(Change(shelf.keys, tag, _ordered(wish.body, present)))
    (made.added if node is None else made.changed).extend(ids)


def _given(node: Node | None) -> Body:
    """What is null is not given."""
    members = node.members if node is not None else {}
    return {name: cast(Plain, each.plain()) for name, each in members.items() if each.value is not None}


def _ordered(body: Body, present: Iterable[str]) -> Body:
    """As it stands there; what is new begins with what the driver adds."""
    new = sorted((name for name in body if name not in present), key=lambda name: name in TagSettings.model_fields)
    return {name: body[name] for name in [*(name for name in present if name in body), *new]}


def _cell(row: Row, column: str) -> str:
    return row.cells.get(column, "").strip()

"""Changes tags in the text of a configuration and leaves every other character as it is. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import yaml

from gateway import flow
from gateway.problems import Keys
from gateway.survey import Plain

_BLOCK_SCALARS: Final = ("|", ">")


@dataclass(frozen=True, slots=True)
class Change:
    """`entry` of the mapping at `keys` is to be `body`, whether it is there or not."""

    keys: Keys
    entry: str
    body: Mapping[str, Plain]


class _Edit(NamedTuple):
    start: int
    stop: int
    text: str


def apply(text: str, changes: Iterable[Change]) -> str:
    """The text with the changes. Raises ValueError where it does not have a mapping at the keys of a change."""
    root = yaml.compose(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    wanted: dict[Keys, list[Change]] = defaultdict(list)
    for change in changes:
        wanted[change.keys].append(change)
    edits = [edit for keys, group in wanted.items() for edit in _edits(text, _find(root, keys), group)]
    for start, stop, replacement in sorted(edits, reverse=True):
        text = text[:start] + replacement + text[stop:]
    return text


def _find(node: yaml.Node | None, keys: Keys) -> yaml.MappingNode:
    for key in keys:
        found = _members(node).get(str(key))
        node = found[1] if found is not None else None
    if not isinstance(node, yaml.MappingNode) or not node.value:
        raise ValueError(f"there are no entries at {'.'.join(map(str, keys))}")
    return node


def _members(node: yaml.Node | None) -> dict[str, tuple[yaml.Node, yaml.Node]]:
    if not isinstance(node, yaml.MappingNode):
        return {}
    return {str(key.value): (key, value) for key, value in node.value}


def _edits(text: str, mapping: yaml.MappingNode, changes: Sequence[Change]) -> Iterator[_Edit]:
    members = _members(mapping)
    new = []
    for change in changes:
        if change.entry in members:
            yield _replacement(text, *members[change.entry], change)
        else:
            new.append(f"{flow.write(change.entry)}: {flow.write(dict(change.body))}")
    if new:
        yield _addition(text, mapping, new)


def _replacement(text: str, key: yaml.Node, value: yaml.Node, change: Change) -> _Edit:
    body = flow.write(dict(change.body))
    if isinstance(value, yaml.CollectionNode) and value.flow_style:
        return _Edit(value.start_mark.index, value.end_mark.index, body)
    return _Edit(key.end_mark.index, _end(text, value), f": {body}")


def _addition(text: str, mapping: yaml.MappingNode, new: Sequence[str]) -> _Edit:
    """Behind the last entry: in its line in braces, else in lines of their own, below what stands beside it."""
    at = _end(text, mapping.value[-1][1])
    if mapping.flow_style:
        return _Edit(at, at, "".join(f", {each}" for each in new))
    line_end = text.find("\n", at)
    at = len(text) if line_end < 0 else line_end
    line_break = "\r\n" if "\r\n" in text else "\n"
    at -= text[at - 1] == "\r"
    indent = " " * mapping.value[0][0].start_mark.column
    return _Edit(at, at, "".join(f"{line_break}{indent}{each}" for each in new))


def _end(text: str, node: yaml.Node) -> int:
    """Where its last character ends. To the parser a block ends where the next thing begins."""
    if isinstance(node, yaml.CollectionNode) and not node.flow_style and node.value:
        last = node.value[-1]
        return _end(text, last[1] if isinstance(node, yaml.MappingNode) else last)
    if isinstance(node, yaml.ScalarNode) and node.style in _BLOCK_SCALARS:
        start = int(node.start_mark.index)
        return start + len(text[start : node.end_mark.index].rstrip())
    return int(node.end_mark.index)

"""A survey as the text of a configuration that runs, with comments. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from gateway import flow
from gateway.survey import Line, Part, Survey, remark

_HEAD = """\
site: plant-1   # the name of your plant
cell: line-a    # and of the part of it that this gateway serves"""

_TAIL = """\
sinks:
  archive: {sink: files, directory: archive}   # JSON lines, a file a day, in a folder beside this file
  # cloud: {sink: influxdb, version: v2, url: "https://influx.example.com", org: plant, bucket: line-a,
  #         token: {env: INFLUX_TOKEN}}"""

_MOST = 160


def write(survey: Survey) -> str:
    """The text ends with a line break."""
    sections = {"links": survey.links, "templates": survey.templates, "devices": survey.devices}
    blocks = [_comment(survey.comment, ""), [_HEAD]]
    blocks += [_entry(name, section, "") for name, section in sections.items() if section.entries]
    return "\n\n".join("\n".join(lines) for lines in (*blocks, [_TAIL])) + "\n"


def _entry(key: str, value: Line | Part, indent: str) -> Iterator[str]:
    head = f"{indent}{flow.write(key)}:"
    if isinstance(value, Line):
        beside = f"   # {remark(value.remark)}" if value.remark else ""
        yield f"{head} {flow.write(value.value)}{beside}"
        return
    yield from _comment(value.comment, indent)
    yield head
    for inner, each in value.entries.items():
        yield from _entry(inner, each, f"{indent}  ")


def _comment(lines: Iterable[str], indent: str) -> Iterable[str]:
    """Through `remark`, whatever was done before: no text from outside may end its line."""
    return [f"{indent}# {remark(line, _MOST)}" for line in lines]

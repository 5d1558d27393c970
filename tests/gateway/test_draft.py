"""A survey becomes a configuration that is accepted, whatever a device said."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from gateway import draft
from gateway.settings import load
from gateway.survey import Line, Names, Part, Survey

LINKS = Part({"bus": Line({"driver": "modbus", "host": "192.0.2.1"})})


def surveyed(*words: str) -> Survey:
    """A device that says the same everywhere."""
    names = Names()
    tags = {
        names.take(word, "tag"): Line({"address": f"holding:{i}", "type": "uint16"}, word)
        for i, word in enumerate(words)
    }
    group = Part({"interval": Line("1s", words[0]), "tags": Part(tags, words)}, words)
    device = Part({"link": Line("bus", words[0]), "groups": Part({"all": group})}, words)
    return Survey(LINKS, Part({names.take(words[0], "device"): device}, words), comment=words)


@given(st.lists(st.text(max_size=60), min_size=1, max_size=5))
def test_whatever_a_device_says_the_configuration_is_good(words: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "edgeward.yaml"
        path.write_text(draft.write(surveyed(*words)), encoding="utf-8")
        configuration = load(path)
    (link,) = configuration.links
    assert sum(len(group.columns) for group in link.devices[0].groups) == len(words)
    assert [sink.name for sink in configuration.sinks] == ["archive"]


def test_it_reads_well() -> None:
    text = draft.write(surveyed("level"))
    assert text.startswith("# level\n\nsite: plant-1   # the name of your plant\ncell: line-a ")
    assert (
        """
# level
devices:
  # level
  device:
    link: bus   # level
    groups:
      # level
      all:
        interval: 1s   # level
        # level
        tags:
          level: {address: holding:0, type: uint16}   # level
"""
        in text
    )
    assert "\n\n\n" not in text

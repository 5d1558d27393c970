from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from gateway.cell import Cell
from gateway.fields import SinkSettings
from gateway.settings import SinkEntry
from tests.gateway.gate import configuration, fake_plugins


@pytest.mark.parametrize(("order", "newest_first"), [("newest_first", True), ("oldest_first", False)])
async def test_a_sink_says_from_which_end_its_backlog_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, order: str, newest_first: bool
) -> None:
    fake_plugins(monkeypatch)
    given = configuration(tmp_path)
    entry = SinkEntry("cloud", given.sinks[0].module, SinkSettings.model_validate({"sink": "fake", "backlog": order}))
    cell = Cell(replace(given, sinks=(entry,)))
    await cell.start()
    assert cell.forwarders["cloud"].newest_first is newest_first
    await cell.stop()

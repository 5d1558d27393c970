"""What the documents say of the code is taken from the code."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from rules.alarm import LATCH, SERVICE, SHELF, TRANSITIONS, Input, diagram


@pytest.mark.parametrize("table", [TRANSITIONS, LATCH, SHELF, SERVICE])
def test_the_alarm_diagrams_are_drawn_from_the_tables(table: Mapping[Any, Mapping[Input, Any]]) -> None:
    assert f"```mermaid\n{diagram(table)}```" in Path("ARCHITECTURE.md").read_text(encoding="utf-8")

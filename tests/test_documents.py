"""What the documents say of the code is taken from the code."""

from __future__ import annotations

from pathlib import Path

from rules.alarm import diagram


def test_the_alarm_diagram_is_drawn_from_the_table() -> None:
    assert f"```mermaid\n{diagram()}```" in Path("ARCHITECTURE.md").read_text(encoding="utf-8")

from __future__ import annotations

import subprocess
import sys
from itertools import product

from hypothesis import given
from hypothesis import strategies as st

from gateway.sinks._identity import event_id, row_id

ROW = ("plant-1", "line-a", "press-1", "fast", 1_764_000_000_000_000_000, b'{"values":{"t":1}}')


def test_the_id_is_fixed_for_good() -> None:
    """Far sides remember ids for days: another id for the same row, after an update say, would be a second row."""
    assert row_id(*ROW) == "5f476784931d4e399167e3fae0da1ee1"
    assert event_id("plant-1", "line-a", b"{}") == "03005d7c6f2c55886c30103441af8923"


def test_another_process_gives_the_same_id() -> None:
    program = f"from gateway.sinks._identity import row_id; print(row_id(*{ROW!r}))"
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=30)
    assert told.stdout.strip() == row_id(*ROW)


def test_whatever_differs_gives_another_id() -> None:
    others = ("plant-2", "line-b", "press-2", "slow", ROW[4] + 1, ROW[5] + b" ")
    variants = [choice for choice in product(*zip(ROW, others, strict=True))]
    assert len({row_id(*variant) for variant in variants}) == len(variants)  # type: ignore[arg-type]


@given(st.lists(st.text(max_size=3), min_size=4, max_size=4), st.lists(st.text(max_size=3), min_size=4, max_size=4))
def test_where_one_name_ends_and_the_next_begins_counts(one: list[str], other: list[str]) -> None:
    first, second = row_id(*one, 0, b""), row_id(*other, 0, b"")  # type: ignore[call-arg]
    assert (first == second) == (one == other)


def test_an_event_is_no_row() -> None:
    assert event_id("plant-1", "line-a", b"{}") != row_id("plant-1", "line-a", "", "", 0, b"{}")

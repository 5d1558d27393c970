"""The comparison finds what it is there for."""

from __future__ import annotations

import pytest

from tests.faults.site import Account
from tests.flows.publisher import time_of

Row = tuple[int, int, float]
WHOLE: list[Row] = [(time_of(n), n, n / 2) for n in range(4)]


def compared(rows: list[Row]) -> tuple[int, int, int]:
    """Lost, duplicates and failed, of four messages."""
    account = Account()
    account.add(range(4), rows)
    result = account.result(1)
    return result["lost"], result["duplicates"], result["failed"]


def test_what_is_whole_is_whole() -> None:
    assert compared(WHOLE) == (0, 0, 0)


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([], (4, 0, 0)),
        (WHOLE[1:], (1, 0, 0)),
        ([*WHOLE, WHOLE[2]], (0, 1, 0)),
        ([*WHOLE, (time_of(2) + 1, 2, 1.0)], (0, 1, 1)),
        ([*WHOLE, (time_of(4), 4, 2.0)], (0, 0, 1)),
        ([*WHOLE[:3], (time_of(3), 3, 2.0)], (1, 0, 1)),
    ],
    ids=["nothing", "one lost", "one twice", "one at two times", "one that was never sent", "another value"],
)
def test_what_is_not_is_counted(rows: list[Row], expected: tuple[int, int, int]) -> None:
    assert compared(rows) == expected

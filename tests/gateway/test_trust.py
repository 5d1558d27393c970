"""When a wall clock may be believed."""

from __future__ import annotations

from gateway.clock import SECOND
from gateway.trust import EARLIEST, Trust

NOW = EARLIEST + 10**9 * SECOND // 20
YEAR = 365 * 86_400 * SECOND


def test_1970_is_not_believed_and_today_is() -> None:
    trust = Trust()
    assert not trust.look(5 * SECOND, 0, False)
    assert trust.offset is None
    assert trust.look(NOW, 10 * SECOND, False)
    assert trust.offset == NOW - 10 * SECOND


def test_small_steps_are_believed_and_ten_years_are_not() -> None:
    trust = Trust()
    assert trust.look(NOW, 0, False)
    assert trust.look(NOW - 3600 * SECOND, SECOND, False)
    assert not trust.look(NOW + 10 * YEAR, 2 * SECOND, False)
    assert trust.offset == NOW - 3601 * SECOND
    assert trust.look(NOW, 3 * SECOND, False)


def test_a_jump_that_somebody_vouches_for_is_believed() -> None:
    trust = Trust()
    trust.look(NOW, 0, False)
    assert not trust.look(NOW + 12 * YEAR, SECOND, False)
    assert trust.look(NOW + 12 * YEAR, SECOND, True)
    assert trust.offset == NOW + 12 * YEAR - SECOND


def test_who_started_ten_years_ahead_is_believed_once_he_is_set_right() -> None:
    """By hand: nobody synchronises it, and 1970 is still no time."""
    trust = Trust(NOW + 10 * YEAR)
    assert trust.look(NOW, SECOND, False)
    assert trust.offset == NOW - SECOND
    assert not trust.look(5 * SECOND, 2 * SECOND, False)


def test_who_waits_believes_only_after_a_synchronisation() -> None:
    trust = Trust(wait=True)
    assert not trust.look(NOW, 0, False)
    assert trust.look(NOW, 1, True)
    assert trust.look(NOW, 2, False), "once is enough"


def test_who_was_right_in_this_boot_needs_not_wait_again() -> None:
    assert Trust(offset=NOW, wait=True).look(NOW + 1, 1, False)


def test_a_process_that_starts_after_the_jump_knows_of_it() -> None:
    assert not Trust(offset=NOW).look(NOW + 10 * YEAR, SECOND, False)

"""The quick form of `make faults`, as a test."""

from __future__ import annotations

import pytest

from tests.faults import kills

QUICK = 50
SEED = 20_261_129


@pytest.mark.slow
@pytest.mark.real("mosquitto")
@pytest.mark.real("influxd")
def test_nothing_that_was_acknowledged_is_lost_by_kills() -> None:
    told: list[str] = []
    result = kills.run(QUICK, SEED, told.append)
    assert (result["lost"], result["duplicates"], result["failed"]) == (0, 0, 0), told
    assert result["distinct"] == result["produced"] > 100 * QUICK, "it was killed at work"

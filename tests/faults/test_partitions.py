"""The quick form of `make faults`, as a test."""

from __future__ import annotations

import pytest

from tests.faults import partitions

QUICK = 10
SEED = 20_261_129


@pytest.mark.slow
@pytest.mark.real("mosquitto")
@pytest.mark.real("influxd")
def test_after_every_partition_the_set_is_exact() -> None:
    told: list[str] = []
    result = partitions.run(QUICK, SEED, told.append)
    assert (result["lost"], result["duplicates"], result["failed"]) == (0, 0, 0), told
    assert result["distinct"] == result["produced"] > 100 * QUICK, "messages came all the while"

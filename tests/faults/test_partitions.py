"""The quick form of `make faults`, as a test."""

from __future__ import annotations

import sys

import pytest

from tests.faults import partitions

QUICK = 10
SEED = 20_261_129


@pytest.mark.slow
@pytest.mark.real("mosquitto")
@pytest.mark.real("influxd")
def test_after_every_partition_the_set_is_exact() -> None:
    result = partitions.run(QUICK, SEED, sys.stderr.write)
    assert (result["lost"], result["duplicates"], result["failed"]) == (0, 0, 0)
    assert result["distinct"] == result["produced"] > 100 * QUICK, "messages came all the while"

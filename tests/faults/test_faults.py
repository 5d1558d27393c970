"""The quick suites of `make faults`, as a part of `make test`."""

from __future__ import annotations

import os

import pytest

from tests.faults.suite import SEED, SUITES, Suite, complaints

promise = pytest.mark.promise
PROVES = {
    "crash": promise("P1", "P2", "P3", "P4"),
    "kills": promise("K1", "K2", "K3"),
    "injection": promise("E1", "E2"),
    "rot": promise("B1", "B2"),
    "partitions": promise("O1", "O3"),
    "cut": promise("P1", "P2"),
}


@pytest.mark.slow
@pytest.mark.parametrize("suite", [pytest.param(each, marks=PROVES[each.name], id=each.name) for each in SUITES])
def test_suite(suite: Suite) -> None:
    told: list[str] = []
    figures = suite.run(full=False, seed=SEED, tell=told.append)
    if not figures["runs"] and os.environ.get("CI") != "true":
        pytest.skip(told[-1])
    assert not complaints(figures, strict=os.environ.get("CI") == "true"), [line for line in told if " of " not in line]

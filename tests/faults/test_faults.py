"""The quick suites of `make faults`, as a part of `make test`."""

from __future__ import annotations

import os

import pytest

from tests.faults.suite import SEED, SUITES, Suite, complaints


@pytest.mark.slow
@pytest.mark.parametrize("suite", [suite for suite in SUITES if suite.exists], ids=lambda suite: suite.name)
def test_suite(suite: Suite) -> None:
    told: list[str] = []
    figures = suite.run(full=False, seed=SEED, tell=told.append)
    if not figures["runs"] and os.environ.get("CI") != "true":
        pytest.skip(told[-1])
    assert not complaints(figures, strict=os.environ.get("CI") == "true"), [line for line in told if " of " not in line]

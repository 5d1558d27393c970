"""How thoroughly the property tests look: a little in `make check`, more in `make test`, most in `make soak`."""

from __future__ import annotations

import os

import pytest
from hypothesis import settings

settings.register_profile("check", max_examples=15, deadline=None)
settings.register_profile("test", max_examples=100, deadline=None)
settings.register_profile("soak", max_examples=5000, deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "test"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What runs against processes of others, on two shared cores, may be unlucky once: it is told as a rerun, and fails
    when it fails three times. What needs nothing but itself has no such excuse."""
    for item in items:
        if item.get_closest_marker("real"):
            item.add_marker(pytest.mark.flaky(reruns=2))

"""The image, built once for all tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.parts.podman import ROOT, Podman
from tests.parts.podman import podman as started

IMAGE = "localhost/edgeward-test:latest"


@pytest.fixture(scope="session")
def podman() -> Iterator[Podman]:
    with started() as running:
        yield running


@pytest.fixture(scope="session")
def image(podman: Podman) -> Iterator[str]:
    """As docker/Dockerfile has it, but on Debian's own Python."""
    podman.build(IMAGE, ROOT / "docker" / "Dockerfile", ROOT)
    yield IMAGE
    podman.clean(IMAGE)

"""The server of the tests on real counterparts."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.parts.nodeopcua import NodeOpcUa


@pytest.fixture(scope="module")
def server() -> Iterator[NodeOpcUa]:
    """A server that anybody may use, the same for all tests of a module."""
    server = NodeOpcUa()
    yield server
    server.stop()

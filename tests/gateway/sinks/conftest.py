from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.gateway.sinks.databases import PostgresPlace
from tests.parts.influxd import Influxd, influxd
from tests.parts.postgres import Postgres, postgres
from tests.parts.victoria import Victoria, victoria


@pytest.fixture(scope="session")
def influx(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Influxd]:
    with influxd(tmp_path_factory.mktemp("influxd")) as part:
        yield part


@pytest.fixture(scope="session")
def victoria_metrics(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Victoria]:
    with victoria(tmp_path_factory.mktemp("victoria")) as part:
        yield part


@pytest.fixture(scope="session")
def postgresql() -> Iterator[Postgres]:
    with postgres() as part:
        yield part


@pytest.fixture
def post(postgresql: Postgres) -> PostgresPlace:
    """An empty database."""
    return PostgresPlace(postgresql, postgresql.create("plant"))

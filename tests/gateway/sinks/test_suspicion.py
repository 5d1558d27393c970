"""A broker that hangs up on one value, and a network that hangs up on anything, through the forwarder: the value is set
aside, and nothing else ever is."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from gateway.backoff import Backoff
from gateway.clock import MILLISECOND, ManualClock
from gateway.forwarder import Forwarder
from gateway.journal.journal import Journal
from gateway.journal.keys import KeyRing
from gateway.sinks.mqtt import Settings, Sink
from gateway.site import JournalSettings
from tests.flows.proxy import Mode, proxy
from tests.gateway.build import NOW, group, scan
from tests.parts.mosquitto import Mosquitto, Witness

pytestmark = [pytest.mark.slow, pytest.mark.real("mosquitto")]

of = group("float64", "string", "string", "float64")
ROWS = 200
MANY = 5_000
RESETS = 50
CULPRIT = 77
SEED = 20_261_129


@asynccontextmanager
async def delivering(folder: Path, port: int, rows: int, culprit: str = "ok") -> AsyncIterator[Journal]:
    """So many rows on their way through a forwarder that hardly pauses."""
    clock = ManualClock()
    settings = Settings.model_validate({"sink": "mqtt", "host": "127.0.0.1", "port": port, "timeout": "5s"})
    sink = Sink(settings, "plant-1", "line-a")
    journal = Journal(folder, KeyRing(b"k" * 32), clock, JournalSettings.model_validate({"commit_interval": "2ms"}))
    await journal.open(["cloud"])
    journaling = asyncio.create_task(journal.run())
    forwarder = Forwarder("cloud", sink, journal, clock)
    forwarder._backoff = Backoff(MILLISECOND, 10 * MILLISECOND)
    forwarder._unreachable = Backoff(MILLISECOND, 10 * MILLISECOND)
    for number in range(rows):
        journal.append(scan(of, [number, -number, culprit if number == CULPRIT else "ok", "fine"], NOW + number))
    forwarding = asyncio.create_task(forwarder.run())
    try:
        yield journal
    finally:
        forwarder.stop()
        await forwarding
        await sink.close()
        journal.stop()
        await journaling
        await journal.close()


async def drained(journal: Journal) -> None:
    async with asyncio.timeout(60):
        while journal.statistics("cloud").pending:
            await asyncio.sleep(0.01)


async def test_one_value_that_mosquitto_hangs_up_on(tmp_path: Path) -> None:
    broker = Mosquitto(tmp_path, extra="message_size_limit 400")
    witness = Witness(broker.port, "edgeward/#")
    try:
        async with delivering(tmp_path / "journal", broker.port, ROWS, "x" * 600) as journal:
            await drained(journal)
            account = journal.statistics("cloud")
            assert (account.delivered, account.dead_letters) == (4 * ROWS - 1, 1)
            (letter,) = await journal.dead_letters()
            assert b'"tag":"t1"' in letter.content
        values: dict[int, dict[str, object]] = {}
        for heard in witness.all():
            values.setdefault(heard.json["time"] - NOW, {}).update(heard.json["values"])
        assert len(values) == ROWS
        assert [sorted(found) for number, found in values.items() if len(found) < 4] == [["t0", "t2", "t3"]]
    finally:
        witness.stop()
        broker.stop()


async def test_a_network_that_resets_all_the_time_convicts_nobody(tmp_path: Path) -> None:
    broker = Mosquitto(tmp_path)
    witness = Witness(broker.port, "edgeward/#")
    chance = random.Random(SEED)
    try:
        with proxy(broker.port) as network:
            async with delivering(tmp_path / "journal", network.port, MANY) as journal:
                while len(network.sent) < RESETS:
                    await asyncio.sleep(chance.uniform(0, 0.05))  # the network's own time
                    network.turn(Mode.RESET)
                    network.turn(Mode.PASS)
                assert journal.statistics("cloud").pending, "it was at work all the time"
                await drained(journal)
                account = journal.statistics("cloud")
                assert (account.delivered, account.dead_letters, account.dropped) == (4 * MANY, 0, 0)
        assert {heard.json["time"] - NOW for heard in witness.all()} == set(range(MANY))
    finally:
        witness.stop()
        broker.stop()

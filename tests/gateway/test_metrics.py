"""What monitoring is told over HTTP, read back with the parser of prometheus_client."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from aiohttp.test_utils import TestClient, TestServer
from prometheus_client.parser import text_string_to_metric_families

from gateway.errors import ConfigError
from gateway.metrics import Metrics, application
from gateway.site import HttpSettings
from tests.gateway.gate import FakeSink, Gate, fake_plugins, running, wait_until


@pytest.fixture(autouse=True)
def _fake_plugins(monkeypatch: pytest.MonkeyPatch) -> None:
    fake_plugins(monkeypatch)


async def get(gate: Gate, path: str) -> tuple[int, str]:
    async with TestClient(TestServer(application(gate.cell))) as client, client.get(path) as response:
        return response.status, await response.text()


async def scrape(gate: Gate) -> dict[str, float]:
    """Samples by name and labels, as they are written."""
    code, text = await get(gate, "/metrics")
    assert code == 200
    return {
        sample.name + "".join(f" {key}={value}" for key, value in sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


async def test_metrics(tmp_path: Path) -> None:
    async with running(tmp_path) as gate:
        gate.publish(True, 1, 81.0, "ok")
        seen = await scrape(gate)
        assert seen["edgeward_cell_info cell=line-a site=plant-1 version=0.1.0"] == 1
        assert seen["edgeward_link_online link=press-bus"] == 1
        assert seen["edgeward_link_sessions_total link=press-bus"] == 1
        assert seen["edgeward_device_state device=press-1 link=press-bus state=online"] == 1
        assert seen["edgeward_device_state device=press-1 link=press-bus state=stale"] == 0
        assert seen["edgeward_device_points_total device=press-1 link=press-bus"] == 4
        assert 0 <= seen["edgeward_device_freshness_seconds device=press-1 link=press-bus"] < 5
        assert seen["edgeward_alarms_active priority=medium"] == 1
        assert seen["edgeward_alarms state=unacknowledged"] == 1
        assert (seen["edgeward_alarms_suppressed"], seen["edgeward_alarms_latched"]) == (0, 0)
        assert seen["edgeward_loop_lag_seconds"] >= 0
        assert seen["edgeward_journal_bytes"] > 0
        assert seen["edgeward_journal_failing"] == 0
        assert seen["process_resident_memory_bytes"] > 1_000_000


async def test_device_without_a_value_has_no_freshness(tmp_path: Path) -> None:
    async with running(tmp_path) as gate:
        assert not [name for name in await scrape(gate) if name.startswith("edgeward_device_freshness")]


@pytest.mark.parametrize("away", [True, False])
async def test_points_add_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, away: bool) -> None:
    monkeypatch.setattr(FakeSink, "away", away)
    async with running(tmp_path) as gate:
        for number in range(20):
            gate.publish(True, number, 1.0, "ok")
            seen = await scrape(gate)
            kinds = ("delivered_points_total", "pending_points", "dead_letter_points_total", "dropped_points_total")
            parts = sum(seen[f"edgeward_sink_{kind} sink=cloud"] for kind in kinds)
            assert seen["edgeward_sink_ingested_points_total sink=cloud"] == parts >= 4 * (number + 1)
            assert seen["edgeward_sink_pending_age_seconds sink=cloud"] >= 0


async def test_hostile_names_stay_labels(tmp_path: Path) -> None:
    async with running(tmp_path) as gate:
        alarm = gate.cell.engine._watches[0].alarm
        alarm.label = replace(alarm.label, priority='x"} 1\nevil 2\n#')
        gate.publish(True, 1, 81.0, "ok")
        assert "evil" not in await scrape(gate)


async def test_health(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with running(tmp_path) as gate:
        assert await get(gate, "/healthz") == (200, '{"healthy": true, "reasons": []}')
        monkeypatch.setitem(gate.cell.journal._failing, "telemetry", "No space left on device")
        for path in ("/healthz", "/readyz"):
            code, text = await get(gate, path)
            assert code == 503
            assert "the journal cannot write: No space left on device" in text


async def test_ready_when_every_link_was_tried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with running(tmp_path) as gate:
        assert await get(gate, "/readyz") == (200, '{"ready": true, "reasons": []}')
        monkeypatch.setattr(gate.cell.links["press-bus"], "sessions", 0)
        assert await get(gate, "/readyz") == (
            503,
            '{"ready": false, "reasons": ["link press-bus has not been tried yet"]}',
        )


async def test_sink_that_is_away_is_no_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FakeSink, "away", True)
    async with running(tmp_path) as gate:
        gate.publish(True, 1, 1.0, "ok")
        await wait_until(lambda: gate.cell.forwarders["cloud"].retries > 0)
        assert (await get(gate, "/healthz"))[0] == 200
        assert (await get(gate, "/readyz"))[0] == 200


async def test_port_in_use(tmp_path: Path) -> None:
    async with running(tmp_path) as gate:
        first = Metrics(gate.cell, HttpSettings.model_validate({"port": 0}))
        await first.open()
        assert first.port != 0
        with pytest.raises(ConfigError, match=f"http cannot listen on 127.0.0.1, port {first.port}"):
            await Metrics(gate.cell, HttpSettings.model_validate({"port": first.port})).open()
        await first._runner.cleanup()

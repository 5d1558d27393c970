from __future__ import annotations

import asyncio
from itertools import islice, pairwise
from pathlib import Path

import pytest
from pymodbus.client import AsyncModbusTcpClient

from simulators.recording import load
from simulators.registers import Table
from tests.simulators.process import Simulator, lines

BEARING = Path(__file__).parents[1] / "recordings" / "bearing.csv"
SMALL = ["time,t,n,on", "10,1.5,1,true", "12,2.5,2,", "13,,3,false"]


def test_columns_have_types_and_an_empty_cell_holds_the_value_above() -> None:
    recording = load(SMALL)
    assert [dict(recording.read(at)) for at in (0, 2, 3)] == [
        {"t": 1.5, "n": 1, "on": True},
        {"t": 2.5, "n": 2, "on": True},
        {"t": 2.5, "n": 3, "on": False},
    ]
    places = [(r.name, r.table, r.address, r.type) for r in recording.registers()[3:]]
    assert places == [
        ("t", Table.INPUT, 7, "float32"),
        ("n", Table.INPUT, 9, "int32"),
        ("on", Table.DISCRETE, 0, "bool"),
    ]


def test_rows_come_at_their_times_faster_and_again() -> None:
    assert list(load(SMALL, speed=2).due()) == [0, 1, 1.5]
    looped = load(SMALL, speed=2, loop=True)
    moments = list(islice(looped.due(), 7))
    assert moments == [0, 1, 1.5, 2, 3, 3.5, 4]
    assert [looped.read(moment)["n"] for moment in moments] == [1, 2, 3, 1, 2, 3, 1]
    assert looped.read(0.9)["n"] == 1


def test_iso_times() -> None:
    assert list(load(["time,a", "2024-03-01T06:00:00Z,1", "2024-03-01T06:00:00.250Z,2"]).due()) == [0, 0.25]
    assert len(list(load(BEARING.read_text().splitlines()).due())) == 60


@pytest.mark.parametrize(
    "text",
    [
        "",
        "time,a",
        "a\n1",
        "time,a\n1",
        "time,a\n1,2,3",
        "time,a\n1,x",
        "time,a\n1,",
        "time,a\n2,1\n1,2",
        "time,a\n1,nan",
        "time,a\nx,1",
    ],
)
def test_what_is_no_recording_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        load(text.splitlines())


@pytest.mark.slow
async def test_replayed_over_modbus(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with Simulator("recording", BEARING, "--modbus", 0, "--speed", 1000, "--log", log) as device:
        assert device.facts["bearing.vibration"] == "input:9/float32"
        client = AsyncModbusTcpClient("127.0.0.1", port=device.port)
        await client.connect()
        async with asyncio.timeout(5):
            while (await client.read_discrete_inputs(0, count=1)).bits[0]:
                pass
        await client.read_input_registers(0, count=13)
        client.close()
    assert lines(log)[-1]["sequence"] == 1
    values = lines(log)[-1]["values"]
    assert isinstance(values, dict)
    assert values["rpm"] == 0
    assert values["bearing.temperature"] > 90


@pytest.mark.slow
def test_replayed_over_mqtt(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with Simulator("broker", "--port", 0) as broker:
        way = ["--mqtt", f"127.0.0.1:{broker.port}"]
        with Simulator("recording", BEARING, *way, "--speed", 5000, "--name", "press-1", "--log", log) as device:
            device.process.wait(10)
    sent = lines(log)
    assert [line["sequence"] for line in sent] == list(range(1, 61))
    assert {line["topic"] for line in sent} == {"plant/press-1/state"}
    stamps = [line["ts"] for line in sent if isinstance(line["ts"], int)]
    assert stamps[-1] - stamps[0] == pytest.approx(590_000 / 5000, abs=2)
    assert all(a < b for a, b in pairwise(stamps))
    assert sent[0]["values"] == {"bearing.temperature": 48.0, "bearing.vibration": 1.219, "rpm": 2950, "running": True}

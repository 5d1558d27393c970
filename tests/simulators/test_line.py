"""One plant behind two protocols: what is done over one is seen over the other."""

from __future__ import annotations

import json
import queue
from pathlib import Path

import pytest
from paho.mqtt.client import MQTTMessage
from pymodbus.client import ModbusTcpClient

from tests.simulators.process import Simulator, lines
from tests.simulators.test_mqtt import subscriber


def wait(came: queue.Queue[MQTTMessage], run: bool, below: float) -> float:
    """Until pump-1 says that its command is `run` and its bearing is colder than `below`; gives the temperature."""
    while True:
        message = came.get(timeout=10)
        body = json.loads(message.payload)
        temperature = float(body["bearing"]["temperature"])
        if message.topic == "plant/pump-1/state" and body["run"] is run and temperature < below:
            return temperature


@pytest.mark.slow
def test_the_pump_is_stopped_over_modbus_and_cools_over_mqtt(tmp_path: Path) -> None:
    with Simulator("broker", "--port", 0) as broker:
        client, came = subscriber(broker.port)
        options = [
            "--broker",
            f"127.0.0.1:{broker.port}",
            "--rate",
            50,
            "--seed",
            7,
            "--fail-at",
            30,
            "--log-dir",
            tmp_path,
        ]
        with Simulator("line", "--modbus-port", 0, *options) as line:
            hot = wait(came, run=True, below=1000)
            with ModbusTcpClient("127.0.0.1", port=int(line.facts["modbus"])) as field:
                assert not field.write_coil(0, False).isError()
                read = field.read_input_registers(0, count=25)
            assert not read.isError()
            assert wait(came, run=False, below=hot - 2) < hot
        client.disconnect()
        client.loop_stop()
    wrote, served = lines(tmp_path / "modbus.jsonl")
    assert (wrote["write"], wrote["value"], served["sequence"]) == ("run", False, 1)
    sent = [entry for entry in lines(tmp_path / "mqtt.jsonl") if entry["topic"] == "plant/pump-1/state"]
    assert [entry["sequence"] for entry in sent] == list(range(1, len(sent) + 1))

"""The whole path: machines that we did not write, the gateway as a process, databases that we did not write."""

from __future__ import annotations

import json
import struct
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.flows.conftest import Start
from tests.flows.machines import broker_link, influx_v1, modbus_link
from tests.parts.influxd import Influxd
from tests.parts.mosquitto import Mosquitto
from tests.parts.process import Part
from tests.parts.victoria import victoria

NODE_ID_UNKNOWN, TYPE_MISMATCH, NO_DATA, OUT_OF_RANGE = 0x8034_0000, 0x8074_0000, 0x809B_0000, 0x803C_0000

FORMATS = {"int16": "h", "uint16": "H", "int32": "i", "uint32": "I", "int64": "q", "uint64": "Q"} | {
    "float32": "f",
    "float64": "d",
}

HOLE = 900


def registers(start: int, count: int) -> bytes:
    """What the server holds there: each register its own address."""
    return struct.pack(f">{count}H", *range(start, start + count))


def number(type_: str, start: int) -> Any:
    size = struct.calcsize(FORMATS[type_])
    return struct.unpack(f">{FORMATS[type_]}", registers(start, size // 2))[0]


# 65000 is negative as an int16, 0x3F80 starts a float32 above 1, 0x3FF0 a float64, 0x4142 spells AB.
STARTS = {"int16": 65000, "uint16": 65001, "int32": 40000, "uint32": 40010, "int64": 40020, "uint64": 300}
STARTS |= {"float32": 0x3F80, "float64": 0x3FF0}


def press() -> dict[str, Any]:
    tags: dict[str, Any] = {type_: {"address": f"holding:{start}", "type": type_} for type_, start in STARTS.items()}
    tags["swapped"] = {"address": "holding:16300", "type": "float32", "order": "CDAB"}
    tags["large"] = {"address": "holding:40030", "type": "uint64"}
    tags["text"] = {"address": "holding:16706", "type": "string", "length": 6}
    tags["scaled"] = {"address": "input:50", "type": "float64", "raw": "uint16", "scale": 0.5, "offset": -5.0}
    tags["coil"] = {"address": "coil:3", "type": "bool"}
    tags["contact"] = {"address": "discrete:4", "type": "bool"}
    tags["bit"] = {"address": "holding:5.2", "type": "bool"}
    tags["hole"] = {"address": f"holding:{HOLE}", "type": "uint16"}
    return {"link": "bus", "groups": {"fast": {"interval": "50ms", "tags": tags}}}


def pressed() -> dict[str, Any]:
    """The fields of every row of the press."""
    fields = {type_: number(type_, start) for type_, start in STARTS.items()}
    fields["swapped"] = struct.unpack(">f", registers(16301, 1) + registers(16300, 1))[0]
    fields["large.text"] = str(number("uint64", 40030))  # InfluxDB 1 has no unsigned integers
    return (
        fields
        | {"text": "ABACAD", "scaled": 20.0, "coil": True, "contact": False, "bit": True}
        | {"hole.q": NODE_ID_UNKNOWN}
    )


@pytest.mark.real("libmodbus")
@pytest.mark.real("influxd")
def test_every_value_of_a_modbus_device_is_in_the_database(
    start: Start, modbus: Callable[..., Part], influx: Influxd, database: str
) -> None:
    server = modbus("--hole", str(HOLE), registers=65536)
    began = time.time_ns()
    gateway = start(
        links={"bus": modbus_link(server.port, in_flight=4)},
        devices={"press": press()},
        sinks={"cloud": influx_v1(influx.port)},
    )
    gateway.wait(lambda: bool(gateway.device("press")["scans"] >= 20))
    last = gateway.read("press/int64")
    server.stop()
    gateway.wait(lambda: bool(gateway.device("press")["state"] == "offline"))
    gateway.wait_delivered("cloud")
    rows = influx.query("select * from fast", database)
    scans = gateway.device("press")["scans"]
    assert len(rows) == scans, "a row for each scan, and not one more"
    times = [row.pop("time") for row in rows]
    assert times == sorted(set(times))
    assert began < times[0]
    assert times[-1] < time.time_ns()
    assert last["source_time"] in times
    where = {"site": "plant-1", "cell": "line-a", "device": "press"}
    first, *rest = [{key: value for key, value in row.items() if value is not None} for row in rows]
    for row in rest:
        assert {k: as_float32(k, v) for k, v in row.items()} == pressed() | where
    assert first.keys() == (pressed() | where).keys()
    events = influx.query("select * from devices", database)
    assert [event["state"] for event in events] == ["online", "offline"]


def as_float32(name: str, value: Any) -> Any:
    """A float32 comes in its shortest digits: as the float32 that they mean."""
    return struct.unpack("f", struct.pack("f", value))[0] if name in ("float32", "swapped") else value


MIXER: dict[str, Any] = {
    "stale_after": "36500d",  # its times are fixed, and long ago
    "topic": "plant/{device}/state",
    "time": {"path": "ts", "format": "unix_ns"},
    "quality": {"path": "ok", "good": [True]},
    "tags": {
        "run": {"type": "bool"},
        "count": {"type": "uint32"},
        "total": {"type": "int64"},
        "speed": {"type": "float32"},
        "heat": {"type": "float64", "path": "bearing.heat"},
        "mode": {"type": "string"},
    },
}


def moment(n: int) -> int:
    """A millisecond apart, for the database that knows no less, and odd for the one that does."""
    return 1_760_000_000_000_000_001 + n * 1_000_003


def mixed(n: int) -> dict[str, Any]:
    """The fields of message n."""
    return {
        "run": n % 2 == 0,
        "count": 2**32 - 1 - n,
        "total": -(2**63) + n,
        "speed": n / 8,
        "heat": 0.1 * n + 1e-9,
        "mode": f'"auto", {n} °C \\',
    }


def message(n: int, *, ok: bool = True, **odd: Any) -> dict[str, Any]:
    fields = mixed(n) | odd
    heat = fields.pop("heat")
    return {"ts": moment(n), "ok": ok, "bearing": {"heat": heat}, **fields}


@pytest.mark.real("mosquitto")
@pytest.mark.real("influxd")
@pytest.mark.real("victoria-metrics")
def test_every_value_of_an_mqtt_device_is_in_both_databases(
    start: Start, broker: Mosquitto, influx: Influxd, database: str, stack: ExitStack, tmp_path: Path
) -> None:
    server = stack.enter_context(victoria(tmp_path))
    v2 = {"sink": "influxdb", "server": "victoriametrics", "url": server.url, "org": "plant", "bucket": "line-a"}
    gateway = start(
        links={"floor": broker_link(broker.port)},
        devices={"mixer": {"link": "floor", "groups": {"state": MIXER}}},
        sinks={"cloud": influx_v1(influx.port), "metrics": v2},
        rules={"hot": {"limit": {"tag": "mixer/heat", "high": 49.0}, "priority": "high", "message": "Hot"}},
    )
    gateway.wait(lambda: bool(gateway.link("floor")["online"]))
    count = 500
    sent = [message(n) for n in range(count)]
    sent.append(message(count, count=-1, mode=None, run="yes"))
    sent.append(message(count + 1, ok=False))
    broker.publish("plant/mixer/state", "".join(json.dumps(each) + "\n" for each in sent), lines=True)
    gateway.wait(lambda: bool(gateway.device("mixer")["scans"] == len(sent)))
    gateway.wait_delivered("cloud", "metrics")

    rows = influx.query("select * from state", database)
    assert [row["time"] for row in rows] == [moment(n) for n in range(count + 2)]
    good = [{key: row[key] for key in mixed(0)} for row in rows[:count]]
    assert good == [mixed(n) for n in range(count)]
    assert not [key for row in rows[:count] for key in row if key.endswith(".q") and row[key] is not None]
    codes = {"count.q": OUT_OF_RANGE, "mode.q": NO_DATA, "run.q": TYPE_MISMATCH}
    assert rows[count].items() >= (codes | {"count": None, "mode": None, "total": mixed(count)["total"]}).items()
    assert all(rows[count + 1][f"{name}.q"] >= 2**31 and rows[count + 1][name] is None for name in mixed(0))

    # VictoriaMetrics answers before it shows what it has.
    gateway.wait(lambda: len(server.export('{device="mixer"}').get("state_speed", ())) >= count)
    kept = server.export('{device="mixer"}')
    for name in ("count", "heat", "speed"):
        times, values = zip(*kept[f"state_{name}"][:count], strict=True)
        assert list(times) == [moment(n) // 1_000_000 for n in range(count)]
        assert list(values) == pytest.approx([mixed(n)[name] for n in range(count)], rel=1e-12), "in 15 digits or so"
    (alarm,) = influx.query("select * from alarms", database)
    assert alarm.items() >= {"alarm": "hot", "state": "unacknowledged", "value": mixed(490)["heat"]}.items()

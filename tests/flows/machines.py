"""The machines of the flows, as sections of a configuration."""

from __future__ import annotations

from typing import Any

from tests.parts.influxd import Influxd

Section = dict[str, Any]

NUMBERED: Section = {
    "topic": "plant/{device}/state",
    "stale_after": "36500d",  # the publisher's times are fixed, and long ago
    "time": {"path": "ts", "format": "unix_ns"},
    "tags": {"n": {"type": "int64"}, "half": {"type": "float64"}},
}
"""What `publisher` sends."""


def broker_link(port: int, **more: object) -> Section:
    return {"driver": "mqtt", "host": "127.0.0.1", "port": port, **more}


def modbus_link(port: int, **more: object) -> Section:
    return {"driver": "modbus", "host": "127.0.0.1", "port": port, **more}


def numbered_pump(port: int, **more: object) -> Section:
    """The sections of a plant whose only machine is the publisher behind the broker at `port`."""
    return {
        "links": {"floor": broker_link(port, **more)},
        "devices": {"pump-1": {"link": "floor", "groups": {"state": NUMBERED}}},
    }


def influx_v1(port: int, database: str = "plant", **more: object) -> Section:
    url = f"http://127.0.0.1:{port}"
    return {"sink": "influxdb", "version": "v1", "url": url, "database": database, "timeout": "2s", **more}


def numbers(influx: Influxd, database: str = "plant") -> list[tuple[int, int, float]]:
    """Time, n and half of every numbered message in the database, in the order of their times."""
    rows = influx.query("select n, half from state where device = 'pump-1'", database)
    return [(row["time"], row["n"], row["half"]) for row in rows]


def has(influx: Influxd, n: int, database: str = "plant") -> bool:
    """Whether message `n` has arrived."""
    return bool(influx.query(f"select n from state where n = {n}", database))

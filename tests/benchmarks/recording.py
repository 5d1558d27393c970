"""What 500 machines of 30 tags publish over MQTT, once a second each, the same at every run:
`recording.py PORT SECONDS`.

A machine has 12 values with one decimal (temperatures, levels), 10 with two (pressures, flows, vibration), 4 whole ones
(counters and speeds) and 4 switches. Each is a random walk in steps of its own resolution: most slow ones rest between
two messages, most fast ones do not. The machines' turns are spread evenly over the second. QoS 0: nobody waits for an
acknowledgement, so that the gateway commits at its own interval.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping

import numpy as np
import numpy.typing as npt
import orjson
from paho.mqtt.client import Client, MQTTv5
from paho.mqtt.enums import CallbackAPIVersion

DEVICES = 500
SEED = 20_261_129
TENTHS, HUNDREDTHS, WHOLE, SWITCHES = 12, 10, 4, 4
TAGS = TENTHS + HUNDREDTHS + WHOLE + SWITCHES

Values = npt.NDArray[np.int64]


def types() -> dict[str, str]:
    """The type of each tag, by its name, in the order of the payload."""
    each = ["float64"] * (TENTHS + HUNDREDTHS) + ["int64"] * WHOLE + ["bool"] * SWITCHES
    return {f"t{number:02}": kind for number, kind in enumerate(each)}


def device(number: int) -> str:
    return f"machine-{number:03}"


def seconds() -> Iterator[Values]:
    """All values of all machines, second by second, in units of their resolution: one row a machine."""
    chance = np.random.default_rng(SEED)
    shape = (DEVICES, TAGS)
    start = np.repeat([(200, 900), (500, 4000), (0, 50_000), (0, 2)], (TENTHS, HUNDREDTHS, WHOLE, SWITCHES), axis=0)
    values = chance.integers(start[:, 0], start[:, 1], shape)
    while True:
        yield values
        steps = np.zeros(shape, np.int64)
        slow = chance.random((DEVICES, TENTHS)) < 0.4
        steps[:, :TENTHS] = np.where(slow, chance.choice([-1, 1], (DEVICES, TENTHS)), 0)
        fast = chance.normal(0, 4, (DEVICES, HUNDREDTHS))
        steps[:, TENTHS : TENTHS + HUNDREDTHS] = np.rint(fast)
        steps[:, TENTHS + HUNDREDTHS : TAGS - SWITCHES] = chance.integers(0, 4, (DEVICES, WHOLE))
        flips = chance.random((DEVICES, SWITCHES)) < 0.01
        values = values + steps
        values[:, TAGS - SWITCHES :] ^= flips


def payload(row: Values, time_ms: int) -> Mapping[str, object]:
    """The document of one machine."""
    scaled: list[object] = [round(value / 10, 1) for value in row[:TENTHS].tolist()]
    scaled += [round(value / 100, 2) for value in row[TENTHS : TENTHS + HUNDREDTHS].tolist()]
    scaled += row[TENTHS + HUNDREDTHS : TAGS - SWITCHES].tolist()
    scaled += [bool(value) for value in row[TAGS - SWITCHES :].tolist()]
    return {"ts": time_ms, **dict(zip(types(), scaled, strict=True))}


def main(port: int, lasts_s: int) -> None:
    client = Client(CallbackAPIVersion.VERSION2, protocol=MQTTv5)
    client.connect("127.0.0.1", port)
    client.loop_start()
    began = time.time()
    for second, values in zip(range(lasts_s), seconds(), strict=False):
        for number, row in enumerate(values):
            due = began + second + number / DEVICES
            time.sleep(max(0.0, due - time.time()))
            body = orjson.dumps(payload(row, round(due * 1000)))
            client.publish(f"plant/{device(number)}/state", body).wait_for_publish(10)
    client.disconnect()
    client.loop_stop()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))

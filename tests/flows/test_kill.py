"""Killed with -9 and cut off from the cloud at random moments: what a broker has acknowledged arrives, once, with its
value and its time."""

from __future__ import annotations

import os
import random
from collections.abc import Callable

import pytest

from tests.flows.conftest import Start
from tests.flows.machines import has, influx_v1, numbered_pump, numbers
from tests.flows.proxy import Mode, Proxy
from tests.flows.publisher import Publisher, time_of
from tests.parts.influxd import Influxd
from tests.parts.mosquitto import Mosquitto

KILLS = 200 if os.environ.get("SOAK") else 8
SEED = 20_260_731


@pytest.mark.slow
@pytest.mark.real("mosquitto")
@pytest.mark.real("influxd")
def test_killed_at_random_moments_it_loses_nothing(
    start: Start,
    broker: Mosquitto,
    influx: Influxd,
    database: str,
    publish: Callable[[], Publisher],
    through: Callable[[int], Proxy],
) -> None:
    chance = random.Random(SEED)
    network = through(influx.port)
    cloud = influx_v1(network.port, database, timeout="500ms")
    gateway = start(sinks={"cloud": cloud}, **numbered_pump(broker.port))
    gateway.wait(lambda: bool(gateway.link("floor")["online"]))  # from now on the broker keeps a session for it
    publisher = publish()
    for _ in range(KILLS):
        gateway.survives(chance.uniform(0.0, 0.8))
        gateway.kill()
        network.turn(chance.choice(list(Mode)))
        is_patient = chance.random() < 0.8  # or else it dies while it still starts
        gateway.start(wait=is_patient)
        if is_patient:
            gateway.check_accounts()
    network.turn(Mode.PASS)
    gateway.kill()
    gateway.start()
    sent = publisher.finish()
    assert sent == list(range(len(sent))), "the broker took every message"
    gateway.wait(lambda: has(influx, sent[-1]), 30)
    gateway.wait_delivered("cloud")

    assert numbers(influx) == [(time_of(n), n, n / 2) for n in sent]
    account = gateway.sink("cloud")
    assert (account["dropped"], account["dead_letters"]) == (0, 0)
    assert len(sent) > 100 * KILLS, "it was killed at work"
    assert len(gateway.told("works; control socket")) > KILLS // 2

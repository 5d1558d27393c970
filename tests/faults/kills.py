"""kill -9 of the whole gateway, with a real Mosquitto before it and a real InfluxDB behind it.

Half of the kills hit a gateway that is at work, within 300 ms after it was ready; the others hit one that still starts.
Every now and then the database is out of reach meanwhile, so that there is a backlog to lose. What the broker has
acknowledged to the publisher must be in the database in the end, once, with its value and its time.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.faults.site import DATABASE, Account, Address, Failure, Site, sections
from tests.flows.proxy import Mode, Proxy, proxy
from tests.parts.gateway import Gateway, gateway
from tests.parts.influxd import influxd
from tests.parts.mosquitto import Mosquitto
from tests.parts.process import free_port

ROUND = 50
"""Kills until everything is delivered and compared."""
AT_WORK_S = 0.3
AWAY = 0.3
"""How often the database is out of reach."""
PATIENCE_S = 60.0


def run(size: int, seed: int, tell: Callable[[str], None]) -> dict[str, int]:
    """Kill it `size` times. Everything is `skipped` where a counterpart is missing."""
    account = Account()
    try:
        with _site() as (site, network):
            trial = Trial(site, network, random.Random(seed), account)
            for done in range(0, size, ROUND):
                trial.round(range(done, min(done + ROUND, size)), lambda kill: tell(f"kills: {kill + 1} of {size}"))
    except pytest.skip.Exception as why:
        tell(f"nobody was killed: {why}")
        return account.result(0) | {"skipped": size}
    for failure in account.failures:
        tell(failure)
    return account.result(size)


class Trial:
    def __init__(self, site: Site, network: Address, chance: random.Random, account: Account) -> None:
        self._site = site
        self._network = network
        self._chance = chance
        self._account = account
        self._start_s = 1.0

    def round(self, kills: Iterable[int], done: Callable[[int], None]) -> None:
        """So many kills while a publisher is at work; `done` is called after each."""
        try:
            with proxy(self._site.influx.port, port=self._network.port) as cloud:
                self._round(cloud, kills, done)
        except Failure as failure:
            self._account.failures.append(str(failure))

    def _round(self, cloud: Proxy, kills: Iterable[int], done: Callable[[int], None]) -> None:
        gateway = self._site.gateway
        self._start(gateway)
        gateway.wait(lambda: bool(gateway.link("floor")["online"]))  # from now on the broker keeps a session for it
        publisher = self._site.begin()
        gateway.kill()
        try:
            for kill in kills:
                cloud.turn(self._chance.choice([Mode.RESET, Mode.SWALLOW]) if self._is(AWAY) else Mode.PASS)
                self._kill(gateway)
                done(kill)
            cloud.turn(Mode.PASS)
            self._start(gateway)
            self._site.finish(publisher, self._account, PATIENCE_S)
        finally:
            publisher.kill()
            gateway.kill()

    def _kill(self, gateway: Gateway) -> None:
        """Start one and end it, before or after it is ready."""
        try:
            if self._is(0.5):
                gateway.start(wait=False)
                gateway.survives(self._chance.uniform(0, self._start_s))
            else:
                self._start(gateway)
                gateway.check_accounts()
                gateway.survives(self._chance.uniform(0, AT_WORK_S))
        except Failure as failure:
            self._account.failures.append(str(failure))
        gateway.kill()

    def _start(self, gateway: Gateway) -> None:
        began = time.monotonic()
        gateway.start()
        self._start_s = time.monotonic() - began

    def _is(self, probability: float) -> bool:
        return self._chance.random() < probability


@contextmanager
def _site() -> Iterator[tuple[Site, Address]]:
    """A site whose gateway was never started; it will look for its database at the address."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory()))
        influx = stack.enter_context(influxd(folder))
        influx.create(DATABASE)
        broker = Mosquitto(folder)
        stack.callback(broker.stop)
        network = Address("127.0.0.1", free_port())
        configuration = sections(Address("127.0.0.1", broker.port), network)
        running = stack.enter_context(gateway(folder, configuration, start=False))
        yield Site(folder, broker.port, influx, running), network

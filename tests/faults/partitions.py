"""Partitions, resets and half-open links between the gateway and its database, its broker, or both.

The gateway runs in a network namespace, and a router of the kernel loses, rejects and unplugs (`tests.parts.network`);
every third time it runs beside us instead, and a proxy resets its connections or swallows what they carry, never to
recover. An incident lasts between 10 ms and 5 s, with FAULTS=full 10 minutes, short ones being as likely as long ones.
Messages are published all the while. After each incident the set in the database must be exact.
"""

from __future__ import annotations

import math
import os
import random
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.faults.site import DATABASE, Account, Address, Failure, Site, sections
from tests.flows.proxy import Mode, Proxy, proxy
from tests.parts.gateway import gateway
from tests.parts.influxd import influxd
from tests.parts.mosquitto import Mosquitto
from tests.parts.network import Cut, Network, network
from tests.parts.process import free_port

SHORTEST_S = 0.01
LONGEST_S = 600.0 if os.environ.get("FAULTS") == "full" else 5.0
BY_PROXY = 3
"""Every so many incidents."""
BEFORE_S = 0.3
AFTER_S = 0.2
PATIENCE_S = 60.0 + LONGEST_S


@dataclass(frozen=True, slots=True)
class Incident:
    how: Cut | Mode
    ends: Sequence[str]
    """Which links: to the `broker`, to the `cloud`."""
    lasts_s: float

    def __str__(self) -> str:
        return f"{' and '.join(self.ends)} {self.how.value} for {self.lasts_s:.3f} s"


class Cable(ABC):
    """What is between the gateway and its ends."""

    kinds: Sequence[Cut | Mode]

    @abstractmethod
    def cut(self, incident: Incident) -> None: ...

    @abstractmethod
    def heal(self) -> None: ...


class Router(Cable):
    kinds = tuple(Cut)

    def __init__(self, made: Network, ports: dict[str, int]) -> None:
        self._network = made
        self._ports = ports

    def cut(self, incident: Incident) -> None:
        assert isinstance(incident.how, Cut)
        for end in incident.ends:
            self._network.cut(incident.how, self._ports[end])

    def heal(self) -> None:
        self._network.heal()


class Proxies(Cable):
    kinds = (Mode.RESET, Mode.SWALLOW)

    def __init__(self, proxies: dict[str, Proxy]) -> None:
        self._proxies = proxies

    def cut(self, incident: Incident) -> None:
        assert isinstance(incident.how, Mode)
        for end in incident.ends:
            self._proxies[end].turn(incident.how)

    def heal(self) -> None:
        for each in self._proxies.values():
            each.turn(Mode.PASS)


def run(size: int, seed: int, tell: Callable[[str], None]) -> dict[str, int]:
    """`size` incidents. What is `skipped` because there can be no network of the kernel is a proxy's work as well;
    everything is where a counterpart is missing."""
    trial = Trial(random.Random(seed), size, tell)
    routed = size - math.ceil(size / BY_PROXY)
    skipped = 0
    try:
        with _routed() as (site, cable):
            trial.incidents(site, cable, routed)
    except pytest.skip.Exception as why:
        tell(f"no incident is the kernel's: {why}")
        skipped = routed
    try:
        with _proxied() as (site, cable):
            trial.incidents(site, cable, size - routed + skipped)
    except pytest.skip.Exception as why:
        tell(f"there were no incidents: {why}")
        skipped = size
    return trial.account.result(trial.done) | {"skipped": skipped}


class Trial:
    def __init__(self, chance: random.Random, size: int, tell: Callable[[str], None]) -> None:
        self.account = Account()
        self.done = 0
        self._chance = chance
        self._size = size
        self._tell = tell

    def incidents(self, site: Site, cable: Cable, number: int) -> None:
        is_wary = False  # after a cut a link waits longer each time, until a minute went well
        for incident in _plan(number, cable.kinds, self._chance):
            own = Account()
            try:
                if site.gateway.process.poll() is not None:
                    site.gateway.start()
                elif is_wary:
                    site.gateway.restart()
                _incident(site, cable, incident, own)
            except Failure as failure:
                own.failures.append(str(failure))
            if not own.is_exact:
                self._tell(f"{incident}: {own}")
            self.account.include(own)
            self.done += 1
            self._tell(f"partitions: {self.done} of {self._size}")
            is_wary = "broker" in incident.ends


def _plan(size: int, kinds: Sequence[Cut | Mode], chance: random.Random) -> Iterator[Incident]:
    """Every kind in turn, beginning with any."""
    offset = chance.randrange(len(kinds))
    for number in range(size):
        ends = chance.choice([("broker",), ("cloud",), ("broker", "cloud")])
        lasts_s = SHORTEST_S * (LONGEST_S / SHORTEST_S) ** chance.random()
        yield Incident(kinds[(offset + number) % len(kinds)], ends, lasts_s)


def _incident(site: Site, cable: Cable, incident: Incident, account: Account) -> None:
    running = site.gateway
    running.wait(lambda: bool(running.link("floor")["online"]), PATIENCE_S)
    publisher = site.begin()
    try:
        running.wait(lambda: publisher.count() > 0)
        running.survives(BEFORE_S)
        cable.cut(incident)
        try:
            running.survives(incident.lasts_s)
        finally:
            cable.heal()
        running.survives(AFTER_S)
        site.finish(publisher, account, PATIENCE_S)
    finally:
        publisher.kill()


@contextmanager
def _routed() -> Iterator[tuple[Site, Cable]]:
    """Broker and database are here, the gateway is behind the router. Skips where there can be no such network."""
    with ExitStack() as stack:
        made = stack.enter_context(network())
        folder = Path(stack.enter_context(TemporaryDirectory()))
        influx = stack.enter_context(influxd(folder, made.here))
        influx.create(DATABASE)
        port = free_port()
        broker = Mosquitto(folder, port=port, extra=f"listener {port} {made.here}")
        stack.callback(broker.stop)
        configuration = sections(Address(made.here, port), Address(made.here, influx.port))
        running = stack.enter_context(gateway(folder, configuration, start=False))
        running.inside = made.enter
        running.start()
        yield Site(folder, port, influx, running), Router(made, {"broker": port, "cloud": influx.port})


@contextmanager
def _proxied() -> Iterator[tuple[Site, Cable]]:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory()))
        influx = stack.enter_context(influxd(folder))
        influx.create(DATABASE)
        broker = Mosquitto(folder)
        stack.callback(broker.stop)
        ends = {"broker": stack.enter_context(proxy(broker.port)), "cloud": stack.enter_context(proxy(influx.port))}
        to_broker, to_cloud = (Address("127.0.0.1", ends[end].port) for end in ("broker", "cloud"))
        running = stack.enter_context(gateway(folder, sections(to_broker, to_cloud)))
        yield Site(folder, broker.port, influx, running), Proxies(ends)

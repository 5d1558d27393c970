"""What came of a demo: in figures, in words, and whether it is what was promised. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from simulators.demo.account import EVENTS, Account, settle
from simulators.demo.course import Result
from simulators.demo.incident import Isolation, isolations

_NAMES = {"modbus": "Modbus", "mqtt": "MQTT", "opcua": "OPC UA", "coap": "CoAP"}


@dataclass(frozen=True, slots=True)
class Summary:
    result: Result
    account: Account
    isolations: list[Isolation]

    @staticmethod
    def of(result: Result) -> Summary:
        return Summary(result, settle(result.logs), isolations(result.logs))

    def figures(self) -> dict[str, object]:
        """Counts are points: `ingested` to `dropped` are the gateway's own account of telemetry and events, the others
        are counted at the cloud. `peak_backlog` is the most that the gateway had pending whenever it was asked."""
        sink, account, outage = self.result.status.sink, self.account, self.result.outage
        return {
            "ingested": sink.ingested,
            "delivered": sink.delivered,
            "pending": sink.pending,
            "dead_letters": sink.dead_letters,
            "dropped": sink.dropped,
            "duplicates": account.duplicates,
            "lost": account.lost,
            "wrong": account.wrong,
            "protocols": dict(account.protocols),
            "outage_s": round(outage.seconds, 3),
            "peak_backlog": self.result.peak,
            "drain_s": round(outage.drain_s(self.result.logs.cloud), 3),
            "isolations": len(self.isolations),
        }

    def words(self) -> Iterator[str]:
        """Sentences."""
        account, outage, rows = self.account, self.result.outage, self.result.logs.cloud
        arrived = ", ".join(f"{count:,} over {_NAMES[protocol]}" for protocol, count in account.protocols.items())
        yield (
            f"In {self.result.length:g} s the machines sent {sum(account.protocols.values()) + account.lost:,} points. "
            f"At the cloud are {arrived}, and {account.events} events beside them."
        )
        yield (
            f"Lost: {account.lost}. Wrong: {account.wrong}. There twice: {account.duplicates}. "
            "Each point was held against the machines' own logs."
        )
        yield (
            f"The cloud was away for {outage.seconds:.1f} s, and {self.result.peak:,} points waited on disk. "
            f"{outage.drain_s(rows):.1f} s after its return it had all that it had missed; the first of it came after "
            f"{outage.noticed_s(rows):.1f} s, when the gateway tried again."
        )
        for isolation in self.isolations:
            yield self._stopped(isolation)

    def problems(self) -> Iterator[str]:
        """Empty where everything is as promised."""
        account, sink = self.account, self.result.status.sink
        for count, what in ((account.lost, "lost"), (account.wrong, "wrong"), (account.duplicates, "there twice")):
            if count:
                yield f"{count} points are {what}"
        yield from account.examples
        if sink.pending or sink.dead_letters or sink.dropped:
            yield f"{sink.pending} points are pending, {sink.dead_letters} dead letters, {sink.dropped} dropped"
        if sink.ingested != sink.delivered + sink.pending + sink.dead_letters + sink.dropped:
            yield "the account of the gateway does not add up"
        arrived = sum(account.protocols.values()) + account.doubtful + self._events()
        if sink.delivered != arrived:
            yield f"the gateway says that it has delivered {sink.delivered} points, and {arrived} have arrived"
        if not all(account.protocols.values()):
            yield "nothing came over one of the protocols"
        if not self.isolations:
            yield "no rule has stopped the pump"

    def _events(self) -> int:
        """How many were at the cloud when the gateway gave its account: one may have happened since."""
        rows, now = self.result.logs.cloud, self.result.status.time
        return len({row.identity for row in rows if row.measurement in EVENTS and row.received_ns <= now})

    def _stopped(self, isolation: Isolation) -> str:
        outage = self.result.outage
        is_away = outage.began_ns <= isolation.stopped_ns <= outage.ended_ns
        when = " The cloud was away meanwhile." if is_away else ""
        reaction, cause = isolation.reaction_s, isolation.cause
        if reaction is None or cause is None:
            return f"The rule {isolation.rule} stopped pump 1.{when}"
        return (
            f"{cause.tag} was measured as {cause.value} and told over MQTT; {reaction * 1000:.0f} ms later the rule "
            f"{isolation.rule} had stopped the pump over Modbus.{when}"
        )

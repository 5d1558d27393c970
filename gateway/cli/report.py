"""What a drill showed: each promise, whether it was kept, and what was seen. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise

from gateway.cli.words import count, size, span, sparkline
from gateway.inquiry import Account, SampleReply

LAG_S = 0.25
"""An alarm is judged when its value comes in; the loop that does so must not be later than that."""
STANDSTILL_S = 5.0
MEMORY_BYTES = 64_000_000
LIVE_S = 5.0
"""Twice the longest pause between two tries, and a second for the way."""

_WIDTH = 60


@dataclass(frozen=True, slots=True)
class Promise:
    """What is promised, whether it was kept, and what was seen of it."""

    name: str
    kept: bool
    seen: str


@dataclass(frozen=True, slots=True)
class Sink:
    """One sink's way through a drill, in points. `rate` is a second, from when its link was back until nothing was
    behind; seconds are None for what did not come."""

    name: str
    peak: int
    delivered: int
    live_s: float | None
    drained_s: float | None
    rate: float | None


@dataclass(frozen=True, slots=True)
class Result:
    seconds: float
    promises: tuple[Promise, ...]
    sinks: tuple[Sink, ...]

    @property
    def is_passed(self) -> bool:
        return all(promise.kept for promise in self.promises)


def judge(samples: Sequence[SampleReply], seconds: float, is_over: bool) -> Result:
    """`samples` are those of a drill of so many seconds, at least one, in order; `is_over` if it went on to its end."""
    sinks = tuple(_sink(samples, number) for number in range(len(samples[0].accounts)))
    checks: tuple[Callable[[], Promise], ...] = (
        lambda: _cut(samples, seconds),
        lambda: _accounts(samples),
        lambda: _dropped(samples),
        lambda: _lag(samples),
        lambda: _commits(samples),
        lambda: _devices(samples),
        lambda: _memory(samples),
        lambda: _live(samples, sinks),
        lambda: _drained(sinks, is_over),
    )
    return Result(seconds, tuple(check() for check in checks), sinks)


# The promises


def _cut(samples: Sequence[SampleReply], seconds: float) -> Promise:
    """The first sample may still see a delivery that was under way."""
    outage = [sample for sample in samples if sample.phase == "outage"]
    lasted = outage[-1].at
    through = sum(
        after.delivered - before.delivered
        for before, after in zip(outage[min(1, len(outage) - 1)].accounts, outage[-1].accounts, strict=True)
    )
    kept = not through and lasted >= 0.9 * seconds
    return Promise("the sinks were cut off", kept, f"{span(lasted)}; {count(through)} points got through meanwhile")


def _accounts(samples: Sequence[SampleReply]) -> Promise:
    accounts = [account for sample in samples for account in sample.accounts]
    wrong = sum(not _balances(account) for account in accounts)
    return Promise("every account balances", not wrong, f"{count(len(accounts))} looked at, {count(wrong)} wrong")


def _balances(account: Account) -> bool:
    return account.ingested == account.delivered + account.pending + account.dead_letters + account.dropped


def _dropped(samples: Sequence[SampleReply]) -> Promise:
    """Dead letters are kept, but should not come of an outage either."""
    pairs = list(zip(samples[0].accounts, samples[-1].accounts, strict=True))
    dropped = sum(after.dropped - before.dropped for before, after in pairs)
    letters = sum(after.dead_letters - before.dead_letters for before, after in pairs)
    seen = f"{count(dropped)} points dropped, {count(letters)} became dead letters"
    return Promise("nothing is dropped", not dropped, seen)


def _lag(samples: Sequence[SampleReply]) -> Promise:
    lags = sorted(sample.lag_s for sample in samples)
    worst = lags[max(0, round(0.99 * len(lags)) - 1)]
    return Promise("alarms are judged at once", worst <= LAG_S, f"{worst * 1000:.1f} ms late in 99 of 100 looks")


def _commits(samples: Sequence[SampleReply]) -> Promise:
    """How long values came in and nothing was written."""
    longest = standing = 0.0
    for before, after in pairwise(samples):
        is_standing = after.written == before.written and after.waiting > 0
        standing = standing + after.at - before.at if is_standing else 0.0
        longest = max(longest, standing)
    failures = {sample.failure for sample in samples} - {""}
    written = samples[-1].written - samples[0].written
    seen = f"{count(written)} points written, {span(longest)} without a commit at the longest"
    return Promise("what comes in is on disk", longest <= STANDSTILL_S and not failures, ": ".join([seen, *failures]))


def _devices(samples: Sequence[SampleReply]) -> Promise:
    lost = sorted({device for sample in samples for device in sample.lost_devices})
    stale = max(sample.fresh_s for sample in samples)
    seen = f"the freshest value of any device was never older than {span(stale)}"
    return Promise("devices notice nothing", not lost, f"lost: {', '.join(lost)}" if lost else seen)


def _memory(samples: Sequence[SampleReply]) -> Promise:
    grown = max(sample.resident_bytes for sample in samples) - samples[0].resident_bytes
    disk = max(sample.journal_bytes for sample in samples) - samples[0].journal_bytes
    seen = f"memory + {size(max(0, grown))}, disk + {size(max(0, disk))}"
    return Promise("an outage costs disk, not memory", grown <= MEMORY_BYTES, seen)


def _live(samples: Sequence[SampleReply], sinks: Sequence[Sink]) -> Promise:
    name = "live values come first"
    recovery = [sample for sample in samples if sample.phase == "recovery"]
    if recovery and recovery[-1].written == recovery[0].written and all(sink.live_s is None for sink in sinks):
        return Promise(name, True, "nothing came in after the link was back")
    kept = all(sink.live_s is not None and sink.live_s <= LIVE_S for sink in sinks)
    seen = ", ".join(f"{sink.name} after {span(sink.live_s)}" for sink in sinks)
    return Promise(name, kept, seen)


def _drained(sinks: Sequence[Sink], is_over: bool) -> Promise:
    kept = is_over and all(sink.drained_s is not None for sink in sinks)
    seen = ", ".join(
        f"{sink.name} after {span(sink.drained_s)}" + ("" if sink.rate is None else f" at {count(sink.rate)} points/s")
        for sink in sinks
    )
    return Promise("the backlog arrives", kept, seen if is_over else f"not seen to its end: {seen}")


def _sink(samples: Sequence[SampleReply], number: int) -> Sink:
    mine = [sample.accounts[number] for sample in samples]
    outage = [sample.accounts[number] for sample in samples if sample.phase == "outage"]
    done = next((account for account in mine if account.drained_s is not None), None)
    delivered = 0 if done is None else done.delivered - outage[-1].delivered
    rate = delivered / done.drained_s if done is not None and done.drained_s else None
    peak = max(account.pending for account in mine)
    return Sink(mine[0].sink, peak, delivered, mine[-1].live_s, mine[-1].drained_s, rate)


# For people, and for programs


def plain(result: Result) -> dict[str, object]:
    return {"passed": result.is_passed, **asdict(result)}


def summary(result: Result) -> Iterator[str]:
    for promise in result.promises:
        yield f"{'PASS' if promise.kept else 'FAIL'}  {promise.name}: {promise.seen}"


def markdown(result: Result, samples: Sequence[SampleReply], began: str) -> str:
    return "\n".join(_lines(result, samples, began)) + "\n"


def _lines(result: Result, samples: Sequence[SampleReply], began: str) -> Iterator[str]:
    verdict = "PASS" if result.is_passed else "FAIL"
    yield f"# Outage drill: {verdict}"
    yield ""
    names = ", ".join(sink.name for sink in result.sinks)
    yield f"{began}. Cut off for {span(result.seconds)}: {names}."
    yield f"Watched for {span(samples[-1].at)}, {len(samples)} looks."
    yield ""
    yield "| promise | | seen |"
    yield "|---|---|---|"
    for promise in result.promises:
        yield f"| {promise.name} | {'PASS' if promise.kept else '**FAIL**'} | {_cell(promise.seen)} |"
    yield ""
    yield "Points that were pending, over the time of the drill:"
    yield ""
    for number, sink in enumerate(result.sinks):
        pending = [float(sample.accounts[number].pending) for sample in samples]
        yield f"    {sink.name}  {sparkline(_thin(pending))}  up to {count(sink.peak)}"
    yield ""
    yield f"Limits: alarms {LAG_S * 1000:.0f} ms, commits {span(STANDSTILL_S)}, memory + {size(MEMORY_BYTES)}, live"
    yield f"values {span(LIVE_S)} after there are any. `report.json` has every sample."


def _thin(values: Sequence[float]) -> list[float]:
    """At most as many as fit, each the highest of its part."""
    step = max(1, -(-len(values) // _WIDTH))
    return [max(values[start : start + step]) for start in range(0, len(values), step)]


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")

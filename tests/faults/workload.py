"""The journal, driven by a seeded plan, and the judge of what is found on disk afterwards.

The only file of these suites that knows the journal from inside.
"""

from __future__ import annotations

import asyncio
import random
import shutil
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager, closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple, TypeAlias

from sqlalchemy import Engine

from gateway.clock import SystemClock
from gateway.journal import journal as running
from gateway.journal import keys
from gateway.journal import sqlite as own
from gateway.journal.chunk import Chunk, Stream
from gateway.journal.journal import Journal
from gateway.journal.ranges import Ranges
from gateway.journal.segment import Name
from gateway.journal.store import FAILURES
from gateway.site import JournalSettings
from tests.faults import content
from tests.faults.content import EVENT, GROUPS, Item
from tests.faults.history import History, names

PROMPT, SPOTTY, AWAY = "prompt", "spotty", "away"
"""The first sink takes everything, the second leaves chunks out and comes back for them, the third never comes."""

KEEPSAKES = ("reserve",)
"""Files that hold nothing."""

_KEYS = keys.KeyRing(b"k" * 32)
_NEVER = 1e9
_MANY = 1 << 30


@dataclass(frozen=True, slots=True)
class Plan:
    """What a writer does: `bursts` of scans of some `groups`, or 0 for as many as it can until told to stop. `epoch` is
    when it began, nanoseconds UTC. After each burst it rests for `pause` seconds. A `hasty` one does the upkeep itself,
    more often than once a second; one that `turns` the keys does that, too. `synchronous` and `log_pages` are for
    SQLite: how much is synced, and at how many pages the write-ahead log is moved into the file."""

    seed: int
    epoch: int
    bursts: int = 0
    groups: tuple[int, ...] = (0, 1, 2, 3)
    sinks: tuple[str, ...] = (PROMPT, SPOTTY, AWAY)
    segment_bytes: int = 64 << 10
    max_bytes: int = 1 << 30
    hasty: bool = True
    turns: bool = False
    pause: float = 0.0
    synchronous: str = "FULL"
    log_pages: int = 20


def tune(plan: Plan) -> None:
    """From now on this process's journals say to SQLite what the plan wants."""
    tuned = {"synchronous": plan.synchronous, "wal_autocheckpoint": plan.log_pages}
    kept = [pragma for pragma in own._OWNED if not any(f" {name}=" in pragma for name in tuned)]
    own._OWNED = (*kept, *(f"PRAGMA {name}={value}" for name, value in tuned.items()))
    if plan.hasty:
        running._TIDY_SECONDS = _NEVER


def hasten() -> None:
    """From now on all files of this process share what SQLAlchemy has compiled, which is most of what a start costs.
    For those who start thousands of times, one after the other."""
    create, first = own.create_engine, own.create_engine("sqlite://")

    def shared(url: str, **options: Any) -> Engine:
        engine = create(url, **options)
        engine.dialect = first.dialect
        engine._compiled_cache = first._compiled_cache
        return engine

    own.create_engine = shared


def make(directory: Path, plan: Plan) -> Journal:
    settings = JournalSettings.model_validate({"commit_interval": "2ms"})
    small = {"segment_bytes": plan.segment_bytes, "max_bytes": plan.max_bytes}
    file = directory.with_name("journal.key")
    ring = keys.load(file, fresh=not (directory / "catalog.db").exists()) if plan.turns else _KEYS
    return Journal(directory, ring, SystemClock(), settings.model_copy(update=small))


def files(directory: Path, most: int) -> list[Path]:
    """What the journal may open, up to its segment number `most`."""
    names = ["catalog.db", *(str(Name(stream, number)) for stream in Stream for number in range(1, most))]
    return [directory / f"{name}{suffix}" for name in names for suffix in ("", "-wal", "-journal")]


# Writing


async def write(directory: Path, plan: Plan, say: Callable[[str], None], stopping: asyncio.Event) -> None:
    """Returns when the plan is done, or after `stopping`, with the journal closed."""
    tune(plan)
    journal = make(directory, plan)
    await journal.open(plan.sinks)
    running = asyncio.create_task(journal.run())
    writer = _Writer(journal, plan, say)
    say("READY")
    burst = 0
    while not stopping.is_set() and (burst < plan.bursts or not plan.bursts):
        burst += 1
        await writer.burst()
        await asyncio.sleep(plan.pause)
    journal.stop()
    await running
    await journal.close()


class _Writer:
    def __init__(self, journal: Journal, plan: Plan, say: Callable[[str], None]) -> None:
        self._journal = journal
        self._plan = plan
        self._say = say
        self._random = random.Random(plan.seed)
        self._number = 0
        self._settled: dict[str, list[Item]] = {sink: [] for sink in plan.sinks}
        self._dropped = dict.fromkeys(plan.sinks, 0)

    async def burst(self) -> None:
        """Some scans, perhaps an event; now and then the sinks come. Waits for the disk most of the time."""
        durable = asyncio.Event()
        for _ in range(self._random.randint(1, 8)):
            self._append(self._random.choice(self._plan.groups), durable)
        if self._random.random() < 0.3:
            self._record(durable)
        await (durable.wait() if self._random.random() < 0.8 else asyncio.sleep(0))
        if self._random.random() < 0.4:
            await self._deliver()
        if self._plan.turns and self._random.random() < 0.15:
            await self._journal.turn(self._journal.keys.rotated(keys.generate()))
        self._tell_dropped()

    def _append(self, k: int, durable: asyncio.Event) -> None:
        item = (k, self._number)
        self._number += 1
        self._journal.append(content.scan(item, self._plan.epoch), lambda: self._acknowledge(item, durable))

    def _record(self, durable: asyncio.Event) -> None:
        item = (EVENT, self._number)
        self._number += 1
        self._journal.record(content.event(item[1], self._plan.epoch))
        self._journal.follow(lambda: self._acknowledge(item, durable))

    def _acknowledge(self, item: Item, durable: asyncio.Event) -> None:
        self._say(f"A {names([item])}")
        durable.set()

    async def _deliver(self) -> None:
        for sink in (PROMPT, SPOTTY):
            for stream in Stream:
                try:
                    await self._drain(sink, stream)
                except FAILURES:
                    return  # a forwarder tries again, too
        if self._plan.hasty and self._random.random() < 0.4:
            done = {sink: list(items) for sink, items in self._settled.items()}
            await self._journal.tidy()
            if not self._journal.failing:
                self._tell_settled(done)

    async def _drain(self, sink: str, stream: Stream) -> None:
        start = 0
        while work := self._journal.deliveries[sink, stream].next(start):
            chunks = await self._journal.read(stream, *work, 200)
            for chunk in chunks:
                self._receive(sink, chunk)
            start = chunks[-1].seq + 1 if chunks else work[1]

    def _receive(self, sink: str, chunk: Chunk) -> None:
        if sink == SPOTTY and self._random.random() < 0.2:
            return
        items = contents(chunk, self._plan.epoch)
        self._say(f"R {sink} {chunk.stream:d} {chunk.seq} {names(items)}")
        self._journal.settle(sink, [chunk])
        self._settled[sink] += items

    def _tell_settled(self, done: Mapping[str, list[Item]]) -> None:
        for sink, items in done.items():
            if items:
                self._say(f"S {sink} {names(items)}")
                del self._settled[sink][: len(items)]

    def _tell_dropped(self) -> None:
        for sink in self._plan.sinks:
            dropped = self._journal.statistics(sink).dropped
            if dropped != self._dropped[sink]:
                self._dropped[sink] = dropped
                self._say(f"D {sink} {dropped}")


# Judging


@dataclass(slots=True)
class Findings:
    """`lost` were acknowledged and are gone; `duplicates` were settled on disk and are pending again."""

    lost: int = 0
    duplicates: int = 0
    problems: list[str] = field(default_factory=list)

    @property
    def sound(self) -> bool:
        return not (self.lost or self.duplicates or self.problems)


class Kept(NamedTuple):
    """One chunk as it is read back."""

    points: int
    items: frozenset[Item]
    broken: str


async def audit(directory: Path, history: History, plan: Plan, thorough: bool = True) -> Findings:
    """Opens what is there as a start of the gateway does, and holds it against what the writer has said; a `thorough`
    one goes on from there, too, and looks again after that."""
    findings = Findings()
    try:
        if not thorough:
            await _look(directory, history, plan, findings)
            return findings
        async with opened(directory, plan) as journal:
            await _compare(journal, history, plan, findings)
            await _go_on(journal, history, plan, findings.problems)
        if findings.sound:
            await _look(directory, history, plan, findings)
    except Exception as error:
        findings.problems.append(f"unreadable: {error!r}")
        findings.lost = findings.lost or len(history.acknowledged)
    return findings


async def _look(directory: Path, history: History, plan: Plan, findings: Findings) -> None:
    """Leaves as a crash does: to close a journal properly takes as long as all else."""
    journal = make(directory, plan)
    try:
        await journal.open(plan.sinks)
        await _compare(journal, history, plan, findings)
    finally:
        journal._owner.shutdown()
        journal._reader.shutdown()


async def _compare(journal: Journal, history: History, plan: Plan, findings: Findings) -> None:
    kept = await read_pending(journal, plan, findings.problems)
    for sink in plan.sinks:
        _judge(journal, sink, kept, history, findings)
        ledger = sum(loss.points for loss in await journal.losses() if loss.sink == sink)
        if ledger != journal.statistics(sink).dropped:
            findings.problems.append(f"{sink}: {ledger} points stand in the ledger: {journal.statistics(sink)}")
    for place, items in history.chunks.items():
        if place in kept and not kept[place].broken and kept[place].items != items:
            findings.problems.append(f"chunk {place} has been used twice")


@asynccontextmanager
async def opened(directory: Path, plan: Plan) -> AsyncIterator[Journal]:
    journal = make(directory, plan)
    await journal.open(plan.sinks)
    running = asyncio.create_task(journal.run())
    try:
        yield journal
    finally:
        journal.stop()
        await running
        await journal.close()


async def read_pending(journal: Journal, plan: Plan, problems: list[str]) -> dict[tuple[int, int], Kept]:
    """Every chunk that any sink still has to get, by stream and number."""
    kept: dict[tuple[int, int], Kept] = {}
    for stream in Stream:
        wanted = Ranges()
        for sink in plan.sinks:
            delivery = journal.deliveries[sink, stream]
            for start, stop in delivery.ranges.within(0, delivery.head.seq):
                wanted.add(start, stop)
        for start, stop in wanted:
            await _read(journal, stream, range(start, stop), plan.epoch, kept)
            missing = [seq for seq in range(start, stop) if (stream, seq) not in kept]
            if missing:
                problems.append(f"{stream.name}: chunks {missing} are pending and not there")
    return kept


async def _read(
    journal: Journal, stream: Stream, numbers: range, epoch: int, kept: dict[tuple[int, int], Kept]
) -> None:
    start = numbers.start
    while start < numbers.stop:
        chunks = await journal.read(stream, start, numbers.stop, _MANY)
        for chunk in chunks:
            kept[stream, chunk.seq] = Kept(chunk.points, frozenset(contents(chunk, epoch)), chunk.broken)
        start = chunks[-1].seq + 1 if chunks else start + 1


def contents(chunk: Chunk, epoch: int) -> list[Item]:
    """What a chunk holds, by name. Raises ValueError for what nobody wrote."""
    scans = [item for rows in chunk.rows for item in content.items(rows, epoch)]
    events = [content.item_of(event, epoch) for event in chunk.events]
    return scans + [item for item in events if item is not None]


def _judge(
    journal: Journal, sink: str, kept: Mapping[tuple[int, int], Kept], history: History, findings: Findings
) -> None:
    account = journal.statistics(sink)
    mine = list(_pending(journal, sink, kept))
    items = {item for chunk in mine for item in chunk.items}
    held = sum(chunk.points for chunk in mine)
    if account.pending != held:
        findings.problems.append(f"{sink}: {account.pending} points are said to be pending, {held} are")
    if account.ingested != account.delivered + account.pending + account.dead_letters + account.dropped:
        findings.problems.append(f"{sink}: {account} does not add up")
    if not history.dropped[sink] <= account.dropped <= history.most_dropped[sink]:
        findings.problems.append(
            f"{sink}: {account.dropped} points dropped; it were {history.dropped[sink]} to {history.most_dropped[sink]}"
        )
    findings.problems += [f"{sink}: {chunk.broken}" for chunk in mine if chunk.broken]
    lost = history.acknowledged - items - history.received[sink]
    if sum(map(content.points, lost)) > min(account.dropped, history.most_dropped[sink]):
        findings.lost += len(lost)
        findings.problems.append(f"{sink}: lost {names(sorted(lost)[:10])}")
    again = items & history.settled[sink]
    findings.duplicates += len(again)
    if again:
        findings.problems.append(f"{sink}: again pending {names(sorted(again)[:10])}")


def _pending(journal: Journal, sink: str, kept: Mapping[tuple[int, int], Kept]) -> Iterable[Kept]:
    for stream in Stream:
        delivery = journal.deliveries[sink, stream]
        for start, stop in delivery.ranges.within(0, delivery.head.seq):
            yield from (kept[stream, seq] for seq in range(start, stop) if (stream, seq) in kept)


async def _go_on(journal: Journal, history: History, plan: Plan, problems: list[str]) -> None:
    """What comes after the fault is kept too, under numbers that were never used, and every sink gets it."""
    numbers = {stream: 0 for stream in Stream}
    for stream, seq in history.chunks:
        numbers[Stream(stream)] = max(numbers[Stream(stream)], seq + 1)
    heads = {stream: journal.deliveries[PROMPT, stream].head.seq for stream in Stream}
    durable = asyncio.Event()
    first = max((number for _, number in history.acknowledged), default=0) + 1_000_000
    fresh = [(k, first + k) for k in plan.groups]
    journal.record(content.event(first, plan.epoch))
    for item in fresh:
        journal.append(content.scan(item, plan.epoch))
    journal.follow(durable.set)
    await durable.wait()
    for stream in {Stream.EVENTS, *(Stream.of(GROUPS[k].priority) for k in plan.groups)}:
        for sink in plan.sinks:
            work = journal.deliveries[sink, stream].next(heads[stream])
            if work is None or work[0] < numbers[stream]:
                problems.append(f"{sink}: what is new in {stream.name} is at {work}, after {numbers[stream]}")


# Decay

Place: TypeAlias = tuple[int, int]
"""Of a chunk: its stream and number."""

Rows: TypeAlias = dict[tuple[str, int], tuple[object, ...]]
"""The stored chunks, by file and number."""

Head: TypeAlias = tuple[object, ...]
"""What all chunks of a file need."""

_MOST_CHUNKS = 1000
"""Of a stream, in one of these journals."""


@dataclass(frozen=True, slots=True)
class Estate:
    """What is in a journal before it decays."""

    history: History
    pending: Mapping[str, frozenset[tuple[int, int]]]
    """Of each sink, by stream and number."""
    dropped: Mapping[str, int]
    chunks: Mapping[tuple[int, int], Kept]
    rows: Rows
    heads: Mapping[str, Head]
    noted: Mapping[int, int]
    """By stream, the number up to which the catalogue knows of chunks. What came after that, and decays in a file that
    a crash left open, nobody can miss."""


async def survey(directory: Path, history: History, plan: Plan) -> Estate:
    """Looks at a copy: to open a journal is to change it."""
    with TemporaryDirectory(dir=directory.parent) as name:
        copy = Path(shutil.copytree(directory, f"{name}/rows"))
        rows, heads = _stored(copy)
        with closing(sqlite3.connect(copy / "catalog.db")) as connection:
            noted = dict(connection.execute("SELECT stream, seq FROM head").fetchall())
        journal = make(Path(shutil.copytree(directory, f"{name}/journal")), plan)
        await journal.open(plan.sinks)
        problems: list[str] = []
        chunks = await read_pending(journal, plan, problems)
        pending = {sink: frozenset(_places(journal, sink)) for sink in plan.sinks}
        dropped = {sink: journal.statistics(sink).dropped for sink in plan.sinks}
        await journal.close()
    if problems:
        raise RuntimeError(f"a sound journal is not: {problems}")
    return Estate(history, pending, dropped, chunks, rows, heads, noted)


def _places(journal: Journal, sink: str) -> Iterator[tuple[int, int]]:
    for stream in Stream:
        delivery = journal.deliveries[sink, stream]
        for start, stop in delivery.ranges.within(0, delivery.head.seq):
            yield from ((int(stream), seq) for seq in range(start, stop))


def tamper(path: Path, choice: random.Random) -> None:
    """One value of one row becomes another: of a segment's chunk, or of what the catalogue knows."""
    with closing(sqlite3.connect(path)) as connection, connection:
        tables = ("chunk",) if Name.of(path) is not None else ("segment", "head", "delivery", "pending")
        rows = [(table, row) for table in tables for (row,) in connection.execute(f"SELECT rowid FROM {table}")]
        if not rows:
            return
        table, row = choice.choice(rows)
        kinds = {name: kind for _, name, kind, *_ in connection.execute(f"PRAGMA table_info({table})")}
        column = choice.choice([name for name in kinds if name not in ("seq", "stream", "sink", "number", "start")])
        if kinds[column] == "INTEGER":
            connection.execute(f"UPDATE {table} SET {column} = {column} + 1 WHERE rowid = ?", (row,))
            return
        _, other = choice.choice([each for each in rows if each[0] == table])
        (value,) = connection.execute(f"SELECT {column} FROM {table} WHERE rowid = ?", (other,)).fetchone()
        connection.execute(f"UPDATE {table} SET {column} = ? WHERE rowid = ?", (value, row))


def touched(directory: Path, estate: Estate) -> set[tuple[int, int]]:
    """The chunks that are not there any more as they were written, as SQLite sees it. Spoils the directory."""
    rows: Rows = {}
    heads: dict[str, Head] = {}
    for file in estate.heads:
        _collect(directory / file, [seq for name, seq in estate.rows if name == file], rows, heads)
    return {
        (_stream(file), seq)
        for (file, seq), row in estate.rows.items()
        if rows.get((file, seq)) != row or heads.get(file) != estate.heads[file]
    }


def _stream(file: str) -> int:
    name = Name.of(Path(file))
    assert name is not None
    return int(name.stream)


def _stored(directory: Path) -> tuple[Rows, dict[str, Head]]:
    rows: Rows = {}
    heads: dict[str, Head] = {}
    for path in directory.iterdir():
        if Name.of(path) is not None:
            _collect(path, range(_MOST_CHUNKS), rows, heads)
    return rows, heads


def _collect(path: Path, numbers: Iterable[int], rows: Rows, heads: dict[str, Head]) -> None:
    """Row by row: a page that is broken takes only its own with it."""
    with suppress(sqlite3.DatabaseError), closing(sqlite3.connect(path)) as connection:
        heads[path.name] = tuple(
            tuple(connection.execute(f"SELECT * FROM {table}").fetchall()) for table in ("about", "schema")
        )
        for seq in numbers:
            with suppress(sqlite3.DatabaseError):
                row = connection.execute("SELECT * FROM chunk WHERE seq=?", (seq,)).fetchone()
                if row is not None:
                    rows[path.name, seq] = row


async def appraise(directory: Path, estate: Estate, touched: set[tuple[int, int]], plan: Plan) -> Findings:
    """Opens what is there and delivers it, as forwarders do, and holds what comes against what was."""
    findings = Findings()
    try:
        async with opened(directory, plan) as journal:
            for sink in plan.sinks:
                came = await _deliver_all(journal, sink, estate, plan, findings.problems)
                dropped = journal.statistics(sink).dropped - estate.dropped[sink]
                _settle_up(sink, estate, touched, came, dropped, findings)
    except Exception as error:
        findings.problems.append(f"unreadable: {error!r}")
        findings.lost += 1
    return findings


async def _deliver_all(journal: Journal, sink: str, estate: Estate, plan: Plan, problems: list[str]) -> set[Place]:
    """What the sink gets, by stream and number; each held against what was written under that number."""
    came: set[Place] = set()
    known = {place: chunk.items for place, chunk in estate.chunks.items()} | estate.history.chunks
    for stream in Stream:
        while work := journal.deliveries[sink, stream].next():
            chunks = await journal.read(stream, *work, 200)
            if not chunks:
                problems.append(f"{sink}: nothing is read of {stream.name} {work}, and it stays pending")
                break
            for chunk in chunks:
                place = (int(stream), chunk.seq)
                items = frozenset(contents(chunk, plan.epoch))
                if not chunk.broken:
                    came.add(place)
                    if items != known.get(place, items) and not _is_late(place, estate):
                        problems.append(f"{sink}: {place} is another chunk")
            journal.settle(sink, chunks)
    return came


def _settle_up(
    sink: str, estate: Estate, touched: set[Place], came: set[Place], dropped: int, findings: Findings
) -> None:
    gone = estate.pending[sink] - came
    spared = gone - touched
    if spared:
        findings.lost += len(spared)
        findings.problems.append(f"{sink}: {sorted(spared)} were not touched, and are gone")
    least = sum(estate.chunks[place].points for place in gone if not _is_late(place, estate))
    most = sum(estate.chunks[place].points for place in gone)
    if not least <= dropped <= most:
        findings.lost += 0 if spared else max(0, least - dropped)
        findings.problems.append(f"{sink}: {least} to {most} points are gone, {dropped} are said to be")


def _is_late(place: Place, estate: Estate) -> bool:
    return place[1] >= estate.noted.get(place[0], 0)

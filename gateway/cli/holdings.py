"""`edgeward journal status`: what is on disk, who still has to get it, and what was given up."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Iterator, Sequence

import msgspec

from gateway.cli.journal import connected
from gateway.cli.words import NOTHING, count, date, size, span
from gateway.clock import SECOND
from gateway.inquiry import AskJournal, DeliveryEntry, JournalReply, LossEntry, StreamEntry


def run(options: Namespace) -> int:
    with connected(options) as journal:
        reply = journal.ask(AskJournal(), JournalReply)
    if options.json:
        print(msgspec.json.encode(reply).decode())
        return 0
    from rich.text import Text

    from gateway.cli.table import console, table

    out = console()
    out.print(Text(headline(reply), "bold"))
    if reply.failure:
        out.print(Text(f"it cannot write: {reply.failure}", "bold red"))
    for line in remarks(reply):
        out.print(Text(line))
    out.print()
    out.print(table(("STREAM", "SEGMENTS>", "SIZE>", "POINTS>", "FROM", "UNTIL"), map(_stream, reply.streams)))
    out.print()
    columns = ("SINK", "STREAM", "PENDING>", "RANGES>", "OLDEST>", "DELIVERED>", "DEAD>", "DROPPED>", "")
    out.print(table(columns, [_delivery(reply, each) for each in reply.deliveries]))
    if reply.losses:
        out.print()
        out.print(table(("GIVEN UP", "SINK", "STREAM", "POINTS>", "FROM", "UNTIL", "WHY"), map(_loss, reply.losses)))
    return 0


def headline(reply: JournalReply) -> str:
    state = "the gateway runs" if reply.running else "no gateway runs"
    kept = f"{size(reply.bytes)} of {size(reply.max_bytes)}, kept for {span(reply.retention / SECOND)} at most"
    return f"{state}; {kept}"


def remarks(reply: JournalReply) -> Iterator[str]:
    if reply.waiting_points:
        yield f"{count(reply.waiting_points)} points ({size(reply.waiting_bytes)}) wait in memory"
    if not reply.clock_trusted:
        yield "the clock is not trusted: what comes in is kept, and sent once it is known when it was"
    earlier = "; everything is being wrapped anew, until then the earlier key is needed" if reply.rotating else ""
    recovery = "with" if reply.recovery else "without"
    yield f"key from a {reply.key}{earlier}; {recovery} a recovery key"
    if reply.letters:
        letters = ", ".join(f"{sink} {count(number)}" for sink, number in sorted(reply.letters.items()))
        yield f"dead letters: {letters}; edgeward journal dead-letters list"


def _stream(stream: StreamEntry) -> Sequence[str]:
    until = "now" if stream.open else date(stream.until)
    since = date(stream.since) if stream.segments else NOTHING
    return stream.stream, count(stream.segments), size(stream.bytes), count(stream.points), since, until


def _delivery(reply: JournalReply, entry: DeliveryEntry) -> Sequence[str]:
    oldest = span((reply.time - entry.oldest) / SECOND) if entry.oldest and entry.pending else NOTHING
    return (
        entry.sink,
        entry.stream,
        count(entry.pending),
        count(entry.ranges),
        oldest,
        count(entry.delivered),
        count(entry.dead_letters),
        count(entry.dropped),
        "" if entry.configured else "not configured any more",
    )


def _loss(loss: LossEntry) -> Sequence[str]:
    return (
        date(loss.time),
        loss.sink,
        loss.stream,
        count(loss.points),
        date(loss.since),
        date(loss.until),
        loss.reason,
    )

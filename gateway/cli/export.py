"""`edgeward journal export`: what the journal holds, in the clear."""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import BinaryIO, Protocol

import msgspec

from gateway.cli import output
from gateway.cli.bar import Tell, bar
from gateway.cli.client import CallFailed
from gateway.cli.journal import connected, exists, place
from gateway.cli.words import counted
from gateway.clock import SECOND, SystemClock
from gateway.inquiry import Export, ExportedReply, ExportReply
from gateway.phrase import Reply

_PLAIN = "what you export is not encrypted any more: keep it as you would keep the journal's key"


def run(options: Namespace) -> int:
    """0 if all of it was read, 1 if something could not be."""
    if options.output is not None:
        exists(options.output, options.force)
    request = Export(
        since=options.since or 0,
        until=1 << 62 if options.until is None else options.until,
        tag=options.tag or "",
        device=options.device or "",
        format=options.format,
    )
    print(f"edgeward: {_PLAIN}", file=sys.stderr)
    is_shown = options.output is not None
    try:
        with _target(options) as file, _source(options) as source, bar("exporting", is_shown) as tell:
            done = _copy(source.run(request), file, tell)
    except BrokenPipeError:
        raise  # nobody reads any more
    except OSError as error:
        raise CallFailed(str(error)) from error
    _tell(options, done)
    return 1 if done.lost else 0


def moment(text: str) -> int:
    """A time as people write it, in nanoseconds: `2026-11-23T08:15:00Z` (UTC unless it says otherwise), or how long
    ago, as in `2h`. Raises ValueError."""
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        from gateway.fields import parse_duration

        return SystemClock().now() - parse_duration(text)
    if time.tzinfo is None:
        time = time.replace(tzinfo=UTC)
    return int(time.timestamp()) * SECOND + time.microsecond * 1000


class Source(Protocol):
    def run(self, errand: Export, /) -> Iterator[Reply]: ...


@contextmanager
def _source(options: Namespace) -> Iterator[Source]:
    """The journal; with the recovery key, its files."""
    if options.recovery_key is None:
        with connected(options) as journal:
            yield journal
        return
    from gateway.cli import direct

    with direct.rescued(place(options), options.recovery_key) as rescuer:
        yield rescuer
        for name in rescuer.rescue.unreadable:
            print(f"edgeward: {name} is damaged where it says what it holds; nothing of it is here", file=sys.stderr)


@contextmanager
def _target(options: Namespace) -> Iterator[BinaryIO]:
    if options.output is None:
        yield sys.stdout.buffer
    else:
        with output.private(options.output) as file:
            yield file


def _copy(replies: Iterator[Reply], file: BinaryIO, tell: Tell) -> ExportReply:
    for reply in replies:
        match reply:
            case ExportedReply():
                file.write(reply.text.encode())
                tell(reply.done, reply.total)
            case ExportReply():
                return reply
    raise CallFailed("the gateway hung up before everything was read")


def _tell(options: Namespace, done: ExportReply) -> None:
    if options.json and options.output is not None:
        print(msgspec.json.encode(done).decode())
        return
    where = "" if options.output is None else f"{options.output}: "
    events = "" if options.format == "csv" else f" and {counted(done.events, 'events')}"
    print(f"edgeward: {where}{counted(done.points, 'points')}{events}", file=sys.stderr)
    if done.lost:
        lost = f"{counted(done.lost, 'points')} cannot be read: edgeward journal verify says which"
        print(f"edgeward: {lost}", file=sys.stderr)

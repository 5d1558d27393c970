"""`edgeward journal verify`: reads everything that is there, and says exactly what cannot be read."""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Sequence

import msgspec

from gateway.cli.bar import bar
from gateway.cli.client import CallFailed
from gateway.cli.journal import connected
from gateway.cli.words import count, counted, date
from gateway.inquiry import FaultEntry, FaultsReply, Progress, Verify, VerifyReply


def run(options: Namespace) -> int:
    """0 if all is sound, 1 if not."""
    faults: list[FaultEntry] = []
    with connected(options) as journal, bar("verifying", not options.json) as tell:
        for reply in journal.run(Verify(options.segment or 0)):
            match reply:
                case Progress():
                    tell(reply.done, reply.total)
                case FaultsReply():
                    faults += reply.faults
                case VerifyReply():
                    break
        else:
            raise CallFailed("the gateway hung up before everything was read")
    assert isinstance(reply, VerifyReply)
    if options.json:
        print(msgspec.json.encode({**msgspec.structs.asdict(reply), "faults": faults}).decode())
    else:
        _show(reply, faults)
    return 1 if faults else 0


def _show(reply: VerifyReply, faults: Sequence[FaultEntry]) -> None:
    segments, chunks = counted(reply.segments, "segments"), counted(reply.chunks, "chunks")
    read = f"{segments}, {chunks}, {counted(reply.points, 'points')}: "
    if not faults:
        print(f"{read}all is sound")
        return
    from gateway.cli.table import console, table

    columns = ("SEGMENT>", "FILE", "CHUNKS", "POINTS>", "FROM", "UNTIL", "WHY")
    console().print(table(columns, map(_row, faults)))
    print(f"{read}these are sound; {counted(reply.lost, 'points')} cannot be read", file=sys.stderr)


def _row(fault: FaultEntry) -> Sequence[str]:
    last = fault.stop - 1
    chunks = str(fault.first) if last <= fault.first else f"{fault.first} to {last}"
    where = str(fault.segment), fault.file, chunks
    return *where, count(fault.points), date(fault.since), date(fault.until), fault.reason

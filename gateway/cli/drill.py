"""`edgeward drill outage`: cuts sinks off on purpose, watches what is promised, and writes a report."""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from gateway.cli import output, report
from gateway.cli.bar import Tell, bar
from gateway.cli.client import CallFailed, Client, complain, find
from gateway.cli.letters import confirm
from gateway.cli.words import span
from gateway.clock import SECOND, SystemClock
from gateway.inquiry import Drill, DrillReply, SampleReply
from gateway.phrase import Reply

_SECONDS = 60.0


def run(options: Namespace) -> int:
    """0 if every promise was kept, 1 if not."""
    try:
        return _run(find(options), options)
    except CallFailed as error:
        complain(error, options.json)
        return 1


def _run(client: Client, options: Namespace) -> int:
    seconds = options.minutes * _SECONDS
    began = datetime.fromtimestamp(SystemClock().now() / SECOND, UTC)
    folder = options.output or Path(f"drill-{began:%Y-%m-%dT%H%M%SZ}")
    if folder.exists():
        raise CallFailed(f"{folder} exists already", "choose another one with -o")
    if not options.yes:
        whom = ", ".join(options.sink) or "every sink"
        confirm(f"cut off {whom} for {span(seconds)}? Nothing is delivered meanwhile")
    replies = client.run(Drill(seconds, tuple(options.sink)))
    with bar("outage", not options.json) as tell:
        samples, is_over = _watch(replies, seconds, tell)
    if not samples:
        raise CallFailed("the gateway hung up before the drill began")
    result = report.judge(samples, seconds, is_over)
    _write(folder, result, samples, f"{began:%Y-%m-%d %H:%M:%S} UTC")
    if options.json:
        print(msgspec.json.encode(report.plain(result)).decode())
    else:
        for line in report.summary(result):
            print(line)
        print(f"{folder}/report.md has it all")
    return 0 if result.is_passed else 1


def _watch(replies: Iterator[Reply], seconds: float, tell: Tell) -> tuple[list[SampleReply], bool]:
    """The samples, and whether it went on to its end. The gateway ends the cut when this process is interrupted."""
    samples: list[SampleReply] = []
    try:
        for reply in replies:
            match reply:
                case SampleReply():
                    samples.append(reply)
                    tell(min(reply.at, seconds), seconds)
                case DrillReply():
                    return samples, True
    except KeyboardInterrupt:
        print("edgeward: interrupted; the gateway lets the sinks deliver again", file=sys.stderr)
    except CallFailed as error:
        if not samples:
            raise
        complain(error, json=False)
    return samples, False


def _write(folder: Path, result: report.Result, samples: list[SampleReply], began: str) -> None:
    try:
        folder.mkdir(parents=True)
        output.create(folder / "report.md", report.markdown(result, samples, began))
        body = {"began": began, **report.plain(result), "samples": samples}
        output.create(folder / "report.json", msgspec.json.format(msgspec.json.encode(body), indent=1).decode() + "\n")
    except OSError as error:
        raise CallFailed(f"the report cannot be written: {error}") from error

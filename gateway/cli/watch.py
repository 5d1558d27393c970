"""`edgeward watch`: values as they change, as a table on a terminal and line by line elsewhere."""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Iterable

import msgspec

from gateway.cli.client import Client
from gateway.cli.words import line
from gateway.door import ReadingsReply, TagReading, Watch

_LIVE_SECONDS = 0.25
_PLAIN_SECONDS = 1.0


def run(client: Client, options: Namespace) -> int:
    """Until Ctrl-C."""
    is_live = sys.stdout.isatty() and not options.json
    replies = client.watch(Watch(tuple(options.tags), _LIVE_SECONDS if is_live else _PLAIN_SECONDS))
    try:
        if is_live:
            from gateway.cli.board import show

            show(replies)
        else:
            _print(replies, options.json)
    except KeyboardInterrupt:
        return 0
    return 1


def _print(replies: Iterable[ReadingsReply], json: bool) -> None:
    for reply in replies:
        for reading in reply.readings:
            print(_json(reading) if json else line(reading))
        sys.stdout.flush()


def _json(reading: TagReading) -> str:
    return msgspec.json.encode(reading).decode()

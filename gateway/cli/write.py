"""`edgeward write`: a value to a tag, and how that ended."""

from __future__ import annotations

from argparse import Namespace

import msgspec

from gateway.cli.client import Client
from gateway.cli.words import value
from gateway.door import Value, Write, WriteReply
from gateway.log import printable


def run(client: Client, options: Namespace) -> int:
    """0 if it was written, 1 if not."""
    reply = client.ask(Write(options.tag, parse(options.value)), WriteReply)
    print(msgspec.json.encode(reply).decode() if options.json else in_words(reply))
    return 0 if reply.outcome == "done" else 1


def parse(text: str) -> Value:
    """A JSON scalar as what it is, anything else as text."""
    try:
        scalar: Value = msgspec.json.decode(text, type=Value)
    except (msgspec.MsgspecError, UnicodeEncodeError):
        return text
    return scalar


def in_words(reply: WriteReply) -> str:
    wish = f"{reply.tag} = {value(reply.value)}"
    return printable(f"written: {wish}" if reply.outcome == "done" else f"{reply.outcome}: {wish}: {reply.reason}")

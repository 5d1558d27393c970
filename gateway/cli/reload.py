"""`edgeward reload`: a changed configuration comes into force, or it is said what is wrong with it."""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Iterator

import msgspec

from gateway.cli.client import Client
from gateway.door import Reload, ReloadReply
from gateway.log import printable


def run(client: Client, options: Namespace) -> int:
    """0 if it is in force, 1 if it was refused."""
    reply = client.ask(Reload(), ReloadReply)
    if options.json:
        print(msgspec.json.encode(reply).decode())
    else:
        for line in refusal(reply) if reply.problems else success(reply):
            print(line, file=sys.stderr if reply.problems else sys.stdout)
    return 1 if reply.problems else 0


def success(reply: ReloadReply) -> Iterator[str]:
    yield f"generation {reply.number} is in force"
    for word, difference in (("links", reply.links), ("sinks", reply.sinks), ("rules", reply.rules)):
        yield printable(f"  {word}: {difference}")


def refusal(reply: ReloadReply) -> Iterator[str]:
    for problem in reply.problems:
        yield from map(printable, str(problem).splitlines())
    yield f"refused: generation {reply.number} stays in force"

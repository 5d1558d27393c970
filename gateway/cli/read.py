"""`edgeward read`: the last value of a tag."""

from __future__ import annotations

from argparse import Namespace

import msgspec

from gateway.cli.client import Client
from gateway.cli.words import line
from gateway.door import Read, ReadingsReply


def run(client: Client, options: Namespace) -> int:
    (reading,) = client.ask(Read(options.tag), ReadingsReply).readings
    print(msgspec.json.encode(reading).decode() if options.json else line(reading))
    return 0

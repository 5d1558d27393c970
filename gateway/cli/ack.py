"""`edgeward ack`: somebody has seen an alarm."""

from __future__ import annotations

from argparse import Namespace

import msgspec

from gateway.cli.client import Client
from gateway.door import Acknowledge, AcknowledgeReply
from gateway.log import printable


def run(client: Client, options: Namespace) -> int:
    reply = client.ask(Acknowledge(options.alarm, options.comment), AcknowledgeReply)
    if options.json:
        print(msgspec.json.encode(reply).decode())
    else:
        print(printable(f"{reply.alarm}: acknowledged by {reply.user}; it was {reply.previous} and is {reply.state}"))
    return 0

"""`edgeward unshelve`: an alarm comes off the shelf before its time."""

from __future__ import annotations

from argparse import Namespace

from gateway.cli.attention import show
from gateway.cli.client import Client
from gateway.door import AlarmReply, Unshelve


def run(client: Client, options: Namespace) -> int:
    show(client.ask(Unshelve(options.alarm, options.comment), AlarmReply), options.json)
    return 0

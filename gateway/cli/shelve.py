"""`edgeward shelve`: an alarm is recorded, but nobody is told, for a time."""

from __future__ import annotations

from argparse import Namespace

from gateway.cli.attention import show
from gateway.cli.client import Client
from gateway.door import AlarmReply, Shelve


def run(client: Client, options: Namespace) -> int:
    show(client.ask(Shelve(options.alarm, options.duration, options.comment), AlarmReply), options.json)
    return 0

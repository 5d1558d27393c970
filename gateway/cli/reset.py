"""`edgeward reset`: a latched alarm is let go."""

from __future__ import annotations

from argparse import Namespace

from gateway.cli.attention import show
from gateway.cli.client import Client
from gateway.door import AlarmReply, Reset


def run(client: Client, options: Namespace) -> int:
    show(client.ask(Reset(options.alarm, options.comment), AlarmReply), options.json)
    return 0

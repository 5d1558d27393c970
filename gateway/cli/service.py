"""`edgeward service`: an alarm is taken out of service, or put back."""

from __future__ import annotations

from argparse import Namespace

from gateway.cli.attention import show
from gateway.cli.client import Client
from gateway.door import AlarmReply, Service


def run(client: Client, options: Namespace) -> int:
    show(client.ask(Service(options.alarm, options.way == "out", options.comment), AlarmReply), options.json)
    return 0

"""`edgeward alarms`: every alarm, and how it stands."""

from __future__ import annotations

from argparse import Namespace

import msgspec

from gateway.cli.client import Client
from gateway.door import AlarmsReply, AskAlarms


def run(client: Client, options: Namespace) -> int:
    alarms = client.ask(AskAlarms(), AlarmsReply).alarms
    if options.json:
        print(msgspec.json.encode(alarms).decode())
        return 0
    from gateway.cli import overview
    from gateway.cli.table import console

    console().print(overview.alarms(alarms) if alarms else "no rules, so no alarms")
    return 0

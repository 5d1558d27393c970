"""`edgeward status`: how a running gateway is."""

from __future__ import annotations

from argparse import Namespace

import msgspec

from gateway.cli.client import Client
from gateway.door import AskStatus, StatusReply


def run(client: Client, options: Namespace) -> int:
    status = client.ask(AskStatus(), StatusReply).status
    if options.json:
        print(msgspec.json.encode(status).decode())
        return 0
    from gateway.cli.overview import show

    show(status)
    return 0

"""`python -m simulators.broker --port 1883`. The last line on stdout tells in JSON what went through."""

from __future__ import annotations

import argparse
import asyncio
import ipaddress
import json

from simulators import broker, service
from simulators.broker.server import Broker, Connection


class Options(argparse.Namespace):
    host: str
    port: int
    max_packet: int


def loopback(text: str) -> str:
    """For argparse: an address of this machine that no other can reach."""
    if not ipaddress.ip_address(text).is_loopback:
        raise ValueError(text)
    return text


async def main(options: Options) -> None:
    hub = Broker(options.max_packet)
    server = await asyncio.get_running_loop().create_server(lambda: Connection(hub), options.host, options.port)
    try:
        service.ready(port=server.sockets[0].getsockname()[1])
        await asyncio.Event().wait()
    finally:
        server.close()
        print(json.dumps(hub.counts), flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        prog="python -m simulators.broker",
        description=broker.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--host", type=loopback, default="127.0.0.1", help="a loopback address")
    parser.add_argument("--port", type=int, default=1883, help="0 for any that is free")
    parser.add_argument("--max-packet", type=int, default=1 << 20, metavar="BYTES")
    service.run(main(parser.parse_args(namespace=Options())))

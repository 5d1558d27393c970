"""What an OPC UA server tells of itself: how it lets us in, and which variables it has."""

from __future__ import annotations

import asyncio
import importlib
import os
from collections.abc import Sequence
from typing import Final

from drivers.opcua import tree
from drivers.opcua.settings import PORT, LinkSettings
from drivers.opcua.tree import Variable
from gateway import target
from gateway.clock import SystemClock
from gateway.errors import ConfigError
from gateway.survey import Line, Part, Plain, Survey, Tell
from gateway.target import Target

SCHEMES: Final = ("opc.tcp",)
PASSWORD: Final = "OPCUA_PASSWORD"


async def survey(url: str, tell: Tell) -> Survey:
    """Browses `opc.tcp://[user@]HOST[:PORT][/PATH]`, without security; the password is that of $OPCUA_PASSWORD.
    Raises ConfigError, ConnectionLost."""
    link = _link(target.parse(url))
    settings = LinkSettings.model_validate({"driver": "opcua", **link})
    await asyncio.to_thread(importlib.import_module, "drivers.opcua.explore")  # asyncua is large
    from drivers.opcua.explore import Explorer, endpoints

    offered = await endpoints(settings)
    explorer = Explorer(settings, SystemClock())
    try:
        await explorer.open()
        tell(f"browsing {settings.url}")
        variables = await explorer.variables()
    except ConfigError as error:
        raise ConfigError(f"{error}; it offers {'; '.join(offered)}") from error
    finally:
        await explorer.close()
    devices = tree.devices(variables, "server")
    if not devices:
        raise ConfigError(f"{settings.url} has no variables that tags could be made of: see what this user may browse")
    comment = _words(settings.url, offered, variables, explorer.is_complete)
    return Survey(Part({"server": Line({"driver": "opcua", **link})}), Part(devices), comment=comment)


def _link(where: Target) -> dict[str, Plain]:
    host = f"[{where.host}]" if ":" in where.host else where.host
    link: dict[str, Plain] = {"url": f"opc.tcp://{host}:{where.port or PORT}{where.path}"}
    if where.user is not None:
        link["username"] = where.user
        if PASSWORD in os.environ:
            link["password"] = {"env": PASSWORD}
    return link


def _words(url: str, offered: Sequence[str], variables: Sequence[Variable], is_complete: bool) -> tuple[str, ...]:
    unusable = sum(not tree.is_usable(each) for each in variables)
    words = [f"{url} has {len(variables)} variables{'' if is_complete else ', and more that were not browsed'}."]
    if unusable:
        words.append(
            f"{unusable} of them are arrays or structures, cannot be read, or have no value, and are left out."
        )
    words.append("It offers these security policies and modes, and takes these users:")
    words += [f"- {each}" for each in offered]
    words.append("For more than None set security, mode, certificate and key on the link.")
    words.append("A tag that is writable here is one that this user may write; take it away from what nobody should.")
    return tuple(words)

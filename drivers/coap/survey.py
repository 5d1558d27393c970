"""What a CoAP server tells of itself: its list of resources, and what each of them says now."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from drivers.coap import linkformat, resource
from drivers.coap.code import Code
from drivers.coap.linkformat import Resource
from drivers.coap.settings import LinkSettings
from gateway import target
from gateway.clock import SystemClock
from gateway.errors import ConfigError, ConnectionLost, DeviceSilent
from gateway.model import ValueType
from gateway.payload import outline, shape
from gateway.payload.decoder import Refused, parse
from gateway.survey import Line, Names, Part, Plain, Survey, Tell, remark, shown

if TYPE_CHECKING:
    from drivers.coap.requester import Requester

SCHEMES: Final = ("coap",)
PORT: Final = 5683
TIMEOUT: Final = "3s"
SEARCH_S: Final = 30.0
"""For all resources together."""
MOST_PAYLOAD: Final = 64 * 1024
_NAMED: Final = 5


async def survey(url: str, tell: Tell) -> Survey:
    """Asks `coap://HOST[:PORT][/PATH]`; with a path, only for what is there and below. Raises ConfigError,
    ConnectionLost."""
    where = target.parse(url)
    link: dict[str, Plain] = {"host": where.host, "port": where.port or PORT}
    async with _session(link) as requester:
        payloads: dict[Resource, bytes | None] = {}
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(SEARCH_S):
                for each in await _resources(requester, where.path):
                    tell(f"reading {each.path}")
                    payloads[each] = None
                    with contextlib.suppress(DeviceSilent):
                        payloads[each] = await _get(requester, each.path)
    groups = _groups(payloads)
    if not groups:
        raise ConfigError(f"{where.authority} lists no resource that tags could be made of: name one, {url}/PATH")
    device = Part({"link": Line("server"), "groups": Part(groups)})
    comment = _words(where.authority, [each.path for each in payloads], groups)
    return Survey(Part({"server": Line({"driver": "coap", **link})}), Part({"device-1": device}), comment=comment)


@contextlib.asynccontextmanager
async def _session(link: dict[str, Plain]) -> AsyncIterator[Requester]:
    """Open; `link` then says so if the server answers no pings."""
    from drivers.coap.requester import Requester  # and aiocoap with it

    requester = Requester(_settings(link), _ignore)
    try:
        try:
            await requester.open()
        except ConnectionLost:
            await requester.close()
            link["keepalive"] = "0s"
            requester = Requester(_settings(link), _ignore)
            await requester.open()
        yield requester
    finally:
        await requester.close()


def _settings(link: Mapping[str, Plain]) -> LinkSettings:
    return LinkSettings.model_validate({"driver": "coap", **link, "timeout": TIMEOUT, "max_payload": MOST_PAYLOAD})


def _ignore(reason: str) -> None:
    """What comes and cannot be used is no part of what the server tells."""


async def _resources(requester: Requester, path: str) -> Sequence[Resource]:
    """Those at and below `path`. Raises ConnectionLost."""
    try:
        listed = await _get(requester, linkformat.CORE)
    except DeviceSilent as error:
        raise ConnectionLost(str(error)) from None
    text = (listed or b"").decode(errors="replace")
    if path in ("", "/"):
        return list(linkformat.parse(text))
    within = [each for each in linkformat.parse(text) if f"{each.path}/".startswith(f"{path.rstrip('/')}/")]
    if not within and not linkformat.is_usable(path):
        raise ConfigError(f"the path {path} cannot be named in a configuration")
    return within or [Resource(path)]


async def _get(requester: Requester, path: str) -> bytes | None:
    """What a resource says; None where it says nothing that could be used. Raises DeviceSilent, ConnectionLost."""
    from drivers.coap.requester import Broken

    try:
        response = await requester.get(resource.fill(path, ""))
    except Broken:
        return None
    return response.payload if response.code == Code.CONTENT else None


def _groups(payloads: Mapping[Resource, bytes | None]) -> dict[str, Part]:
    groups: dict[str, Part] = {}
    names, tags = Names(), Names()
    for each, payload in payloads.items():
        if content := _content(payload or b"", tags, as_group := each.path.strip("/").replace("/", ".") or "root"):
            rhythm = {"observe": Line(True)} if each.is_observable else {"interval": Line("10s")}
            name = names.take(as_group, "resource")
            groups[name] = Part({"resource": Line(each.path, each.kind), **rhythm, **content})
    return groups


def _content(payload: bytes, names: Names, group: str) -> dict[str, Line | Part]:
    """The format, the time and the tags; nothing where no tag can be made of it."""
    try:
        document = parse(payload)
    except Refused:
        document = None
    if isinstance(document, dict | list):
        found = shape.learn([document], SystemClock().now())
        return {**outline.source(found), "tags": outline.tags(found, names, group)} if found.leaves else {}
    if isinstance(document, str):
        line = Line({"path": "", "type": ValueType.STRING.value}, shown(document))
        return {"tags": Part({names.take(group, "value"): line})}
    kind = outline.text_type(payload)
    if kind is None:
        return {}
    tag = Line({"type": kind.value}, shown(payload.decode()))
    return {"format": Line("text"), "tags": Part({names.take(group, "value"): tag})}


def _words(server: str, paths: Sequence[str], groups: Mapping[str, Part]) -> tuple[str, ...]:
    used = {each.entries["resource"] for each in groups.values()}
    left_out = [path for path in paths if Line(path) not in used]
    words = [f"{server} lists {len(paths)} resources that can be read; beside the tags stands what they said."]
    words.append(
        "observe: true lets the server tell what is new; interval asks for it. Add unit and range to the tags."
    )
    if left_out:
        named = ", ".join(remark(path, 40) for path in left_out[:_NAMED])
        words.append(f"Nothing was made of {len(left_out)}, such as {named}")
    return tuple(words)

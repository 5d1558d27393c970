"""Writes values to nodes, in the types that they have on the server."""

from __future__ import annotations

from typing import cast

from asyncua import ua
from asyncua.ua.attribute_ids import AttributeIds

from drivers.opcua import refusal
from drivers.opcua.convert import Kind
from drivers.opcua.encode import encode
from drivers.opcua.session import Session
from drivers.opcua.settings import TagSettings
from gateway.errors import CommandRefused, DeviceSilent
from gateway.model import Tag, Value


class Writer:
    """Learns the type of each node when it is first written to."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._kinds: dict[str, int] = {}

    async def write(self, tag: Tag, value: Value) -> None:
        """Raises CommandRefused, DeviceSilent, ConnectionLost."""
        node = self._session.resolve(cast(TagSettings, tag.address).node)
        if node is None:
            raise CommandRefused(f"{tag.id}: the server has no such namespace")
        kind = self._kinds.get(tag.id) or await self._ask(tag, node)
        content = encode(tag, value, kind)
        if kind == Kind.LOCALIZED_TEXT:
            variant = ua.Variant(ua.LocalizedText(str(content)), ua.VariantType.LocalizedText)
        else:
            variant = ua.Variant(content, ua.VariantType(kind))
        status = await self._session.write(node, variant)
        if status >> 31:
            raise _refused(tag, status)
        self._kinds[tag.id] = kind

    async def _ask(self, tag: Tag, node: ua.NodeId) -> int:
        """The type of the value that is there now; of none, the one that the node declares if it is a built-in one."""
        (now_there,) = await self._session.read([node])
        if now_there.Value is not None and now_there.Value.is_array:
            raise CommandRefused(f"{tag.id} is an array")
        if now_there.Value is not None and now_there.Value.VariantType.value != Kind.NULL:
            return int(now_there.Value.VariantType.value)
        (declared,) = await self._session.read([node], AttributeIds.DataType)
        if declared.StatusCode is not None and declared.StatusCode.is_bad():
            raise _refused(tag, declared.StatusCode.value)
        type_id = declared.Value.Value if declared.Value is not None else None
        if not isinstance(type_id, ua.NodeId) or type_id.NamespaceIndex or type_id.Identifier not in list(Kind)[1:]:
            raise CommandRefused(f"{tag.id}: nobody can tell the type of its node, which has no value")
        return int(type_id.Identifier)


def _refused(tag: Tag, status: int) -> CommandRefused | DeviceSilent:
    kind = DeviceSilent if status in refusal.SILENCE else CommandRefused
    return kind(f"{tag.id}: {refusal.words(status)}")

"""Looks through a server: what it offers, the variables below Objects, and what they say of themselves."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, cast

from asyncua import ua
from asyncua.ua.attribute_ids import AttributeIds
from asyncua.ua.object_ids import ObjectIds

from drivers.opcua.address import Address, Identifier
from drivers.opcua.convert import ARRAY, Kind
from drivers.opcua.refusal import translated
from drivers.opcua.session import Session
from drivers.opcua.settings import LinkSettings
from drivers.opcua.transport import make_client
from drivers.opcua.tree import Variable
from gateway.clock import SECOND

MOST_DEPTH: Final = 10
MOST_NODES: Final = 5_000
MOST_VARIABLES: Final = 500
MOST_CHILDREN: Final = 1_000
"""Of one node in one answer; a server that has more says so, and they are left out."""

_CLASSES: Final = ua.NodeClass.Object | ua.NodeClass.Variable
_PROPERTY: Final = ObjectIds.HasProperty
_READABLE, _WRITABLE = 1, 2  # OPC UA Part 3, 8.57


@dataclass(slots=True)
class Found:
    """A variable while it is being looked at, and its properties by browse name."""

    node: ua.NodeId
    path: tuple[str, ...]
    properties: dict[str, ua.NodeId] = field(default_factory=dict)


class Explorer(Session):
    """A session that browses."""

    is_complete = True

    async def variables(self) -> list[Variable]:
        """Raises ConfigError, ConnectionLost."""
        found = await self._walk()
        values = await self.read([each.node for each in found])
        levels = await self.read([each.node for each in found], AttributeIds.UserAccessLevel)
        types = await self.read([each.node for each in found], AttributeIds.DataType)
        made = [self._variable(*each) for each in zip(found, values, levels, types, strict=True)]
        return await self._with_properties(found, made)

    async def _walk(self) -> list[Found]:
        """Level by level, so that what is near the top comes first."""
        level = [Found(ua.NodeId(cast("ua.Int32", ObjectIds.ObjectsFolder)), ())]
        seen: set[ua.NodeId] = {level[0].node}
        found: list[Found] = []
        for _ in range(MOST_DEPTH):
            below: list[Found] = []
            for parent, reference in await self._children(level):
                below += self._visit(parent, reference, seen, found)
            level = below
        self.is_complete = self.is_complete and not level
        return found

    def _visit(
        self, parent: Found, reference: ua.ReferenceDescription, seen: set[ua.NodeId], found: list[Found]
    ) -> Iterator[Found]:
        node = _local(reference.NodeId)
        name = reference.BrowseName.Name or ""
        if _is_property(reference):
            parent.properties[name] = node
            return
        if node in seen or node.NamespaceIndex == 0:  # what every server has is about the server
            return
        if len(seen) >= MOST_NODES or len(found) >= MOST_VARIABLES:
            self.is_complete = False
            return
        seen.add(node)
        child = Found(node, (*parent.path, name))
        if reference.NodeClass == ua.NodeClass.Variable:
            found.append(child)
        yield child

    async def _children(self, parents: Sequence[Found]) -> list[tuple[Found, ua.ReferenceDescription]]:
        children = []
        for batch in self._batches(parents):
            wanted = [_description(parent.node) for parent in batch]
            parameters = ua.BrowseParameters(
                NodesToBrowse=wanted, RequestedMaxReferencesPerNode=ua.UInt32(MOST_CHILDREN)
            )
            with translated(self.where):
                results = self._complete(await self._transport.browse(parameters), batch)
            for parent, result in zip(batch, results, strict=True):
                self.is_complete = self.is_complete and not result.ContinuationPoint
                children += [(parent, reference) for reference in result.References or ()]
        return children

    def _variable(self, found: Found, value: ua.DataValue, level: ua.DataValue, type_: ua.DataValue) -> Variable:
        access = level.Value.Value if level.Value is not None else None
        access = access if isinstance(access, int) else _READABLE
        kind = _kind(value, type_) if access & _READABLE else ARRAY
        example = value.Value.Value if value.Value is not None else None
        if isinstance(example, ua.LocalizedText):
            example = example.Text
        return Variable(found.path, self._address(found.node), kind, bool(access & _WRITABLE), example)

    async def _with_properties(self, found: Sequence[Found], variables: Sequence[Variable]) -> list[Variable]:
        """The unit and the range of those that have them (OPC UA Part 8, 5.3.2)."""
        made = list(variables)
        for name in ("EngineeringUnits", "EURange"):
            having = [i for i, each in enumerate(found) if name in each.properties]
            data = await self.read([found[i].properties[name] for i in having])
            for i, each in zip(having, data, strict=True):
                content = each.Value.Value if each.Value is not None else None
                if isinstance(content, ua.EUInformation):
                    made[i] = replace(made[i], unit=content.DisplayName.Text or "")
                if isinstance(content, ua.Range):
                    made[i] = replace(made[i], range=(float(content.Low), float(content.High)))
        return made

    def _address(self, node: ua.NodeId) -> Address:
        """By the URI of its namespace, which lasts."""
        index = int(node.NamespaceIndex)
        uri = self.namespaces[index] if 0 < index < len(self.namespaces) else ""
        return Address(uri or index, cast(Identifier, node.Identifier))


async def endpoints(settings: LinkSettings) -> list[str]:
    """What the server offers: `Basic256Sha256 SignAndEncrypt for Anonymous, UserName`. Raises ConnectionLost."""
    client, transport = make_client(settings.url, settings.timeout / SECOND)
    try:
        with translated(settings.url):
            return list(dict.fromkeys(map(_words, await client.connect_and_get_server_endpoints())))
    finally:
        transport.abort()


def _words(endpoint: ua.EndpointDescription) -> str:
    policy = (endpoint.SecurityPolicyUri or "").rpartition("#")[2]
    tokens = {token.TokenType.name.rstrip("_") for token in endpoint.UserIdentityTokens or ()}
    mode = "" if endpoint.SecurityMode == ua.MessageSecurityMode.None_ else f" {endpoint.SecurityMode.name}"
    return f"{policy}{mode} for {', '.join(sorted(tokens)) or 'nobody'}"


def _description(node: ua.NodeId) -> ua.BrowseDescription:
    return ua.BrowseDescription(
        NodeId=node,
        BrowseDirection=ua.BrowseDirection.Forward,
        ReferenceTypeId=ua.NodeId(cast("ua.Int32", ObjectIds.HierarchicalReferences)),
        IncludeSubtypes=True,
        NodeClassMask=ua.UInt32(_CLASSES),
        ResultMask=ua.UInt32(ua.BrowseResultMask.All),
    )


def _is_property(reference: ua.ReferenceDescription) -> bool:
    kind = reference.ReferenceTypeId
    return bool(kind.NamespaceIndex == 0 and kind.Identifier == _PROPERTY)


def _local(node: ua.NodeId) -> ua.NodeId:
    """Of an expanded node id the part that this server knows."""
    return ua.NodeId(node.Identifier, node.NamespaceIndex, node.NodeIdType)


def _kind(value: ua.DataValue, type_: ua.DataValue) -> int:
    """That of the value that is there; where there is none, that of the data type, if it is a built-in one."""
    variant = value.Value
    if variant is not None and variant.VariantType != ua.VariantType.Null:
        return ARRAY if variant.is_array else int(variant.VariantType.value)
    content = type_.Value.Value if type_.Value is not None else None
    if isinstance(content, ua.NodeId) and content.NamespaceIndex == 0 and isinstance(content.Identifier, int):
        return content.Identifier
    return Kind.NULL

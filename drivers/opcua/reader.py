"""One group that we read at its scan interval."""

from __future__ import annotations

from typing import cast

from asyncua import ua

from drivers.opcua.collect import Collector, Sample
from drivers.opcua.convert import Kind
from drivers.opcua.sample import sample
from drivers.opcua.session import Session
from drivers.opcua.settings import TagSettings
from gateway.clock import Clock
from gateway.model import Scan, StatusCode, TagGroup


class Reader:
    def __init__(self, group: TagGroup, session: Session, clock: Clock) -> None:
        self._session = session
        self._clock = clock
        self._collector = Collector(group)
        self._addresses = [cast(TagSettings, tag.address).node for tag in group.columns]

    async def read(self) -> Scan:
        """A node that the server cannot read is bad, with the server's reason. Raises ConnectionLost."""
        nodes: dict[int, ua.NodeId] = {}
        for column, address in enumerate(self._addresses):
            if (node := self._session.resolve(address)) is not None:
                nodes[column] = node
        data = await self._session.read(list(nodes.values()))
        now = self._clock.now()
        samples = {column: sample(column, value, now) for column, value in zip(nodes, data, strict=True)}
        unknown = int(StatusCode.BAD_NODE_ID_UNKNOWN)
        row = [samples.get(i) or Sample(i, Kind.NULL, None, unknown, now) for i in range(len(self._addresses))]
        (scan,) = self._collector.scans(row, now)
        scan.held = True
        return scan

"""Makes rows fit the fields of a sink whose server keeps their types, and keeps on disk which these are."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from gateway.journal.books import FieldType
from gateway.journal.journal import Journal
from gateway.journal.store import FAILURES
from gateway.model import Rows, Schema
from gateway.registry import Registry

_log = logging.getLogger(__name__)

_TOLD = 5


class Fitting:
    def __init__(self, sink: str, journal: Journal) -> None:
        self._sink = sink
        self._journal = journal
        self._registry: Registry | None = None
        self._unsaved: list[FieldType] = []
        self._turn = asyncio.Lock()

    async def fit(self, rows: Rows) -> Rows:
        """What this adds to the known types is on disk when it returns; but where the disk takes nothing, delivery goes
        on, for it is what makes room. Raises `FAILURES` where the types cannot be read."""
        async with self._turn:
            if self._registry is None:
                self._registry = Registry(await self._journal.field_types(self._sink))
            new = self._registry.admit(rows.schema)
            self._tell(rows.schema, new)
            self._unsaved += new
            if self._unsaved:
                await self._save()
            return self._registry.convert(rows)

    async def _save(self) -> None:
        try:
            await self._journal.note_types(self._sink, self._unsaved)
        except FAILURES as error:
            _log.debug("sink %s: the types of new fields are not on disk yet: %s", self._sink, error)
        else:
            self._unsaved = []

    def _tell(self, schema: Schema, new: Sequence[FieldType]) -> None:
        """That values go into other fields than those of their tags; once, when these fields are new."""
        tags = {column.name for column in schema.columns}
        others = [field.tag for field in new if field.tag not in tags]
        if others:
            names = ", ".join(others[:_TOLD]) + (f" and {len(others) - _TOLD} more" if len(others) > _TOLD else "")
            place = f"{schema.device}/{schema.group}"
            text = "sink %s: tags of %s changed their type; what their fields cannot hold goes into %s"
            _log.warning(text, self._sink, place, names)

"""Which fields a sink has is known from the disk, and told to people once."""

from __future__ import annotations

import asyncio
import errno
import logging
from collections.abc import Sequence
from typing import cast

import pytest

from gateway.fitting import Fitting
from gateway.journal.books import FieldType
from gateway.journal.journal import Journal
from gateway.model import Rows, ValueType
from tests.gateway.sinks.samples import rows

I16, F64 = ValueType.INT16, ValueType.FLOAT64


class Book:
    """The part of a journal that is asked for types. Looking takes a turn of the loop, as it does there."""

    def __init__(self, *known: FieldType) -> None:
        self.fields = list(known)
        self.full = False
        self.looks = 0

    async def field_types(self, sink: str) -> list[FieldType]:
        self.looks += 1
        found = list(self.fields)
        await asyncio.sleep(0)
        return found

    async def note_types(self, sink: str, new: Sequence[FieldType]) -> None:
        await asyncio.sleep(0)
        if self.full:
            raise OSError(errno.ENOSPC, "no space left")
        self.fields += new


def fitting(book: Book) -> Fitting:
    return Fitting("cloud", cast(Journal, book))


def names(batch: Rows) -> list[str]:
    return [column.name for column in batch.schema.columns]


async def test_two_at_once_know_of_each_other() -> None:
    """A dead letter that is sent again, beside what is new."""
    book = Book()
    both = fitting(book)
    first, second = await asyncio.gather(
        both.fit(rows({"t": I16}, (1,))), both.fit(rows({"t": F64}, (1.5,), device="two"))
    )
    assert (names(first), names(second)) == (["t"], ["t.float64"])
    assert book.looks == 1
    assert [field.tag for field in book.fields] == ["t", "t.float64"]


async def test_what_a_full_disk_did_not_take_is_noted_later() -> None:
    book = Book()
    book.full = True
    one = fitting(book)
    assert names(await one.fit(rows({"t": I16}, (1,)))) == ["t"]
    book.full = False
    await one.fit(rows({"t": I16}, (2,)))
    await one.fit(rows({"t": I16}, (3,)))
    assert book.fields == [FieldType("press-1", "fast", "t", I16)]


async def test_many_new_fields_are_one_line_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    tags = [f"t{number}" for number in range(40)]
    book = Book(*[FieldType("press-1", "fast", tag, I16) for tag in tags])
    batch = rows(dict.fromkeys(tags, F64), [0.5] * 40)
    with caplog.at_level(logging.WARNING):
        await fitting(book).fit(batch)
        await fitting(book).fit(batch)
    (line,) = caplog.messages
    assert "press-1/fast" in line
    assert "t0.float64, t1.float64, t2.float64, t3.float64, t4.float64 and 35 more" in line

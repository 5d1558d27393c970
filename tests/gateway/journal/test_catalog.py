from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from gateway.journal.books import FieldType
from gateway.journal.catalog import Catalog
from gateway.journal.keys import KeyRing, SealBroken
from gateway.model import ValueType

KEY = KeyRing(b"k" * 32)
FIRST = FieldType("press-1", "fast", "t", ValueType.INT16)


def test_a_field_keeps_the_type_that_it_had_first(tmp_path: Path) -> None:
    catalog = Catalog(tmp_path / "catalog.db", KEY)
    catalog.note_types("cloud", [FIRST])
    other = FieldType("press-1", "fast", "t.float64", ValueType.FLOAT64)
    catalog.note_types("cloud", [FieldType("press-2", "fast", "t", ValueType.STRING), other])
    catalog.close()
    again = Catalog(tmp_path / "catalog.db", KEY)
    assert again.field_types("cloud") == [FIRST, other]
    assert again.field_types("another") == []
    again.close()


def test_types_are_on_disk_without_a_close(tmp_path: Path) -> None:
    catalog = Catalog(tmp_path / "catalog.db", KEY)
    catalog.note_types("cloud", [FIRST])
    for suffix in ("", "-wal"):
        source = tmp_path / f"catalog.db{suffix}"
        if source.exists():
            (tmp_path / f"copy.db{suffix}").write_bytes(source.read_bytes())
    copy = Catalog(tmp_path / "copy.db", KEY)
    assert copy.field_types("cloud") == [FIRST]
    copy.close()
    catalog.close()


def test_the_last_checkpoint_counts_and_outlives_a_rotation_of_the_key(tmp_path: Path) -> None:
    catalog = Catalog(tmp_path / "catalog.db", KEY)
    assert catalog.checkpoint() is None
    catalog.note_checkpoint(3, b"three")
    catalog.note_checkpoint(7, b"seven")
    assert catalog.checkpoint() == (7, b"seven")
    fresh = KeyRing(b"n" * 32, (KEY.current,))
    catalog.rewrap(fresh)
    catalog.close()
    again = Catalog(tmp_path / "catalog.db", KeyRing(fresh.current))
    assert again.checkpoint() == (7, b"seven")
    again.note_checkpoint(9, b"nine")
    assert again.checkpoint() == (9, b"nine")
    again.close()


def test_a_checkpoint_belongs_to_its_place(tmp_path: Path) -> None:
    """Who can write the file cannot make an old one look new."""
    catalog = Catalog(tmp_path / "catalog.db", KEY)
    catalog.note_checkpoint(3, b"three")
    catalog.close()
    with sqlite3.connect(tmp_path / "catalog.db") as file:
        file.execute("update checkpoint set seq = 5")
    file.close()
    again = Catalog(tmp_path / "catalog.db", KEY)
    with pytest.raises(SealBroken):
        again.checkpoint()
    again.close()

from __future__ import annotations

from pathlib import Path

from gateway.journal.books import FieldType
from gateway.journal.catalog import Catalog
from gateway.journal.keys import KeyRing
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

"""The tables of the catalogue. Times are nanoseconds UTC, and counts are points."""

from __future__ import annotations

from sqlalchemy import BLOB, Column, Integer, MetaData, String, Table

metadata = MetaData()
segment = Table(
    "segment",
    metadata,
    Column("number", Integer, primary_key=True),
    Column("stream", Integer, nullable=False),
    Column("first", Integer, nullable=False),
    Column("stop", Integer, nullable=False),
    Column("total_first", Integer, nullable=False),
    Column("total_stop", Integer, nullable=False),
    Column("since", Integer, nullable=False),
    Column("until", Integer, nullable=False),
    Column("monotonic", Integer, nullable=False),
    Column("boot", String, nullable=False),
    Column("doubtful", Integer, nullable=False),
    Column("sizes", BLOB, nullable=False),
    Column("age", Integer, nullable=False),
)
about = Table("about", metadata, Column("name", String, primary_key=True), Column("value", BLOB, nullable=False))
head = Table(
    "head",
    metadata,
    Column("stream", Integer, primary_key=True),
    Column("seq", Integer, nullable=False),
    Column("total", Integer, nullable=False),
)
delivery = Table(
    "delivery",
    metadata,
    Column("sink", String, primary_key=True),
    Column("stream", Integer, primary_key=True),
    Column("base", Integer, nullable=False),
    Column("delivered", Integer, nullable=False),
    Column("dead_letters", Integer, nullable=False),
    Column("dropped", Integer, nullable=False),
)
pending = Table(
    "pending",
    metadata,
    Column("sink", String, primary_key=True),
    Column("stream", Integer, primary_key=True),
    Column("start", Integer, primary_key=True),
    Column("stop", Integer, nullable=False),
)
key = Table("key", metadata, Column("id", Integer, primary_key=True), Column("wrapped", BLOB, nullable=False))
dead_letter = Table(
    "dead_letter",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("sink", String, nullable=False),
    Column("stream", Integer, nullable=False),
    Column("time", Integer, nullable=False),
    Column("points", Integer, nullable=False),
    Column("key", Integer, nullable=False),
    Column("body", BLOB, nullable=False),
    sqlite_autoincrement=True,  # people name letters by their number: it is never another one's
)
field = Table(
    "field",
    metadata,
    Column("sink", String, primary_key=True),
    Column("tag_group", String, primary_key=True),
    Column("tag", String, primary_key=True),
    Column("device", String, nullable=False),
    Column("type", String, nullable=False),
)
order = Table(
    "taken_order",
    metadata,
    Column("number", Integer, primary_key=True),
    Column("id", String, nullable=False, unique=True),
    Column("expires", Integer, nullable=False),
)
checkpoint = Table(
    "checkpoint",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("seq", Integer, nullable=False),
    Column("key", Integer, nullable=False),
    Column("body", BLOB, nullable=False),
)
loss = Table(
    "loss",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("time", Integer, nullable=False),
    Column("sink", String, nullable=False),
    Column("stream", Integer, nullable=False),
    Column("first", Integer, nullable=False),
    Column("stop", Integer, nullable=False),
    Column("points", Integer, nullable=False),
    Column("since", Integer, nullable=False),
    Column("until", Integer, nullable=False),
    Column("reason", String, nullable=False),
    Column("told", Integer, nullable=False, default=0),
)
offset = Table(
    "offset",
    metadata,
    Column("boot", String, primary_key=True),
    Column("since", Integer, primary_key=True),
    Column("nanoseconds", Integer, nullable=False),
    Column("estimated", Integer, nullable=False),
)

"""The gateway itself, as far as the database can tell."""

from __future__ import annotations

from board import Board
from choice import ANY_GROUP, CELL
from event import Log, Steps, Tally
from panel import FULL, HALF, bars, lines, state_timeline, table
from series import Rate
from style import DEVICE_STATES, LINE, OUTCOMES, column

BOARD = Board(
    name="health",
    title="Gateway health",
    description="What arrives, what was lost, how the devices come and go, and how commands ended.",
    span="now-24h",
    refresh="1m",
    choices=(CELL, ANY_GROUP),
    panels=(
        lines(
            "Values a second",
            "What reached the database, by the time at which it was measured. After an outage the hole fills up "
            "from the journal; what stays open was lost.",
            Rate(),
            LINE,
        )
        .sized(FULL, 7)
        .summed("values"),
        bars(
            "Values lost, by cell",
            "What the gateway had to give up, and told. It should be empty; the reasons are below.",
            Tally("losses", "points", "sum", "cell"),
            {},
        ).sized(HALF, 7),
        bars(
            "Commands, by origin",
            "Writes to the machines: which rule or which user asked for them.",
            Tally("commands", "outcome", "count", "origin"),
            {},
        ).sized(HALF, 7),
        table(
            "Losses",
            "How many values were given up, and why, the newest first; at most 1,000 rows.",
            Log("losses", ("points", "reason", "cell")),
            column("Time", custom__width=170),
            column("points", custom__width=120),
        ).sized(FULL, 5),
        state_timeline(
            "Devices",
            "Bars that break up are devices that come and go.",
            Steps("devices", "device"),
            DEVICE_STATES,
        ).sized(FULL, 9),
        table(
            "Changes of devices",
            "Each change of state with its reason, the newest first; at most 1,000 rows.",
            Log("devices", ("device", "state", "reason", "link", "cell")),
            column("Time", custom__width=170),
            column("state", DEVICE_STATES, custom__width=120),
        ).sized(HALF, 10),
        table(
            "Commands",
            "How each command ended, the newest first; at most 1,000 rows.",
            Log("commands", ("tag", "value", "value_text", "outcome", "origin", "reason", "cell")),
            column("Time", custom__width=170),
            column("outcome", OUTCOMES, custom__width=100),
        ).sized(HALF, 10),
    ),
)

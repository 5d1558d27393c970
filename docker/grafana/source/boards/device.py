"""One device: its state, every tag over time, and what was not good."""

from __future__ import annotations

from board import Board
from choice import CELL, GROUP, ONE_DEVICE, TAG, Pattern
from event import Latest, Steps
from panel import FULL, THIRD, code_timeline, lines, signal_timeline, state_timeline, table
from query import CODES, DEVICE, matching
from series import Trend
from style import DEVICE_STATES, LINE, column

BOARD = Board(
    name="device",
    title="Device",
    description="One device: its state, every tag over time, and what was not good.",
    span="now-3h",
    refresh="30s",
    choices=(
        CELL,
        ONE_DEVICE,
        GROUP,
        TAG,
        Pattern("signals", "Signals", "run|ready|open|closed|fail|fault|trip|enable"),
    ),
    panels=(
        table(
            "State now",
            "The gateway's last word on this device, at most 90 days old, and since when it holds.",
            Latest("devices", "device", ("state", "reason", "link", "cell"), within=DEVICE),
            column("Time", displayName="since", custom__width=170),
            column("state", DEVICE_STATES, custom__width=120),
        ).sized(FULL, 3),
        state_timeline(
            "State",
            "Online means that fresh values come, not that a connection is open.",
            Steps("devices", "device", DEVICE),
            DEVICE_STATES,
        ).sized(FULL, 4),
        signal_timeline(
            "Signals",
            "Boolean tags, at the end of each interval. The pattern above says which names are signals.",
            Trend(matching("signals"), ("last",), fill="none"),
        )
        .renamed("^.* last_(.*)$", "$1")
        .sized(FULL, 6),
        lines(
            "$tag",
            "The lowest and the highest value of each interval, so that no spike hides however far you zoom out. "
            "A silence of more than five minutes is a gap.",
            Trend("^${tag:regex}$", ("min", "max")),
            LINE,
        )
        .renamed("^.* (min|max)_(.*)$", "$2 $1")
        .sized(THIRD, 6)
        .repeated("tag", 3),
        code_timeline(
            "What was not good",
            "The worst OPC UA status code of each tag in each interval. Of a bad value only the code is stored. Tags "
            "that were good throughout are not listed. Where there is nothing to report, nothing may have come at all.",
            Trend(CODES, ("max",), fill="0"),
        )
        .renamed("^.* max_(.*)[.]q$", "$1")
        .sized(FULL, 8),
    ),
)

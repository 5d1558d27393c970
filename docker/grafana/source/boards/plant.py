"""Everything at a glance: who talks, who does not, what is wrong."""

from __future__ import annotations

from board import Board
from choice import ANY_GROUP, CELL, DEVICES
from event import Condition, Latest
from panel import HALF, THIRD, lines, sparklines, stat, table
from query import VALUES
from series import Amount, Rate, Trend
from style import ALARM_STATES, CALM, DANGER, DEVICE_STATES, LINE, NOTICE, PRIORITIES, column, link

DEVICE_PAGE = "/d/edgeward-device?${{__url_time_range}}&var-device={}"
ROW_TO_DEVICE = [{"title": "Open this device", "url": DEVICE_PAGE.format("${__value.raw}")}]
TO_DEVICE = [link("Open this device", DEVICE_PAGE.format("${device}"))]
TO_ALARMS = [link("Open the alarms", "/d/edgeward-alarms?${__url_time_range}")]


def devices(where: Condition | None = None, *, is_number: bool = False) -> Latest:
    columns = ("cell", "device", "state", "reason", "link")
    return Latest("devices", "device", columns, where, is_number=is_number)


def alarms(where: Condition, *, is_number: bool = False) -> Latest:
    columns = ("state", "priority", "alarm", "message", "tag", "value", "cell")
    return Latest("alarms", "alarm", columns, where, is_number=is_number)


ONLINE = Condition("state", "=", "online")
NOT_ONLINE = Condition("state", "!=", "online")
STALE = Condition("state", "=", "stale")
STANDING = Condition("state", "!=", "normal")

BOARD = Board(
    name="plant",
    title="Plant overview",
    description="Which devices deliver, which do not and why, and which alarms stand.",
    span="now-6h",
    refresh="30s",
    choices=(CELL, DEVICES, ANY_GROUP),
    panels=(
        stat("Devices online", "Devices that deliver fresh values.", devices(ONLINE, is_number=True), (None, CALM)),
        stat(
            "Devices not online",
            "Stale, offline, quarantined, or still connecting.",
            devices(NOT_ONLINE, is_number=True),
            (None, CALM),
            (1, DANGER),
        ),
        stat(
            "Stale devices",
            "Connected, but without fresh values.",
            devices(STALE, is_number=True),
            (None, CALM),
            (1, NOTICE),
        ),
        stat(
            "Alarms standing",
            "Active, or gone but not acknowledged by anybody.",
            alarms(STANDING, is_number=True),
            (None, CALM),
            (1, DANGER),
        ).with_(links=TO_ALARMS),
        table(
            "Devices",
            "The last word of the gateway on each device, at most 90 days old, and since when it holds. "
            "When nothing arrives at all, see the values a second below: a gateway that is off says nothing.",
            devices(),
            column("Time", displayName="since", custom__width=170),
            column("state", DEVICE_STATES, custom__width=120),
            column("device", links=ROW_TO_DEVICE),
        )
        .sized(HALF, 9)
        .ordered("device"),
        table(
            "Alarms now",
            "What stands, the longest first. An alarm that is gone stays until somebody acknowledges it.",
            alarms(STANDING),
            column("Time", displayName="since", custom__width=170),
            column("state", ALARM_STATES, custom__width=140),
            column("priority", PRIORITIES, custom__width=90),
        )
        .with_(links=TO_ALARMS)
        .sized(HALF, 9)
        .ordered("since"),
        lines(
            "Values a second",
            "What reached the database, by the time at which it was measured. After an outage the hole fills up from "
            "the journal; what stays open was lost.",
            Rate(),
            LINE,
        )
        .sized(2 * THIRD, 7)
        .summed("values"),
        table(
            "Values by device",
            "How many values of each device reached the database in the time shown.",
            Amount(),
            column("Total (sum)", displayName="values"),
        )
        .sized(THIRD, 7)
        .grouped("device")
        .ordered("values"),
        sparklines("$device", "Every numeric tag of the device: its last value, over its course.", Trend(VALUES))
        .renamed("^.* mean_(.*)$", "$1")
        .with_(links=TO_DEVICE)
        .repeated("device", 2),
    ),
)

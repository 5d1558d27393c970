"""Alarms after ISA-18.2: what stands, what came how often, and everything that happened."""

from __future__ import annotations

from board import Board
from choice import CELL
from event import Condition, Log, Ranking, Steps, Tally
from panel import FULL, HALF, THIRD, bars, stat, state_timeline, table
from style import ALARM_STATES, CALM, DANGER, NOTICE, PRIORITIES, column

from boards.plant import STANDING, alarms

UNACKNOWLEDGED = Condition("state", "=", "unacknowledged")
RETURNED = Condition("state", "=", "returned")
TRANSITION = ("priority", "alarm", "previous", "state", "tag", "value", "value_text", "message", "actor", "cell")

BOARD = Board(
    name="alarms",
    title="Alarms",
    description="Which alarms stand, which came first and which most often, and every transition.",
    span="now-24h",
    refresh="30s",
    choices=(CELL,),
    panels=(
        stat(
            "Standing",
            "Active, or gone but not acknowledged by anybody.",
            alarms(STANDING, is_number=True),
            (None, CALM),
            (1, DANGER),
        ).sized(THIRD, 4),
        stat(
            "Active and unacknowledged",
            "Nobody has seen these yet.",
            alarms(UNACKNOWLEDGED, is_number=True),
            (None, CALM),
            (1, DANGER),
        ).sized(THIRD, 4),
        stat(
            "Gone, but unacknowledged",
            "They came and went before anybody acknowledged them.",
            alarms(RETURNED, is_number=True),
            (None, CALM),
            (1, NOTICE),
        ).sized(THIRD, 4),
        table(
            "Standing now, the longest first",
            "The present state of each alarm that is not normal, and since when it holds.",
            alarms(STANDING),
            column("Time", displayName="since", custom__width=170),
            column("state", ALARM_STATES, custom__width=140),
            column("priority", PRIORITIES, custom__width=90),
        ).ordered("since"),
        table(
            "First out",
            "The alarm that was raised first in the time shown: often the cause of those that followed.",
            Log("alarms", ("priority", "alarm", "message", "tag", "value", "cell"), UNACKNOWLEDGED, is_first=True),
            column("Time", custom__width=170),
            column("priority", PRIORITIES, custom__width=90),
        ).sized(FULL, 4),
        bars(
            "Raised, by priority",
            "How many were raised in each interval. EEMUA 191: one in ten minutes is what one operator can bear.",
            Tally("alarms", "state", "count", "priority", UNACKNOWLEDGED),
            PRIORITIES,
        ).sized(HALF, 8),
        table(
            "Raised most often",
            "Alarms that come again and again hide the others: they want a deadband, a delay, or a repair.",
            Ranking("alarms", "alarm", "raised", UNACKNOWLEDGED),
        )
        .sized(HALF, 8)
        .ordered("raised", descending=True),
        state_timeline(
            "Each alarm over time",
            "How long each stood; point at a bar for its length.",
            Steps("alarms", "alarm"),
            ALARM_STATES,
        ),
        table(
            "Transitions",
            "Everything that happened, the newest first; at most 1,000 rows. The actor is who acknowledged.",
            Log("alarms", TRANSITION),
            column("Time", custom__width=170),
            column("state", ALARM_STATES, custom__width=140),
            column("previous", ALARM_STATES, custom__width=140),
            column("priority", PRIORITIES, custom__width=90),
        ).sized(FULL, 12),
    ),
)

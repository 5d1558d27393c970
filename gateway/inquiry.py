"""What is asked about the journal, and what is said to it. A question has one reply; an errand takes its time, and has
replies until the last one says that it is done. Times are nanoseconds UTC, 0 where they are not known.

The same is said to a running gateway through its door and to a journal that no gateway has open.
"""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

import msgspec

from gateway.phrase import Name, Reply, Request

MOST_IDS = 1000
DAY_S = 86_400.0

Id: TypeAlias = Annotated[int, msgspec.Meta(ge=1)]
Ids: TypeAlias = Annotated[tuple[Id, ...], msgspec.Meta(max_length=MOST_IDS)]


# Questions


class AskJournal(Request, frozen=True, tag="journal"):
    pass


class AskLetters(Request, frozen=True, tag="letters"):
    """Dead letters by their ids, from the first above `after` on: some hundred, or none where there are no more."""

    after: int = 0
    sink: str = ""


class DropLetters(Request, frozen=True, tag="drop-letters"):
    """For good. Those with these ids; a sink's, or all, come by their ids too."""

    ids: Ids


AnyQuestion: TypeAlias = AskJournal | AskLetters | DropLetters


# Errands


class Verify(Request, frozen=True, tag="verify"):
    """Read every chunk of the segment with this number, or of all."""

    segment: int = 0


class Export(Request, frozen=True, tag="export"):
    """What came in from `since` on and before `until`, of one device or of the tags that match a pattern such as
    `press-1/oil.*`. As CSV it is values only."""

    since: int = 0
    until: int = 1 << 62
    tag: str = ""
    device: str = ""
    format: Literal["jsonl", "csv"] = "jsonl"


class ReplayLetters(Request, frozen=True, tag="replay-letters"):
    """Send them to their sinks again: those with these ids."""

    ids: Ids


class RotateKey(Request, frozen=True, tag="rotate-key"):
    pass


class Drill(Request, frozen=True, tag="drill"):
    """Let these sinks, or all, be as if they could not be reached, for so many seconds or until the caller hangs up;
    then tell how they catch up."""

    seconds: Annotated[float, msgspec.Meta(gt=0, le=DAY_S)]
    sinks: tuple[Name, ...] = ()


AnyErrand: TypeAlias = Verify | Export | ReplayLetters | RotateKey | Drill


# Replies


class StreamEntry(msgspec.Struct, frozen=True):
    """A stream on disk. `bytes` are those of its segments."""

    stream: str
    segments: int
    open: bool
    bytes: int
    points: int
    since: int
    until: int


class DeliveryEntry(msgspec.Struct, frozen=True):
    """How far one sink is with one stream, in points. `ranges` of chunks are pending, and the first of them came in at
    `oldest`."""

    sink: str
    stream: str
    configured: bool
    ranges: int
    pending: int
    oldest: int
    delivered: int
    dead_letters: int
    dropped: int


class LossEntry(msgspec.Struct, frozen=True):
    """A row of the drop ledger: at `time`, `points` that came in from `since` to `until` were given up."""

    time: int
    sink: str
    stream: str
    points: int
    since: int
    until: int
    reason: str


class JournalReply(Reply, frozen=True, tag="journal"):
    """`letters` counts dead letters by sink. `waiting` (points, and about as many bytes) is not on disk yet. `key` is
    where the key comes from; it is `rotating` while anything still needs an earlier one. `retention` is nanoseconds."""

    time: int
    running: bool
    failure: str
    bytes: int
    max_bytes: int
    retention: int
    clock_trusted: bool
    waiting_points: int
    waiting_bytes: int
    key: Literal["file", "secret"]
    rotating: bool
    recovery: bool
    streams: tuple[StreamEntry, ...]
    deliveries: tuple[DeliveryEntry, ...]
    letters: dict[str, int]
    losses: tuple[LossEntry, ...]


class LetterEntry(msgspec.Struct, frozen=True):
    """A dead letter. `content` is what it holds, as JSON text, if that can be read; `tag` is empty for an event, whose
    type is `kind`."""

    id: int
    sink: str
    stream: str
    time: int
    points: int
    reason: str
    kind: str
    tag: str
    content: str


class LettersReply(Reply, frozen=True, tag="letters"):
    """Some; ask again after the last id, `after`, unless it is 0: then there are no more."""

    letters: tuple[LetterEntry, ...]
    after: int = 0


class DropReply(Reply, frozen=True, tag="drop-letters"):
    letters: int
    points: int
    user: str


class Progress(Reply, frozen=True, tag="progress"):
    """So much is `done` of `total`, in whatever the errand counts."""

    done: int
    total: int


class FaultEntry(msgspec.Struct, frozen=True):
    """Chunks `first` to `stop` (exclusive) of a segment cannot be read."""

    segment: int
    file: str
    first: int
    stop: int
    points: int
    since: int
    until: int
    reason: str


class FaultsReply(Reply, frozen=True, tag="faults"):
    """Some more."""

    faults: tuple[FaultEntry, ...]


class VerifyReply(Reply, frozen=True, tag="verify"):
    """The end. `faults` and `lost` (points) count what cannot be read."""

    segments: int
    chunks: int
    points: int
    faults: int
    lost: int


class ExportedReply(Reply, frozen=True, tag="exported"):
    """Some more lines, and how far it is."""

    text: str
    done: int
    total: int


class ExportReply(Reply, frozen=True, tag="export"):
    """The end. `lost` points could not be read."""

    points: int
    events: int
    lost: int


class ReplayReply(Reply, frozen=True, tag="replay-letters"):
    """How it ended: letters and points that went through, and those that were refused again, with the reasons."""

    letters: int
    points: int
    refused: dict[int, str]
    user: str


class RotateReply(Reply, frozen=True, tag="rotate-key"):
    segments: int
    user: str


class Account(msgspec.Struct, frozen=True):
    """A sink's, in points. `behind` counts the chunks that are pending of what came in before its link was back; while
    it is cut off that is all. `live_s` is how long after its link was back it had something that came in since, counted
    from when there was such a thing; `drained_s` how long until nothing was behind. None as long as that is not so."""

    sink: str
    online: bool
    reason: str
    ingested: int
    delivered: int
    pending: int
    dead_letters: int
    dropped: int
    behind: int
    live_s: float | None = None
    drained_s: float | None = None


class SampleReply(Reply, frozen=True, tag="sample"):
    """The gateway during a drill, `at` so many seconds from its beginning. `points` are those that devices gave so far,
    `written` those that are on disk. `fresh_s` is how old the freshest value of the most silent device is that was
    online when the drill began; `lost_devices` names those that are not online any more."""

    at: float
    phase: Literal["outage", "recovery"]
    accounts: tuple[Account, ...]
    points: int
    written: int
    waiting: int
    lag_s: float
    resident_bytes: int
    journal_bytes: int
    failure: str
    fresh_s: float
    lost_devices: tuple[str, ...]


class DrillReply(Reply, frozen=True, tag="drill"):
    """The end: every sink that was cut off has caught up."""

    user: str


AnyAnswer: TypeAlias = (
    JournalReply
    | LettersReply
    | DropReply
    | Progress
    | FaultsReply
    | VerifyReply
    | ExportedReply
    | ExportReply
    | ReplayReply
    | RotateReply
    | SampleReply
    | DrillReply
)

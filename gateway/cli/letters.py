"""`edgeward journal dead-letters`: what sinks refused for good: listed, explained, sent again, or dropped."""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Iterator, Sequence

import msgspec

from gateway.cli.bar import bar
from gateway.cli.client import CallFailed
from gateway.cli.journal import Counterpart, connected
from gateway.cli.words import NOTHING, ago, count, counted, date
from gateway.inquiry import (
    MOST_IDS,
    AskLetters,
    DropLetters,
    DropReply,
    LetterEntry,
    LettersReply,
    Progress,
    ReplayLetters,
    ReplayReply,
)
from gateway.log import printable

_ADVICE = (
    "Change what the reason names, at the server or in the configuration, and send it again:\n"
    "    edgeward journal dead-letters replay {id}\n"
    "If nobody needs it any more, drop it; the drop ledger will say so:\n"
    "    edgeward journal dead-letters drop {id}"
)


def run(options: Namespace) -> int:
    work = {"list": _list, "show": _show, "replay": _replay, "drop": _drop}[options.work]
    with connected(options) as journal:
        return work(journal, options)


def _all(journal: Counterpart, sink: str) -> Iterator[LetterEntry]:
    after = 0
    while True:
        reply = journal.ask(AskLetters(after, sink), LettersReply)
        yield from reply.letters
        if not reply.after:
            return
        after = reply.after


def _list(journal: Counterpart, options: Namespace) -> int:
    letters = _all(journal, options.sink or "")
    if options.json:
        for letter in letters:
            print(msgspec.json.encode(letter).decode())
        return 0
    rows = list(map(_row, letters))
    if not rows:
        print("no dead letters")
        return 0
    from gateway.cli.table import console, table

    console().print(table(("ID>", "SINK", "SET ASIDE", "TAG", "POINTS>", "WHY"), rows))
    return 0


def _row(letter: LetterEntry) -> Sequence[str]:
    what = letter.tag or letter.kind
    return str(letter.id), letter.sink, f"{ago(letter.time)} ago", what, count(letter.points), letter.reason


def _show(journal: Counterpart, options: Namespace) -> int:
    letters = journal.ask(AskLetters(options.id - 1), LettersReply).letters
    if not letters or letters[0].id != options.id:
        raise CallFailed(f"there is no dead letter {options.id}", "edgeward journal dead-letters list shows them")
    letter = letters[0]
    if options.json:
        print(msgspec.json.encode(letter).decode())
        return 0
    print(
        f"letter {letter.id}: sink {letter.sink} refused {counted(letter.points, 'points')} at {date(letter.time)} UTC"
    )
    print(printable(f"  what:    {letter.tag or letter.kind or NOTHING}"))
    print(printable(f"  content: {letter.content or NOTHING}"))
    print(printable(f"  why:     {letter.reason}"))
    print(_ADVICE.format(id=letter.id))
    return 0


def _chosen(journal: Counterpart, options: Namespace) -> list[int]:
    """Raises CallFailed where nobody said which."""
    if options.ids:
        return sorted(set(options.ids))
    if not options.all and not options.sink:
        raise CallFailed("which dead letters?", "give their ids, --sink SINK, or --all")
    return [letter.id for letter in _all(journal, options.sink or "")]


def _replay(journal: Counterpart, options: Namespace) -> int:
    """0 if all went through."""
    ids = _chosen(journal, options)
    letters = points = 0
    refused: dict[int, str] = {}
    with bar("sending", not options.json) as tell:
        for start in range(0, len(ids), MOST_IDS):
            for reply in journal.run(ReplayLetters(tuple(ids[start : start + MOST_IDS]))):
                if isinstance(reply, Progress):
                    tell(start + reply.done, len(ids))
                elif isinstance(reply, ReplayReply):
                    letters, points, refused = letters + reply.letters, points + reply.points, refused | reply.refused
                    break
    if options.json:
        print(msgspec.json.encode({"letters": letters, "points": points, "refused": refused}).decode())
        return 1 if refused else 0
    through = f"{counted(letters, 'letters')} of {counted(points, 'points')} went through"
    print(f"{through}, {count(len(refused))} refused again")
    for id, reason in refused.items():
        print(printable(f"  {id}: {reason}"), file=sys.stderr)
    return 1 if refused else 0


def _drop(journal: Counterpart, options: Namespace) -> int:
    ids = _chosen(journal, options)
    if ids and not options.yes:
        confirm(f"drop {counted(len(ids), 'dead letters')} for good?")
    letters = points = 0
    for start in range(0, len(ids), MOST_IDS):
        reply = journal.ask(DropLetters(tuple(ids[start : start + MOST_IDS])), DropReply)
        letters, points = letters + reply.letters, points + reply.points
    if options.json:
        print(msgspec.json.encode({"letters": letters, "points": points}).decode())
    else:
        print(f"dropped: {counted(letters, 'letters')} of {counted(points, 'points')}")
    return 0


def confirm(question: str) -> None:
    """Raises CallFailed where nobody says yes."""
    if not sys.stdin.isatty():
        raise CallFailed(f"{question} nobody is here to say so", "--yes says so")
    print(f"{question} [y/N] ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise CallFailed("nothing was done")

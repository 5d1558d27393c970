"""`edgeward check --live`: tries every link and tag of a configuration on the devices themselves."""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import Sequence
from json import dumps
from pathlib import Path
from typing import Final

from rich.text import Text

from gateway import door, log
from gateway.cli.check import print_problems
from gateway.cli.table import console, table
from gateway.cli.words import NOTHING, value
from gateway.clock import MILLISECOND, SystemClock
from gateway.errors import ConfigError
from gateway.model import Value, quality
from gateway.problems import InvalidConfiguration
from gateway.settings import load
from gateway.trial import Answer, Outcome, try_all

CONNECT_S: Final = 1.0
RUNS: Final = (
    "the gateway of this configuration is running, so what is tried here goes beside it, in sessions of its own that "
    "end with it and take nothing from the gateway's. But a device that bears only one connection may refuse this one, "
    "or drop the gateway's, and a port that the gateway listens on is taken"
)


def run(path: Path, json: bool, wait: float) -> int:
    """Print what answered, with `wait` seconds for what devices send by themselves. 0 if all is well, 1 if not."""
    try:
        configuration = load(path)
    except InvalidConfiguration as error:
        print_problems(error.problems, json)
        return 1
    log.hush()  # the table has what the libraries would tell
    is_running = runs(configuration.data)
    if is_running:
        print(f"edgeward: {RUNS}", file=sys.stderr)
    outcomes = asyncio.run(try_all(configuration.links, SystemClock(), wait))
    if json:
        print(dumps({**_summary(outcomes), "running": is_running, **_entries(outcomes)}, ensure_ascii=False))
    else:
        _show(outcomes)
    return 0 if _is_well(outcomes) else 1


def runs(data: Path) -> bool:
    """Whether a gateway works in this data directory: somebody listens at its door."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as caller:
        caller.settimeout(CONNECT_S)
        try:
            caller.connect(bytes(door.path_in(data)))
        except PermissionError:
            return True
        except (OSError, ConfigError):
            return False
    return True


def _is_well(outcomes: Sequence[Outcome]) -> bool:
    return all(
        not outcome.reason and all(answer.is_well for answer in outcome.answers.values()) for outcome in outcomes
    )


def _summary(outcomes: Sequence[Outcome]) -> dict[str, bool | int]:
    answers = [answer for outcome in outcomes for answer in outcome.answers.values()]
    return {
        "well": _is_well(outcomes),
        "links_open": sum(outcome.took is not None for outcome in outcomes),
        "links_tried": len(outcomes),
        "tags_well": sum(answer.is_well for answer in answers),
        "tags_tried": len(answers),
    }


# For people


def _show(outcomes: Sequence[Outcome]) -> None:
    out = console()
    out.print(table(("LINK", "DRIVER", "STATE", "TOOK>", "REASON"), map(_link, outcomes)))
    rows = [_tag(outcome, answer) for outcome in outcomes for answer in outcome.answers.values()]
    if rows:
        out.print()
        out.print(table(("LINK", "DEVICE", "TAG", "VALUE>", "UNIT", "QUALITY", "TOOK>", "REASON"), rows))
    found = _summary(outcomes)
    out.print()
    text = "{links_open} of {links_tried} links opened, {tags_well} of {tags_tried} tags answered well"
    out.print(Text(text.format(**found), "green" if found["well"] else "red"))


def _link(outcome: Outcome) -> Sequence[str]:
    state = "offline" if outcome.took is None else "online"
    return outcome.link.id, outcome.link.driver, state, _took(outcome.took), outcome.reason or outcome.caution


def _tag(outcome: Outcome, answer: Answer) -> Sequence[str]:
    tag = answer.tag
    verdict = _quality(answer) or NOTHING
    shown = value(answer.value)
    return outcome.link.id, tag.device, tag.name, shown, tag.unit, verdict, _took(answer.took), answer.reason


def _quality(answer: Answer) -> str | None:
    return None if answer.took is None else quality(answer.status).name.lower()


def _took(nanoseconds: int | None) -> str:
    return NOTHING if nanoseconds is None else f"{nanoseconds / MILLISECOND:,.1f} ms"


# For programs


def _entries(outcomes: Sequence[Outcome]) -> dict[str, list[dict[str, Value | None]]]:
    links: list[dict[str, Value | None]] = []
    tags: list[dict[str, Value | None]] = []
    for outcome in outcomes:
        link = outcome.link.id
        opened = {
            "open": outcome.took is not None,
            "ms": _milliseconds(outcome.took),
            "reason": outcome.reason or outcome.caution,
        }
        links.append({"link": link, "driver": outcome.link.driver, **opened})
        tags += [{"link": link, **_entry(answer)} for answer in outcome.answers.values()]
    return {"links": links, "tags": tags}


def _entry(answer: Answer) -> dict[str, Value | None]:
    return {
        "device": answer.tag.device,
        "tag": answer.tag.name,
        "value": answer.value,
        "unit": answer.tag.unit,
        "quality": _quality(answer),
        "well": answer.is_well,
        "ms": _milliseconds(answer.took),
        "reason": answer.reason,
    }


def _milliseconds(nanoseconds: int | None) -> float | None:
    return None if nanoseconds is None else round(nanoseconds / MILLISECOND, 1)

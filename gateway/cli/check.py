"""`edgeward check`: everything that is wrong with a configuration, or what is in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from json import dumps
from pathlib import Path

from rich.console import Console
from rich.text import Text

from gateway.problems import InvalidConfiguration, Problem
from gateway.settings import Configuration, load

NOTICE = (
    "Edgeward protects production and equipment. It is not a safety function (IEC 61508, IEC 61511, ISO 13849): "
    "people are protected by other means."
)


def run(path: Path, json: bool) -> int:
    """Print what is found in the configuration at `path`. 0 if it can be used, 1 if not."""
    try:
        configuration = load(path)
    except InvalidConfiguration as error:
        print_problems(error.problems, json)
        return 1
    counts = _counts(configuration)
    if json:
        print(dumps({"valid": True, **counts, "notice": NOTICE}))
    else:
        counted = ", ".join(f"{number:,} {_noun(word, number)}" for word, number in counts.items())
        Console(highlight=False, soft_wrap=True).print(f"{path}: {counted}\n{NOTICE}", markup=False)
    return 0


def print_problems(problems: tuple[Problem, ...], json: bool) -> None:
    """Each with its place, and its hint below it."""
    if json:
        print(dumps({"valid": False, "problems": [asdict(problem) for problem in problems]}, ensure_ascii=False))
        return
    console = Console(highlight=False, soft_wrap=True)  # plain text where nobody looks, colours on a terminal
    for problem in problems:
        console.print(Text.assemble((f"{problem.place}: ", "bold"), (problem.message, "red")))
        if problem.hint:
            console.print(Text(f"    {problem.hint}", "cyan"))
    console.print(f"{len(problems):,} {_noun('problems', len(problems))}", markup=False)


def _counts(configuration: Configuration) -> Mapping[str, int]:
    devices = [device for link in configuration.links for device in link.devices]
    return {
        "links": len(configuration.links),
        "devices": len(devices),
        "tags": sum(len(group.columns) for device in devices for group in device.groups),
        "rules": len(configuration.rules),
        "sinks": len(configuration.sinks),
    }


def _noun(plural: str, number: int) -> str:
    return plural[:-1] if number == 1 else plural

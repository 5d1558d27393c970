"""`python -m tests.faults [SUITE...]`: the suites of `make faults`, and their figures as one JSON line, last.

`FAULTS=full` makes it long, `FAULTS_SEED` other than it was.
"""

from __future__ import annotations

import os
import re
import sys
import time

from tests.benchmarks.result import publish
from tests.faults.suite import SEED, SUITES, complaints

_PROGRESS = re.compile(r"(.*\D|)\d+ of \d+")
_CLEAR = "\r\x1b[K"


def tell(text: str) -> None:
    """How far it is, is shown on a terminal only, in one line."""
    if not _PROGRESS.fullmatch(text):
        sys.stderr.write(f"{_CLEAR if sys.stderr.isatty() else ''}{text}\n")
    elif sys.stderr.isatty():
        sys.stderr.write(f"{_CLEAR}{text}")
    sys.stderr.flush()


def main(names: list[str]) -> int:
    full = os.environ.get("FAULTS") == "full"
    seed = int(os.environ.get("FAULTS_SEED", SEED))
    strict = os.environ.get("CI") == "true"
    figures: dict[str, dict[str, int]] = {}
    sound = True
    for suite in SUITES:
        if names and suite.name not in names:
            continue
        begun = time.monotonic()
        figures[suite.name] = suite.run(full, seed, tell)
        found = complaints(figures[suite.name], strict)
        sound = sound and not found
        verdict = "; ".join(found) or "all hold"
        tell(f"{suite.name}: {figures[suite.name]['runs']} runs in {time.monotonic() - begun:.0f} s: {verdict}")
    publish("faults", figures)
    return 0 if sound else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

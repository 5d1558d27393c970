"""Where a benchmark's figures go: one JSON line, last, and the same in build/results."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path

RESULTS = Path("build/results")


def publish(name: str, figures: Mapping[str, object]) -> None:
    line = json.dumps({"name": name, "figures": figures})
    RESULTS.mkdir(parents=True, exist_ok=True)
    (RESULTS / f"{name}.json").write_text(line + "\n", encoding="utf-8")
    sys.stdout.write(line + "\n")
    sys.stdout.flush()

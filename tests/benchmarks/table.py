"""Every figure in build/results, as a table."""

from __future__ import annotations

import json

from rich.console import Console
from rich.table import Table

from tests.benchmarks.result import RESULTS


def main() -> None:
    table = Table("benchmark", "figure", "value")
    for path in sorted(RESULTS.glob("*.json")):
        result = json.loads(path.read_text(encoding="utf-8"))
        for key, value in result["figures"].items():
            table.add_row(result["name"], key, f"{value:,}" if isinstance(value, int | float) else str(value))
        table.add_section()
    Console().print(table)


if __name__ == "__main__":
    main()

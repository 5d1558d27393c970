"""Writes Grafana's dashboards, in Flux and in InfluxQL, from the one source that this folder is.

    python docker/grafana/source [FOLDER]

FOLDER is docker/grafana/dashboards unless given. Nothing but the standard library is used.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from board import Board, Language
from boards import alarms, device, health, maintenance, plant

BOARDS: tuple[Board, ...] = (plant.BOARD, device.BOARD, alarms.BOARD, health.BOARD, maintenance.BOARD)


def main(folder: Path) -> None:
    for language in Language:
        place = folder / language
        place.mkdir(parents=True, exist_ok=True)
        for board in BOARDS:
            text = json.dumps(board.render(language), ensure_ascii=False, indent=1)
            (place / f"{board.name}.json").write_text(f"{text}\n", "utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parents[1] / "dashboards")

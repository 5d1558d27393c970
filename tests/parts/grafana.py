"""What can be had of Grafana and Flux without their servers: Grafana's published types of a dashboard, and the front
end of the Flux compiler, which knows the syntax, and the names, arguments and types of the whole library."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.parts.npm import install
from tests.parts.process import find

SCHEMA = "@grafana/schema@12.4.0"  # as the image in docker/compose.yaml
TYPESCRIPT = "typescript@5.9.3"
FLUX = "@influxdata/flux-lsp-node@0.8.40"

PANELS = {"stat": "Stat", "state-timeline": "StateTimeline", "table": "Table", "timeseries": "TimeSeries"}
"""The kinds of panels whose options have published types, and how those are called."""

_COMPILER = ["node_modules/typescript/bin/tsc", "--strict", "--noEmit", "--skipLibCheck", "--target", "es2022"]
_COMPILER += ["--module", "esnext", "--moduleResolution", "bundler"]

# JSON has no enumerations: where the types ask for one, its strings do. Options that are left out have defaults.
_HEAD = """\
import type { Dashboard } from "@grafana/schema";
type Plain<T> = T extends string ? `${T}` : T extends object ? { [K in keyof T]: Plain<T[K]> } : T;
type Partly<T> = T extends object ? { [K in keyof T]?: Partly<T[K]> } : T;
"""
_IMPORT = (
    "import type * as {name} from "
    '"@grafana/schema/dist/esm/raw/composable/{folder}/panelcfg/x/{name}PanelCfg_types.gen";\n'
)
_FOUND = re.compile(r"\.ts\((\d+),\d+\): error (.*)")

_ASK = """\
const { Flux } = require("@influxdata/flux-lsp-node");
const queries = JSON.parse(require("fs").readFileSync(0, "utf8"));
console.log(JSON.stringify(queries.map((query) => new Flux(query).is_valid())));
"""


def mistakes(dashboards: Mapping[str, dict[str, object]]) -> list[str]:
    """What the TypeScript compiler has to say against dashboards by name, in its own words, the name first."""
    folder = install("grafana", SCHEMA, TYPESCRIPT, FLUX)
    checked = [line for name, board in dashboards.items() for line in _statements(name, board)]
    head = _HEAD + "".join(_IMPORT.format(name=name, folder=name.lower()) for name in PANELS.values())
    with tempfile.NamedTemporaryFile("w", suffix=".ts", dir=folder) as file:
        # One statement a line, so that a line number says which.
        file.write(head + "".join(f"{statement}\n" for _, statement in checked))
        file.flush()
        command = [find("node", "nodejs"), *_COMPILER, Path(file.name).name]
        outcome = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, check=False)
    first = head.count("\n") + 1
    found = [f"{checked[int(line) - first][0]}: {words}" for line, words in _FOUND.findall(outcome.stdout)]
    assert found or outcome.returncode == 0, outcome.stdout
    return found


def _statements(name: str, board: dict[str, object]) -> list[tuple[str, str]]:
    """What is checked, and how: the dashboard, and of each panel what the dashboard's type leaves open."""
    statements = [(name, f"({json.dumps(board)}) satisfies Plain<Dashboard>;")]
    panels = board["panels"]
    assert isinstance(panels, list)
    for panel in panels:
        place, kind = f"{name}/{panel['title']}", PANELS[panel["type"]]
        custom = panel["fieldConfig"]["defaults"].get("custom", {})
        statements.append((place, f"({json.dumps(panel['options'])}) satisfies Partly<Plain<{kind}.Options>>;"))
        if kind != "Stat":  # it has none
            statements.append((place, f"({json.dumps(custom)}) satisfies Partly<Plain<{kind}.FieldConfig>>;"))
    return statements


def valid(queries: Sequence[str]) -> list[bool]:
    """Which of these Flux queries the compiler would take."""
    folder = install("grafana", SCHEMA, TYPESCRIPT, FLUX)
    outcome = subprocess.run(
        [find("node", "nodejs"), "-e", _ASK],
        cwd=folder,
        input=json.dumps(queries),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    answer: list[bool] = json.loads(outcome.stdout)
    return answer


def build(folder: Path) -> None:
    """The dashboards, made anew from their source into a folder."""
    source = Path(__file__).parents[2] / "docker" / "grafana" / "source"
    subprocess.run([sys.executable, str(source), str(folder)], check=True, timeout=60)

"""`python -m simulators.demo`, which is `make demo`. The last line on stdout gives the figures in JSON."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import signal
import sys
import textwrap
from pathlib import Path

from simulators import demo
from simulators.demo import folder, view
from simulators.demo.course import Course, Result
from simulators.demo.failure import DemoFailed
from simulators.demo.folder import Folder
from simulators.demo.stage import Stage
from simulators.demo.summary import Summary

SHORTEST, LONGEST = 10.0, 900.0
"""Seconds. For a longer one, the logs that are counted in the end would take too much memory."""
INTERRUPTED = 130


class Options(argparse.Namespace):
    seconds: float
    broker: str
    build: Path


def seconds(text: str) -> float:
    """For argparse, and for what stands in the environment."""
    number = float(text)
    if not SHORTEST <= number <= LONGEST:
        raise argparse.ArgumentTypeError(f"a demo takes from {SHORTEST:g} to {LONGEST:g} seconds")
    return number


def parser() -> argparse.ArgumentParser:
    options = argparse.ArgumentParser(prog="python -m simulators.demo", description=demo.__doc__)
    options.add_argument(
        "--seconds", type=seconds, default=os.environ.get("DEMO_SECONDS") or "30", help="$DEMO_SECONDS or 30 unless set"
    )
    options.add_argument("--broker", choices=("any", "mosquitto", "embedded"), default="any")
    options.add_argument("--build", type=Path, default=Path("build"), help="where it works, and leaves its results")
    return options


def main() -> int:
    """0 where everything is as promised, 1 where it is not, 130 when it was interrupted."""
    options = parser().parse_args(namespace=Options())
    try:
        with folder.prepare(options.build / "demo") as prepared:
            result = asyncio.run(perform(prepared, options))
    except asyncio.CancelledError:
        sys.stderr.write("interrupted; everything has ended\n")
        return INTERRUPTED
    except DemoFailed as error:
        sys.stderr.write(f"the demo has failed: {error}\n")
        return 1
    summary = Summary.of(result)
    return report(summary, options.build / "results")


async def perform(prepared: Folder, options: Options) -> Result:
    """Raises DemoFailed, or CancelledError where somebody wants it to end; all its processes have ended then."""
    task = asyncio.current_task()
    assert task is not None
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    stage = Stage(prepared)
    try:
        with view.choose() as seen:
            return await Course(stage, seen, options.seconds).run(options.broker)
    except ExceptionGroup as group:
        raise reason(group) from group
    finally:
        await stage.close()


def reason(group: ExceptionGroup[Exception]) -> Exception:
    """Of several things that failed at once, the one to tell people; the group itself where nobody expected it."""
    found = [error for error in group.exceptions if isinstance(error, DemoFailed | OSError)]
    if len(found) < len(group.exceptions):
        return group
    return next((error for error in found if isinstance(error, DemoFailed)), DemoFailed(str(found[0])))


def report(summary: Summary, results: Path) -> int:
    width = min(shutil.get_terminal_size().columns - 1, 100)
    for sentence in summary.words():
        print(textwrap.fill(sentence, width, initial_indent="- ", subsequent_indent="  ", break_on_hyphens=False))
    problems = list(summary.problems())
    for problem in problems:
        sys.stderr.write(f"NOT AS PROMISED: {problem}\n")
    line = json.dumps({"name": "demo", "figures": summary.figures()})
    results.mkdir(parents=True, exist_ok=True)
    (results / "demo.json").write_text(f"{line}\n", "utf-8")
    print(line, flush=True)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())

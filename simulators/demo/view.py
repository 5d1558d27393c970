"""How people see the demo: a picture that moves, or plain lines where there is no terminal."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import Protocol

from rich.console import Console
from rich.live import Live

from simulators.demo.picture import draw
from simulators.demo.scene import Scene

_LINES = 12
"""Lines of figures in a plain demo."""


class View(Protocol):
    def __enter__(self) -> View: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None: ...

    def show(self, scene: Scene) -> None:
        """Called several times a second, and whenever something was told."""


class Picture:
    """On the terminal's second screen, so that what stood there before comes back."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live = Live(console=console, screen=True, auto_refresh=False, vertical_overflow="crop")

    def __enter__(self) -> Picture:
        self._live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._live.stop()

    def show(self, scene: Scene) -> None:
        width, height = self._console.size
        self._live.update(draw(scene, width, height), refresh=True)


class Lines:
    """What happens, as it happens, and from time to time the figures."""

    def __init__(self) -> None:
        self._told = 0
        self._next = 0.0

    def __enter__(self) -> Lines:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        pass

    def show(self, scene: Scene) -> None:
        for moment, text in scene.told[self._told :]:
            self._say(moment, text)
        self._told = len(scene.told)
        if scene.status is not None and scene.elapsed >= self._next:
            self._next = scene.elapsed + scene.length / _LINES
            self._say(scene.elapsed, figures(scene))

    def _say(self, moment: float, text: str) -> None:
        print(f"{max(moment, 0.0):6.1f} s  {text}", flush=True)


def figures(scene: Scene) -> str:
    """One line of them."""
    if scene.status is None:
        return ""
    sink = scene.status.sink
    bearing = scene.values.get("pump-1/bearing.temperature")
    alarms = sum(alarm.active for alarm in scene.status.alarms)
    return (
        f"    taken in {sink.ingested:7,}   delivered {sink.delivered:7,}   waiting {sink.pending:7,}"
        f"   bearing {bearing} °C   alarms {alarms}"
    )


def choose() -> View:
    console = Console(highlight=False, emoji=False)
    is_alive = sys.stdout.isatty() and console.is_terminal and not console.is_dumb_terminal
    return Picture(console) if is_alive else Lines()

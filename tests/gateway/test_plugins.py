"""Plugins are found by name, imported when they are needed, and nothing else is ever imported."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from gateway import plugins
from gateway.errors import ConfigError


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty package that sinks are looked for in."""
    package = tmp_path / "shelf_of_sinks"
    package.mkdir()
    (package / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(plugins.PACKAGES, "sink", package.name)
    monkeypatch.setattr(sys, "modules", dict(sys.modules))
    return package


def test_what_is_there_is_found_without_importing_it(shelf: Path) -> None:
    (shelf / "tape.py").write_text("raise SystemExit")
    (shelf / "disk").mkdir()
    (shelf / "disk" / "__init__.py").write_text("raise SystemExit")
    (shelf / "_helper.py").touch()
    (shelf / "notes.txt").touch()
    assert plugins.names("sink") == ["disk", "tape"]


def test_a_plugin_is_loaded_by_its_file_name(shelf: Path) -> None:
    (shelf / "tape.py").write_text("Settings = 1\nSink = 2\n")
    assert plugins.load("sink", "tape").Sink == 2
    assert list(plugins.usable("sink")) == ["tape"]


@pytest.mark.parametrize(
    "name", ["", "tap", "os.path", "..tape", "tape.inner", "../tape", "_helper", "TAPE", "__init__"]
)
def test_only_what_stands_on_the_shelf_is_loaded(shelf: Path, name: str) -> None:
    (shelf / "tape.py").write_text("Settings = 1\nSink = 2\n")
    (shelf / "_helper.py").write_text("Settings = 1\nSink = 2\n")
    with pytest.raises(ConfigError, match="unknown sink"):
        plugins.load("sink", name)


def test_a_module_that_is_no_plugin_is_said_to_be_none(shelf: Path) -> None:
    (shelf / "tape.py").write_text("Settings = 1\n")
    with pytest.raises(ConfigError, match="is not a sink: it lacks Sink"):
        plugins.load("sink", "tape")
    assert plugins.usable("sink") == {}


def test_a_plugin_whose_library_is_missing_says_which(shelf: Path) -> None:
    (shelf / "tape.py").write_text("import no_such_library\n")
    with pytest.raises(ConfigError, match="the sink tape cannot be loaded: No module named 'no_such_library'"):
        plugins.load("sink", "tape")
    assert plugins.usable("sink") == {}


def test_a_plugin_with_libraries_of_its_own_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "gateway.sinks.nats", raising=False)
    for module in ["nats", *(name for name in sys.modules if name.startswith("nats."))]:
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ConfigError, match=r"the sink nats cannot be loaded: .*; .*pip install 'edgeward\[nats\]'"):
        plugins.load("sink", "nats")
    assert "nats" not in plugins.usable("sink")
    assert "files" in plugins.usable("sink")


@pytest.mark.parametrize("kind", sorted(plugins.PACKAGES))
def test_every_plugin_that_we_ship_is_one(kind: str) -> None:
    assert plugins.usable(kind)


@pytest.mark.slow
def test_reading_a_configuration_imports_no_driver_that_it_does_not_name() -> None:
    code = "import sys, gateway.settings; print([name for name in sys.modules if name.startswith('drivers.')])"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"

"""`edgeward init`: which driver is asked, and what becomes of its answer."""

from __future__ import annotations

import asyncio
import logging
import types
from pathlib import Path

import pytest

from gateway import plugins
from gateway.cli import init, main
from gateway.errors import ConfigError, ConnectionLost
from gateway.settings import load
from gateway.survey import Line, Part, Survey, Tell

TAG = Line({"address": "holding:0", "type": "uint16"}, "17\nsite: evil")
GROUPS = Part({"all": Part({"interval": Line("1s"), "tags": Part({"r0": TAG})})})
FOUND = Survey(
    Part({"bus": Line({"driver": "modbus", "host": "192.0.2.1"})}),
    Part({"device-1": Part({"link": Line("bus"), "groups": GROUPS})}),
)


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    """The only driver there is, called `abacus`; it finds a register."""

    async def survey(url: str, tell: Tell) -> Survey:
        tell(f"counting at {url}\x1b[31m")
        return FOUND

    module = types.ModuleType("abacus")
    module.SCHEMES = ("abacus", "abacuss")  # type: ignore[attr-defined]
    module.survey = survey  # type: ignore[attr-defined]
    monkeypatch.setattr(plugins, "usable", lambda kind: {"abacus": module})
    return module


def test_the_configuration_is_shown(driver: types.ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["init", "abacus://h"]) == 0
    shown = capsys.readouterr()
    assert "          r0: {address: holding:0, type: uint16}   # 17 site: evil\n" in shown.out
    assert shown.err == "counting at abacus://h\\x1b[31m\n"


@pytest.mark.usefixtures("driver")
def test_or_written_to_a_file_that_was_not_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "edgeward.yaml"
    assert main(["init", "ABACUSS://h", "-o", str(path)]) == 0
    assert f"{path} is written. Next: edgeward check --live {path}, then edgeward run {path}" in capsys.readouterr().err
    path.write_text("precious")
    assert main(["init", "abacus://h", "-o", str(path)]) == 1
    assert "exists already: choose another name, or --force to overwrite it" in capsys.readouterr().err
    assert path.read_text() == "precious"
    assert main(["init", "abacus://h", "-o", str(path), "--force"]) == 0
    monkeypatch.undo()
    assert load(path).links[0].id == "bus"
    assert [each.name for each in tmp_path.iterdir()] == ["edgeward.yaml"]


def test_a_driver_that_cannot_ask(driver: types.ModuleType) -> None:
    del driver.survey
    with pytest.raises(ConfigError, match="the driver for abacuss cannot ask a device"):
        init.find("abacuss://h")
    del driver.SCHEMES
    with pytest.raises(ConfigError, match="the driver for abacus cannot ask a device"):
        init.find("abacus://h")


@pytest.mark.parametrize("url", ["192.0.2.1", "http://h", "", "://"])
def test_a_scheme_that_nobody_speaks(driver: types.ModuleType, url: str) -> None:
    driver.SCHEMES = ("beads",)  # type: ignore[attr-defined]
    with pytest.raises(ConfigError, match="is not understood: write beads://HOST"):
        init.find(url)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ConnectionLost("no connection to h: refused"), "edgeward: no connection to h: refused\n"),
        (ConfigError("look at username"), "edgeward: look at username\n"),
        (PermissionError(13, "Permission denied"), "Permission denied"),
    ],
)
def test_a_device_that_does_not_answer(
    driver: types.ModuleType, error: Exception, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    async def survey(url: str, tell: Tell) -> Survey:
        raise error

    driver.survey = survey  # type: ignore[attr-defined]
    assert main(["init", "abacus://h"]) == 1
    shown = capsys.readouterr()
    assert words in shown.err
    assert shown.out == ""


def test_it_does_not_take_for_ever(
    driver: types.ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def survey(url: str, tell: Tell) -> Survey:
        await asyncio.Event().wait()
        return FOUND

    driver.survey = survey  # type: ignore[attr-defined]
    monkeypatch.setattr(init, "MOST_SECONDS", 0.01)
    assert main(["init", "abacus://h"]) == 1
    assert "abacus://h did not tell all within 0.01 s" in capsys.readouterr().err


def test_our_drivers_speak_these_schemes() -> None:
    names = {scheme: init.find(f"{scheme}://h").__name__ for scheme in ("modbus", "mqtt", "mqtts", "opc.tcp", "coap")}
    assert names == {
        "modbus": "drivers.modbus",
        "mqtt": "drivers.mqtt",
        "mqtts": "drivers.mqtt",
        "opc.tcp": "drivers.opcua",
        "coap": "drivers.coap",
    }


def test_what_libraries_tell_is_not_shown_beside_the_reason(
    driver: types.ModuleType, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def survey(url: str, tell: Tell) -> Survey:
        logging.getLogger("library").warning("Traceback of a parser")
        raise ConnectionLost("what came makes no sense")

    driver.survey = survey  # type: ignore[attr-defined]
    monkeypatch.setattr(logging.getLogger(), "handlers", [])  # as in a process of its own, without those of pytest
    assert main(["init", "abacus://h"]) == 1
    assert capsys.readouterr().err == "edgeward: what came makes no sense\n"

"""The command line as a whole: what it understands, and how it finds the gateway."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.cli import main, parser
from gateway.cli.client import CallFailed, find


def found(*arguments: str, environment: dict[str, str] | None = None) -> Path:
    return find(parser().parse_args(["status", *arguments]), environment or {}).path


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == "edgeward 0.1.0\n"


def test_help_has_examples(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    out = capsys.readouterr().out
    assert "edgeward run edgeward.yaml" in out
    for command in ("run", "check", "schema", "status", "watch", "read", "write", "ack", "alarms"):
        assert f"    {command} " in out


@pytest.mark.parametrize("arguments", [[], ["frobnicate"], ["write", "press-1/run"], ["read"]])
def test_misuse(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert "usage: edgeward" in capsys.readouterr().err


def test_negative_number_is_a_value() -> None:
    assert parser().parse_args(["write", "tank-1/offset", "-1.5"]).value == "-1.5"


def test_asking_does_not_load_the_gateway() -> None:
    """It starts fast because it imports nothing heavy."""
    program = (
        "import sys; from gateway.cli import main; main(['status', '--socket', '/nowhere/x']);"
        "print(sorted({'numpy', 'sqlalchemy', 'pydantic', 'aiohttp', 'asyncio', 'yaml', 'rich'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


# Finding the gateway


def test_socket_goes_first(tmp_path: Path) -> None:
    assert found("--socket", "/run/a.sock", "--config", "x.yaml", environment={"EDGEWARD_SOCKET": "/run/b.sock"}) == (
        Path("/run/a.sock")
    )


def test_configuration_goes_before_the_environment(tmp_path: Path) -> None:
    config = tmp_path / "plant.yaml"
    config.write_text("data: kept\nlinks: {half: {edited")
    with pytest.raises(CallFailed, match=r"plant.yaml:\d+:\d+"):
        found("--config", str(config))
    config.write_text("data: kept\nlinks: {what: {ever: 1}}\n")
    assert found("--config", str(config), environment={"EDGEWARD_SOCKET": "/x"}) == tmp_path / "kept/control.sock"


def test_environment_goes_before_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("edgeward.yaml").write_text("site: a\n")
    assert found(environment={"EDGEWARD_SOCKET": "/run/b.sock"}) == Path("/run/b.sock")
    assert found() == Path("data/control.sock")


def test_absolute_data(tmp_path: Path) -> None:
    config = tmp_path / "plant.yaml"
    config.write_text("data: /var/lib/edgeward\n")
    assert found("--config", str(config)) == Path("/var/lib/edgeward/control.sock")


def test_nothing_says_which(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("EDGEWARD_SOCKET", raising=False)
    assert main(["status"]) == 1
    assert "which gateway? there is no edgeward.yaml here" in capsys.readouterr().err


# Nobody there


def test_nobody_answers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", "--socket", str(tmp_path / "control.sock")]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith(f"edgeward: no gateway answers at {tmp_path}/control.sock\n")
    assert "is it running? edgeward run" in captured.err


def test_nobody_answers_a_program(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", "--json", "--socket", str(tmp_path / "control.sock")]) == 1
    assert json.loads(capsys.readouterr().out)["answer"] == "error"


def test_path_too_long(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", "--socket", "/tmp/" + "x" * 120]) == 1
    assert "too long for a socket: 125 bytes, and 107 at most" in capsys.readouterr().err

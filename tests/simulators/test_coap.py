from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest

from tests.parts.libcoap import Answer, CoapServer, answers, ask, command
from tests.simulators.process import Simulator, lines

pytestmark = [pytest.mark.slow, pytest.mark.real("libcoap")]


def flat(tree: dict[str, object], prefix: str = "") -> dict[str, object]:
    leaves: dict[str, object] = {}
    for name, node in tree.items():
        leaves.update(flat(node, f"{prefix}{name}.") if isinstance(node, dict) else {prefix + name: node})
    return leaves


def wait(true: Callable[[], bool]) -> None:
    """An outside process tells nobody when it has written."""
    deadline = time.monotonic() + 10
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def state(body: bytes) -> tuple[object, object, dict[str, object]]:
    tree = json.loads(body)
    assert tree.pop("quality") == "good"
    return tree.pop("ts"), tree.pop("sequence"), flat(tree)


def test_the_log_holds_what_was_answered(tmp_path: Path) -> None:
    with Simulator("coap", "--port", 0, "--log", tmp_path / "log") as server:
        heard = [ask("get", server.port, "/pump-1/state") for _ in range(3)]
    assert {answer.code for answer in heard} == {"2.05"}
    logged = lines(tmp_path / "log")
    assert [(line["ts"], line["sequence"], line["values"]) for line in logged] == [
        state(answer.payload) for answer in heard
    ]
    assert {line["path"] for line in logged} == {"/pump-1/state"}


def test_who_observes_is_told_all(tmp_path: Path) -> None:
    with Simulator("coap", "--port", 0, "--rate", 20, "--machines", 2, "--log", tmp_path / "log") as server:
        watching = subprocess.run(
            command("get", server.port, "/pump-2/state", None, "-s", "1"), capture_output=True, timeout=20, check=True
        )
    told = [state(answer.payload) for answer in answers(watching.stdout)]
    logged = lines(tmp_path / "log")
    assert len(told) >= 15
    assert told == [(line["ts"], line["sequence"], line["values"]) for line in logged][: len(told)]
    stamps = [int(str(ts)) for ts, _, _ in told]
    assert all(a < b for a, b in pairwise(stamps))


def test_writing(tmp_path: Path) -> None:
    with Simulator("coap", "--port", 0, "--log", tmp_path / "log") as server:
        assert ask("put", server.port, "/pump-1/run", "false") == Answer("2.04", b"")
        assert ask("post", server.port, "/pump-1/speed.setpoint", "50.5").code == "2.04"
        refused = ask("put", server.port, "/pump-1/speed.setpoint", "101")
        assert refused.code == "4.00"
        assert b"between 0 and 100" in refused.payload
        assert ask("put", server.port, "/pump-1/run", '"off"').code == "4.00"
        assert ask("put", server.port, "/pump-1/rpm", "1").code == "4.04"
        assert state(ask("get", server.port, "/pump-1/state").payload)[2]["run"] is False
    written = [(line["write"], line["value"]) for line in lines(tmp_path / "log") if "write" in line]
    assert written == [("run", False), ("speed.setpoint", 50.5)]


def test_a_reading_that_is_dropped_is_never_answered() -> None:
    with Simulator("coap", "--port", 0, "--fault", "drop:1") as server:
        assert ask("get", server.port, "/pump-1/state", None, "-B", "1").code == ""
        assert ask("get", server.port, "/.well-known/core").code == "2.05"


def test_reports_are_logged_with_their_answer(tmp_path: Path) -> None:
    """libcoap's server keeps the last report of each pump, and then goes away."""
    server = CoapServer(tmp_path)
    log = tmp_path / "log"
    options = ["--gateway", f"127.0.0.1:{server.port}", "--machines", 2, "--rate", 100, "--log", log, "--control"]
    try:
        with Simulator("coap", *options) as pumps:
            wait(lambda: log.exists() and len(lines(log)) > 50)
            pumps.ask({"faults": ["drop:1"]})
            kept = state(ask("get", server.port, "/plant/pump-2/state").payload)
            server.stop()
            pumps.ask({"faults": []})
            wait(lambda: any(line["code"] is None for line in lines(log)))
    finally:
        server.kill()
    logged = lines(log)
    first = [line for line in logged if line["code"] is not None]
    assert {line["code"] for line in first} == {"2.01", "2.04"}
    last = [line for line in first if line["path"] == "/plant/pump-2/state"][-1]
    assert (last["ts"], last["sequence"], last["values"]) == kept

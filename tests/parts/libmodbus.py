"""A Modbus TCP server made of libmodbus, compiled on the spot, and mbpoll, a client that we did not write either."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.parts.process import Part, accepts, find, free_port

SOURCE = Path(__file__).with_name("libmodbus_server.c")


def build(folder: Path) -> Path:
    """The compiled server. Skips the test where compiler or library are missing, and fails it in CI."""
    compiler = find("gcc", "gcc")
    program = folder / "libmodbus_server"
    if program.exists():
        return program
    command = [compiler, "-O2", "-Wall", "-I/usr/include/modbus", str(SOURCE), "-o", str(program), "-lmodbus"]
    outcome = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    if outcome.returncode != 0:
        message = f"the libmodbus server does not compile: apt-get install libmodbus-dev\n{outcome.stderr}"
        if os.environ.get("CI") == "true" or "modbus.h" not in outcome.stderr:
            pytest.fail(message)
        pytest.skip(message)
    return program


def start(folder: Path, *options: str, registers: int = 1000) -> Part:
    """A running server whose registers hold their own addresses. `options` are those of the program."""
    port = free_port()
    part = Part([str(build(folder)), str(port), str(registers), *options], port, folder / "libmodbus.log")
    part.wait(lambda: accepts(port))
    return part


def poll(port: int, table: str, address: int, count: int = 1) -> list[str]:
    """What mbpoll reads, words in order ABCD. `table` is in mbpoll's own words, such as `4`, `4:float`, `4:int`, `3` or
    `0`; `address` counts from 0."""
    command = [find("mbpoll", "mbpoll"), "-m", "tcp", "-p", str(port), "-a", "1", "-0", "-1", "-q", "-B"]
    command += ["-t", table, "-r", str(address), "-c", str(count), "127.0.0.1"]
    lines = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout.splitlines()
    return [line.partition(":")[2].strip() for line in lines if line.startswith("[")]

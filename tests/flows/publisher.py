"""A machine that publishes numbered values over MQTT, in a process of its own, and notes what the broker has taken.

    python -m tests.flows.publisher PORT TOPIC LEDGER RATE FIRST

It begins with message FIRST. Message n is `{"ts": time_of(n), "n": n, "half": n / 2}` at QoS 1. The ledger gets a line
with n once the broker has acknowledged it. It goes on until its standard input is closed, then waits for what is still
to be acknowledged.
"""

from __future__ import annotations

import json
import select
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterator
from itertools import count
from pathlib import Path

from paho.mqtt.client import Client, MQTTMessageInfo, MQTTv5
from paho.mqtt.enums import CallbackAPIVersion

START = 1_750_000_000_000_000_000


def time_of(n: int) -> int:
    """Strictly increasing, and exact in nanoseconds only."""
    return START + n * 1_000_003


class Publisher:
    """The process, as a test sees it."""

    def __init__(self, port: int, topic: str, ledger: Path, rate: float = 500.0, first: int = 0) -> None:
        self._ledger = ledger
        command = [sys.executable, "-m", "tests.flows.publisher", str(port), topic, str(ledger), str(rate), str(first)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE)

    def acknowledged(self) -> list[int]:
        """The numbers that the broker has, in order."""
        text = self._ledger.read_text() if self._ledger.exists() else ""
        return sorted(int(line) for line in text.splitlines(keepends=True) if line.endswith("\n"))

    def count(self) -> int:
        return len(self.acknowledged())

    def finish(self) -> list[int]:
        """Stop, once the broker has everything; the numbers that were sent."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        assert self._process.wait(30) == 0
        return self.acknowledged()

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()
        if self._process.stdin is not None:
            self._process.stdin.close()


def main(port: int, topic: str, ledger: Path, rate: float, first: int) -> None:
    client = Client(CallbackAPIVersion.VERSION2, protocol=MQTTv5)
    client.max_inflight_messages_set(1000)
    client.connect("127.0.0.1", port)
    client.loop_start()
    with ledger.open("a", buffering=1) as lines:
        waiting: deque[tuple[int, MQTTMessageInfo]] = deque()
        for n in paced(rate, first):
            body = json.dumps({"ts": time_of(n), "n": n, "half": n / 2})
            waiting.append((n, client.publish(topic, body, qos=1)))
            while waiting and waiting[0][1].is_published():
                lines.write(f"{waiting.popleft()[0]}\n")
        for n, info in waiting:
            info.wait_for_publish(20)
            if info.is_published():
                lines.write(f"{n}\n")
    client.disconnect()
    client.loop_stop()


def paced(rate: float, first: int) -> Iterator[int]:
    """`first` and those after it at so many a second, until the standard input is closed."""
    began = time.monotonic()
    for n in count():
        if select.select([sys.stdin], [], [], max(0.0, began + n / rate - time.monotonic()))[0]:
            return
        yield first + n


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], Path(sys.argv[3]), float(sys.argv[4]), int(sys.argv[5]))

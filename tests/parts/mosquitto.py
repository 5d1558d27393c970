"""Mosquitto, a broker that we did not write, and its two command-line clients."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from threading import Event
from typing import Any, NamedTuple

import pytest
from paho.mqtt.client import Client, MQTTMessage, MQTTv5
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from tests.parts.process import Part, accepts, find, free_port

PATIENCE_S = 10.0


class Mosquitto(Part):
    """A broker in `folder`. It keeps every message that it cannot deliver yet (`max_queued_messages 0`).

    `users` (name to password) replaces anonymous access; `acl` holds lines of an access list; `tls` names the files
    (ca, certificate, key) of a TLS listener; `persistence` keeps sessions over a restart on the same port.
    """

    def __init__(
        self,
        folder: Path,
        *,
        port: int | None = None,
        users: dict[str, str] | None = None,
        acl: str = "",
        tls: tuple[Path, Path, Path] | None = None,
        persistence: bool = False,
        extra: str = "",
    ) -> None:
        program = find("mosquitto", "mosquitto")
        port = port or free_port()
        self.folder = folder
        self.tls = tls
        lines = [
            f"listener {port} 127.0.0.1",
            "user root",  # started by root it would drop to a user who cannot read the test's files
            f"persistence {str(persistence).lower()}",
            f"persistence_location {folder}/",
            f"allow_anonymous {str(users is None).lower()}",
            "max_queued_messages 0",
            "set_tcp_nodelay true",
            extra,
        ]
        if users is not None:
            lines.append(f"password_file {_passwords(folder, users)}")
        if acl:
            (folder / "acl").write_text(acl)
            lines.append(f"acl_file {folder / 'acl'}")
        if tls is not None:
            lines += [f"cafile {tls[0]}", f"certfile {tls[1]}", f"keyfile {tls[2]}"]
        config = folder / "mosquitto.conf"
        config.write_text("\n".join(lines) + "\n")
        super().__init__([program, "-c", str(config)], port, folder / "mosquitto.log")
        self.wait(lambda: accepts(port))

    def publish(
        self,
        topic: str,
        payload: bytes | str,
        *options: str,
        qos: int = 1,
        lines: bool = False,
        version: str = "mqttv5",
    ) -> None:
        """Publish with mosquitto_pub and return when the broker has it; with `lines`, each line is a message."""
        body = payload.encode() if isinstance(payload, str) else payload
        command = [find("mosquitto_pub", "mosquitto-clients"), "-h", "127.0.0.1", "-p", str(self.port), "-V", "mqttv5"]
        command += ["-q", str(qos), "-t", topic, *options, "-l" if lines else "-s" if body else "-n"]
        subprocess.run(command, input=body, check=True, timeout=30, capture_output=True)

    def subscribe(self, topic: str, *options: str, count: int = 1) -> Subscriber:
        """A mosquitto_sub that has subscribed, and ends after `count` messages."""
        return Subscriber(self, topic, options, count)


class Subscriber:
    """mosquitto_sub: prints `retained topic payload` of each message."""

    def __init__(self, broker: Mosquitto, topic: str, options: tuple[str, ...], count: int) -> None:
        # Without stdbuf it would keep to itself, until it ends, that it has subscribed.
        command = [
            "stdbuf",
            "-oL",
            find("mosquitto_sub", "mosquitto-clients"),
            "-p",
            str(broker.port),
            "-V",
            "mqttv5",
            "-q",
            "1",
            "-d",
        ]
        command += ["-t", topic, "-C", str(count), "-W", "20", "-F", "message: %r %t %p", *options]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self._lines = self._read()
        for line in self._lines:
            if line.startswith("Subscribed"):
                break

    def messages(self) -> list[str]:
        """What came, once all of it has come."""
        found = [line.removeprefix("message: ") for line in self._lines if line.startswith("message: ")]
        self._process.wait(20)
        return found

    def stop(self) -> None:
        self._process.kill()
        self.messages()

    def _read(self) -> Iterator[str]:
        assert self._process.stdout is not None
        with self._process.stdout:
            for line in self._process.stdout:
                yield line.rstrip("\n")


class Heard(NamedTuple):
    topic: str
    payload: bytes
    retain: bool
    properties: Properties

    @property
    def json(self) -> dict[str, Any]:
        found = json.loads(self.payload)
        assert isinstance(found, dict)
        return found

    @property
    def id(self) -> str:
        """The message's id: the user property of that name."""
        return str(dict(self.properties.UserProperty)["id"])


class Witness:
    """A client of paho's that keeps everything that is published under a topic filter."""

    def __init__(self, port: int, topic: str = "#", **options: str) -> None:
        self.port = port
        self.heard: list[Heard] = []
        self._subscribed = Event()
        self._marks = count()
        self._mark = ""
        self._marked = Event()
        self._client = Client(CallbackAPIVersion.VERSION2, protocol=MQTTv5, reconnect_on_failure=True)
        self._client.reconnect_delay_set(0.05, 0.2)  # type: ignore[arg-type]
        self._client.on_message = lambda client, data, message: self._take(message)
        self._client.on_connect = lambda client, *more: client.subscribe([(topic, 1), ("witness/mark", 1)])
        self._client.on_subscribe = lambda *more: self._subscribed.set()
        if options:
            self._client.username_pw_set(options["username"], options["password"])
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()
        assert self._subscribed.wait(PATIENCE_S)

    def publish(self, topic: str, payload: bytes | str, retain: bool = False, **properties: object) -> None:
        """Returns when the broker has it."""
        about = Properties(PacketTypes.PUBLISH)
        for name, value in properties.items():
            setattr(about, name, value)
        self._client.publish(topic, payload, 1, retain, about).wait_for_publish(PATIENCE_S)

    def all(self) -> list[Heard]:
        """Everything that the broker had when this was called: it delivers in the order in which it takes."""
        self._mark = str(next(self._marks))
        self._marked.clear()
        self.publish("witness/mark", self._mark)
        assert self._marked.wait(PATIENCE_S)
        return list(self.heard)

    def stop(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def _take(self, message: MQTTMessage) -> None:
        if message.topic != "witness/mark":
            about = message.properties or Properties(PacketTypes.PUBLISH)
            self.heard.append(Heard(message.topic, bytes(message.payload), message.retain, about))
        elif message.payload.decode() == self._mark:
            self._marked.set()


def _passwords(folder: Path, users: dict[str, str]) -> Path:
    path = folder / "passwords"
    path.touch(0o600)
    for user, password in users.items():
        command = [find("mosquitto_passwd", "mosquitto"), "-b", str(path), user, password]
        subprocess.run(command, check=True, capture_output=True)
    return path


@pytest.fixture
def mosquitto(tmp_path: Path) -> Iterator[Mosquitto]:
    """A broker that anybody may use."""
    broker = Mosquitto(tmp_path)
    yield broker
    broker.stop()

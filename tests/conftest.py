"""What every test may ask for: the real recordings, a real broker, a hub, a disk that is full."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

from heimdall_edge import journal

REPOSITORY = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder of real recordings, or a skip that says what is missing."""
    path = Path(os.environ.get("HEIMDALL_EDGE_DATA", REPOSITORY.parent / "shared" / "data"))
    if not path.is_dir():
        pytest.skip(f"real recordings not found at {path}: set HEIMDALL_EDGE_DATA")
    return path


@pytest.fixture(autouse=True)
def journal_as_before() -> Iterator[None]:
    """What one test says of the journal is not the next one's."""
    root = logging.getLogger(journal.ROOT)
    before = (root.handlers[:], root.level, root.propagate, root.filters[:])
    yield
    root.handlers[:], root.level, root.propagate, root.filters[:] = before


PATIENCE_S = 20.0
"""How long a test waits for what must happen; a slow machine is no failure."""


def eventually(condition: Callable[[], Any], what: str) -> None:
    """Wait until something is so, for states that no event announces."""
    deadline_s = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline_s, f"still not: {what}"
        time.sleep(0.005)


@pytest.fixture(name="eventually", scope="session")
def eventually_fixture() -> Callable[[Callable[[], Any], str], None]:
    return eventually


# ── the broker ────────────────────────────────────────────────────────────────────────────


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Mosquitto:
    """One mosquitto process on a port of its own; may be killed, paused and started again."""

    def __init__(self, folder: Path, lines: tuple[str, ...]) -> None:
        self.port = free_port()
        self.host = "localhost"
        self._folder = folder
        self._config = folder / "mosquitto.conf"
        self._config.write_text("\n".join((f"listener {self.port} 127.0.0.1", *lines, "")))
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        program = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin")
        if program is None:
            pytest.fail("mosquitto is not installed: apt-get install mosquitto (make test does)")
        with (self._folder / "mosquitto.log").open("ab") as log:
            self._process = subprocess.Popen(
                [program, "-c", str(self._config)], stdout=log, stderr=log
            )
        eventually(self._listens, f"mosquitto listens on {self.port}")

    def _listens(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, (self._folder / "mosquitto.log").read_text()
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1):
                return True
        except OSError:
            return False

    def stop(self, signal_number: int = signal.SIGTERM) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)
            self._process.send_signal(signal_number)
            self._process.wait(PATIENCE_S)
            self._process = None

    def pause(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)


@pytest.fixture
def mosquitto_of(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Mosquitto]]:
    """Configuration lines → a mosquitto, not yet started; stopped at the end."""
    made: list[Mosquitto] = []

    def make(*lines: str) -> Mosquitto:
        made.append(Mosquitto(tmp_path_factory.mktemp("mosquitto"), ("user root", *lines)))
        return made[-1]

    yield make
    for broker in made:
        broker.stop(signal.SIGKILL)


@pytest.fixture
def mosquitto(mosquitto_of: Callable[..., Mosquitto]) -> Mosquitto:
    """A mosquitto that runs, and lets anybody in."""
    broker = mosquitto_of("allow_anonymous true")
    broker.start()
    return broker


# ── the hub ───────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Received:
    topic: str
    payload: bytes
    qos: int
    retain: bool
    expiry_s: int | None

    @property
    def json(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.payload)
        return found


@dataclass
class Subscriber:
    """Everything under ``heimdall/``, as it comes; MQTT v5, or 3.1.1.

    With ``keeps_session`` the broker keeps for it what it misses while it is away.
    """

    port: int
    options: dict[str, Any] = field(default_factory=dict)
    received: list[Received] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._changed = threading.Condition()
        self._subscribed = threading.Event()
        v5 = self.options.get("protocol", "5") == "5"
        self._client = Client(
            CallbackAPIVersion.VERSION2,
            client_id=self.options.get("client_id", ""),
            protocol=MQTTProtocolVersion.MQTTv5 if v5 else MQTTProtocolVersion.MQTTv311,
        )
        if "username" in self.options:
            self._client.username_pw_set(self.options["username"], self.options["password"])
        if "tls" in self.options:
            self._client.tls_set_context(self.options["tls"])
        self._v5 = v5
        self._client.on_connect = self._connected
        self._client.on_subscribe = lambda *_: self._subscribed.set()
        self._client.on_message = self._message
        self._client.reconnect_delay_set(0.05, 0.05)  # type: ignore[arg-type]
        host = self.options.get("host", "127.0.0.1")
        if self.options.get("keeps_session"):
            properties = Properties(PacketTypes.CONNECT)
            properties.SessionExpiryInterval = 3600
            self._client.connect(host, self.port, clean_start=False, properties=properties)
        else:
            self._client.connect(host, self.port)
        self._client.loop_start()
        assert self._subscribed.wait(PATIENCE_S), "the test's own subscriber could not subscribe"

    def _connected(self, client: Client, *_: Any) -> None:
        # As published: a live message keeps its retain flag, so that the test can see it.
        if self._v5:
            client.subscribe("heimdall/#", options=SubscribeOptions(1, retainAsPublished=True))
        else:
            client.subscribe("heimdall/#", 1)

    def _message(self, _client: Client, _data: Any, message: MQTTMessage) -> None:
        expiry_s = getattr(message.properties, "MessageExpiryInterval", None)
        with self._changed:
            self.received.append(
                Received(message.topic, message.payload, message.qos, message.retain, expiry_s)
            )
            self._changed.notify_all()

    def on(self, topic_end: str) -> list[Received]:
        with self._changed:
            return [r for r in self.received if r.topic.endswith(f"/{topic_end}")]

    def wait_for(self, topic_end: str, count: int = 1) -> list[Received]:
        """What came on a topic, as soon as there are so many of it."""
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.on(topic_end)) >= count, PATIENCE_S), (
                f"{len(self.on(topic_end))} of {count} messages on {topic_end}; "
                f"all: {[r.topic for r in self.received][-20:]}"
            )
            return self.on(topic_end)

    def wait_for_fixes(self, fix_ids: set[str]) -> list[Received]:
        """What came on ``fix``, as soon as all of these are among them."""

        def have_come() -> bool:
            return fix_ids <= {r.json["fix_id"] for r in self.on("fix")}

        with self._changed:
            assert self._changed.wait_for(have_come, PATIENCE_S), (
                f"missing {sorted(fix_ids - {r.json['fix_id'] for r in self.on('monte/fix')})[:9]}"
            )
            return self.on("fix")

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


@pytest.fixture
def subscribe() -> Iterator[Callable[..., Subscriber]]:
    """Port → a subscriber that has subscribed."""
    made: list[Subscriber] = []

    def make(port: int, **options: Any) -> Subscriber:
        made.append(Subscriber(port, options))
        return made[-1]

    yield make
    for subscriber in made:
        subscriber.close()


# ── the disk ──────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class SmallDisk:
    """A file system of 4 MiB."""

    folder: Path

    def fill(self) -> Path:
        """Leave not a byte; returns the file that takes them all."""
        filler = self.folder / "filler"
        with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
            while file.write(bytes(4096)):
                pass
        return filler


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[SmallDisk]:
    """A disk that is soon full; needs root, as the container that runs the tests has it."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("mounting a small tmpfs needs root")
    yield SmallDisk(folder)
    subprocess.run(["umount", "--lazy", str(folder)], check=True)

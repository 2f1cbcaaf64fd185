"""A broker for the bench alone: mosquitto where it is installed, else the demo's own."""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from heimdall_edge.errors import HeimdallError
from heimdall_edge.publish.embedded_broker import EmbeddedBroker

START_TIMEOUT_S = 10.0
SYSTEM_FOLDERS = "/usr/sbin:/usr/local/sbin"
"""Where Debian puts mosquitto, out of a user's path."""


@dataclass(frozen=True, slots=True)
class LocalBroker:
    """A broker that listens on loopback."""

    name: str
    port: int
    protocol: Literal["5", "3.1.1"]


@contextlib.contextmanager
def running_broker(folder: Path) -> Iterator[LocalBroker]:
    """A broker on a free port, for as long as the block lasts.

    Raises
    ------
    HeimdallError
        Neither mosquitto nor amqtt is installed, or it did not start.
    """
    program = shutil.which("mosquitto") or shutil.which("mosquitto", path=SYSTEM_FOLDERS)
    if program is None:
        with EmbeddedBroker() as embedded:
            name = "the embedded broker (mosquitto is not installed)"
            yield LocalBroker(name, embedded.port, "3.1.1")
        return
    port = _free_port()
    config = folder / "mosquitto.conf"
    config.write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\npersistence false\n")
    with (folder / "mosquitto.log").open("wb") as log:
        process = subprocess.Popen([program, "-c", str(config)], stdout=log, stderr=log)
    try:
        _wait_until_it_listens(process, port, folder / "mosquitto.log")
        yield LocalBroker("mosquitto", port, "5")
    finally:
        process.terminate()
        process.wait()


def _wait_until_it_listens(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline_s = time.monotonic() + START_TIMEOUT_S
    while process.poll() is None and time.monotonic() < deadline_s:
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        time.sleep(0.01)
    raise HeimdallError(f"mosquitto did not start: {log.read_text(errors='replace').strip()}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port

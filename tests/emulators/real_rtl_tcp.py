"""The real ``rtl_tcp``, as Debian ships it, on an emulated USB bus."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Self

from .usb_dongles import UsbDongles

PATIENCE_S = 20.0
SIGINT_S = 2.0
"""0.6.0 may ignore the first SIGINT after a client left, and the next one too."""


class RealRtlTcp:
    """A process that serves one dongle of a bus; a context manager.

    ``kill()`` ends it as a crash does; ``restart()`` brings it back on the same port; ``stall()``
    and ``resume()`` stop the process and let it go on. ``said`` is what it wrote.
    """

    def __init__(self, usb: UsbDongles, *, index: int = 0, host: str = "127.0.0.1") -> None:
        self.host, self._index, self._usb = host, index, usb
        self.port = _free_port(host)
        self._folder = tempfile.TemporaryDirectory(prefix="rtl-tcp-")
        self._log = Path(self._folder.name) / "log"
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self._start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        self._folder.cleanup()

    @property
    def said(self) -> str:
        return self._log.read_text(errors="replace")

    def kill(self) -> None:
        self._end(signal.SIGKILL, PATIENCE_S)

    def restart(self) -> None:
        self.kill()
        self._start()

    def stall(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def stop(self) -> None:
        """Ask it to end, ever more firmly."""
        if self._process is not None:
            self.resume()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
            if self._end(number, SIGINT_S):
                return

    def _end(self, signal_number: int, wait_s: float) -> bool:
        if self._process is None:
            return True
        self._process.send_signal(signal_number)
        try:
            self._process.wait(wait_s)
        except subprocess.TimeoutExpired:
            return False
        self._process = None
        return True

    def _start(self) -> None:
        program = shutil.which("rtl_tcp")
        assert program, "rtl_tcp is not installed: apt-get install rtl-sdr"
        command = [program, "-a", self.host, "-p", str(self.port), "-d", str(self._index)]
        before = self.said.count("listening...") if self._log.exists() else 0
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                ["stdbuf", "-oL", *command],
                env={**os.environ, **self._usb.environment},
                stdout=log,
                stderr=log,
            )
        deadline_s = time.monotonic() + PATIENCE_S
        while self.said.count("listening...") == before:
            assert self._process.poll() is None, self.said
            assert time.monotonic() < deadline_s, self.said
            time.sleep(0.02)


def _free_port(host: str) -> int:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])

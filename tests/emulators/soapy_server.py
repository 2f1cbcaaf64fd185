"""The real ``SoapySDRServer`` on loopback, with the simulated device behind it."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import Self

import pytest

PATIENCE_S = 20.0
MODULES = "SoapySDR/modules0.8/libremoteSupport.so"


class SoapyServer:
    """A server of its own on a free port; a context manager.

    ``kill()``
        SIGKILL: its clients' connections are reset, and SoapyRemote's ``readStream`` hangs.
    ``restart()``
        It comes back on the same port.
    ``pause()`` / ``resume()``
        It lives, but does nothing: SIGSTOP, SIGCONT.

    Parameters
    ----------
    module_folder
        Of the module that it serves.
    no_avahi
        What takes the place of avahi's libraries.
    """

    def __init__(self, *, module_folder: Path, no_avahi: Path, log: Path) -> None:
        program = shutil.which("SoapySDRServer")
        if program is None or not any(Path("/usr/lib").glob(f"*/{MODULES}")):
            pytest.skip(
                "needs SoapyRemote: apt-get install soapyremote-server soapysdr-module-remote"
            )
        self.host, self.port = "127.0.0.1", _free_port()
        self._program, self._log = program, log
        self._environment = os.environ | {
            "SOAPY_SDR_PLUGIN_PATH": str(module_folder),
            "LD_PRELOAD": str(no_avahi),
        }
        self._process: subprocess.Popen[bytes] | None = None

    def args_of(self, device_args: str, *, transport: str = "tcp") -> str:
        """What opens a device through this server; its samples come by TCP or UDP."""
        inner = device_args.replace("driver=", "remote:driver=", 1)
        address = f"tcp://{self.host}:{self.port}"
        return f"driver=remote,remote={address},remote:prot={transport},{inner}"

    def restart(self) -> None:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [self._program, f"--bind={self.host}:{self.port}"],
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        deadline_s = time.monotonic() + PATIENCE_S
        while not self._listens():
            assert self._process.poll() is None, self._log.read_text(errors="replace")
            assert time.monotonic() < deadline_s, f"nobody listens on {self.port}"
            time.sleep(0.05)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def pause(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def __enter__(self) -> Self:
        self.restart()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def _listens(self) -> bool:
        """By the kernel's table: a connection would be a client."""
        wanted = f"0100007F:{self.port:04X}"
        rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
        return any(row[1] == wanted and row[3] == "0A" for row in rows)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])

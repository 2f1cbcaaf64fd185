"""A real chronyd on loopback that leaves this host's clock alone (``-x``)."""

from __future__ import annotations

import os
import shutil
import socket
import struct
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

CONF = """
{reference}
cmdport {port}
port {ntp_port}
allow 127.0.0.1
bindaddress 127.0.0.1
bindcmdaddress 127.0.0.1
bindcmdaddress /
pidfile {folder}/chronyd.pid
user root
"""
SOCK_MAGIC = 0x534F434B
PATIENCE_S = 30.0


@contextmanager
def chronyd(folder: Path, reference: str) -> Iterator[tuple[int, int]]:
    """Run one; gives the UDP ports on which it answers chronyc, and NTP clients."""
    program = shutil.which("chronyd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if program is None or os.geteuid() != 0:
        pytest.skip("needs chronyd, and root to start it")
    port, ntp_port = _free_port(), _free_port()
    config = folder / "chrony.conf"
    config.write_text(CONF.format(reference=reference, port=port, ntp_port=ntp_port, folder=folder))
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [program, "-x", "-d", "-f", str(config)], stdout=log, stderr=subprocess.STDOUT
        )
        try:
            yield port, ntp_port
        finally:
            process.terminate()
            process.wait(10)


def _free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def asked_until(ask, wanted, *, meanwhile=lambda: None):
    """The first answer that is wanted."""
    until_s = time.monotonic() + PATIENCE_S
    while time.monotonic() < until_s:
        meanwhile()
        answer = ask()
        if answer is not None and wanted(answer):
            return answer
        time.sleep(0.1)
    raise AssertionError("chronyd never said what was expected")


def tell_time(path: Path, *, offset_s: float) -> None:
    """Be a GNSS receiver: a sample for chrony's SOCK reference clock."""
    now_s = time.time()
    sample = struct.pack(
        "@qqdiiii", int(now_s), int(now_s % 1 * 1e6), offset_s, 0, 0, 0, SOCK_MAGIC
    )
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as gnss:
        if path.exists():
            gnss.sendto(sample, str(path))

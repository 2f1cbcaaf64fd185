"""What systemd hears from us: READY, RELOADING, STOPPING, STATUS, WATCHDOG (sd_notify(3))."""

from __future__ import annotations

import os
import time

import sdnotify


class ServiceNotifier:
    """Speaks to the service manager; says nothing where there is none."""

    def __init__(self) -> None:
        wanted = bool(os.environ.get("NOTIFY_SOCKET"))
        self._notifier = sdnotify.SystemdNotifier() if wanted else None
        self._shown = ""

    def ready(self, status: str) -> None:
        """Start-up, or a reload, is complete."""
        self._shown = status
        self._send(f"READY=1\nSTATUS={_one_line(status)}")

    def reloading(self) -> None:
        """A reload began; systemd 253 and later want the instant of it."""
        self._send(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self) -> None:
        self._send("STOPPING=1\nSTATUS=stopping")

    def status(self, text: str) -> None:
        """The line that ``systemctl status`` shows; sent where it changes."""
        if text != self._shown:
            self._shown = text
            self._send(f"STATUS={_one_line(text)}")

    def alive(self) -> None:
        """Feed the watchdog; call it when work goes on, not by a timer."""
        self._send("WATCHDOG=1")

    def close(self) -> None:
        if self._notifier and self._notifier.socket:
            self._notifier.socket.close()

    def _send(self, message: str) -> None:
        if self._notifier:
            # sdnotify encodes as Latin-1, and drops in silence what that cannot say; systemd
            # reads UTF-8.
            self._notifier.notify(message.encode().decode("latin-1"))


def watchdog_interval_s() -> float | None:
    """How often to feed the watchdog: half of what the unit allows; ``None`` without one."""
    pid = os.environ.get("WATCHDOG_PID")
    interval_us = os.environ.get("WATCHDOG_USEC", "")
    if not interval_us.isdigit() or (pid and pid != str(os.getpid())):
        return None
    return int(interval_us) / 1e6 / 2


def _one_line(text: str) -> str:
    return text.replace("\n", "; ")

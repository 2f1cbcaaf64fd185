"""Harm done to a driver's child process, from outside."""

from __future__ import annotations

import signal

import psutil


def send(signal_number: signal.Signals, *, module: str) -> None:
    """Send a signal to the child process that runs ``heimdall_edge.drivers.<module>``."""
    wanted = f"heimdall_edge.drivers.{module}"
    children = [p for p in psutil.Process().children() if wanted in p.cmdline()]
    assert children, f"no child runs {wanted}"
    for child in children:
        child.send_signal(signal_number)

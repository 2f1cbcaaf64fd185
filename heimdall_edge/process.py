"""What must be settled before the first library is imported: signals, and threads of libraries.

Numerical libraries start threads as they are imported. A signal goes to any thread that does not
block it, so it must be blocked before them, or SIGTERM ends the process unheard.
"""

from __future__ import annotations

import os
import signal
from enum import IntEnum

ENVIRONMENT = {
    # The daemon's own threads are the parallelism.
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    # onnxruntime's wheels upload usage and keep a device id otherwise.
    "ORT_DISABLE_TELEMETRY": "1",
}


class ExitCode(IntEnum):
    """How the process ends; sysexits.h has the names. After 64 and 78 the operator must act."""

    OK = 0
    FAILURE = 1
    """A bug, or a thread that would not end."""
    USAGE = 64
    """EX_USAGE: the command line is wrong."""
    DATA = 65
    """EX_DATAERR: an input file is wrong."""
    CONFIG = 78
    """EX_CONFIG: the configuration is wrong; systemd does not restart it."""


def prepare_environment() -> None:
    """Set what libraries read when they are imported, where the operator has not."""
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)


class ProcessSignals:
    """The process's own signals, taken one by one by the main thread.

    They are blocked from here on, in this thread and in those that it starts, so that no handler
    ever interrupts anything.
    """

    WANTED = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)

    def __init__(self) -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, self.WANTED)

    def wait(self, timeout_s: float) -> int | None:
        """The next signal, or ``None`` after the timeout."""
        found = signal.sigtimedwait(self.WANTED, timeout_s)
        return None if found is None else found.si_signo

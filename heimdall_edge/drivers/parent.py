"""The parent, as a driver's process sees it: settings, commands, and when to end.

::

    line 1: settings ─▶ main(settings)          {"tune": 446100000.0} ─▶ commands()
    end of standard input, or the parent's death ─▶ the process ends
"""

from __future__ import annotations

import ctypes
import json
import os
import queue
import signal
import sys
import threading
from collections.abc import Iterator
from typing import Any

PR_SET_PDEATHSIG = 1
"""prctl(2)."""
MAX_LINE_BYTES = 64 * 1024
READ_BYTES = 4096


class Parent:
    """Standard input of a driver's process, one JSON object a line.

    A thread of its own reads it, so that the end of the driver (:meth:`stop`) and the end of the
    parent both end :meth:`commands`.
    """

    def __init__(self, descriptor: int = 0) -> None:
        self._descriptor = descriptor
        self._said: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        self._reader = threading.Thread(target=self._read, name="commands", daemon=True)
        self._reader.start()

    def settings(self) -> dict[str, Any]:
        """The first line.

        Raises
        ------
        SystemExit
            The parent is gone already.
        """
        said = self._said.get()
        if said is None:
            sys.exit(0)
        return said

    def commands(self) -> Iterator[dict[str, Any]]:
        """What the parent wants, until it is gone, or until ``stop``."""
        while (said := self._said.get()) is not None:
            yield said

    def stop(self) -> None:
        """End ``commands``, from any thread."""
        self._said.put(None)

    def _read(self) -> None:
        held = b""
        # os.read: a thread inside sys.stdin's lock would make the interpreter abort at its end.
        while len(held) <= MAX_LINE_BYTES and (data := os.read(self._descriptor, READ_BYTES)):
            *lines, held = (held + data).split(b"\n")
            for line in lines:
                self._said.put(said := _object(line))
                if said is None:
                    return
        self._said.put(None)


def _object(line: bytes) -> dict[str, Any] | None:
    """A line's JSON object; ``None``, which ends the driver, for a line that is none."""
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        sys.stderr.write(f"expected a JSON object a line, found {line[:80]!r}\n")
        return None
    return found


def take_standard_output() -> int:
    """Keep the pipe to ourselves: what libraries print goes to standard error from now on."""
    sys.stdout.flush()
    descriptor = os.dup(1)
    os.dup2(2, 1)
    return descriptor


def live_and_die_with_parent() -> None:
    """End when the thread that started this process ends, even if the driver hangs.

    The service manager's and the terminal's signals go to the whole group of processes: the parent
    ends its drivers itself, politely, so they leave those signals to it.
    """
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])

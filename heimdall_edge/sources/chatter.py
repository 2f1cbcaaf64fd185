"""What a driver's process writes to standard error, kept for the message that tells its end."""

from __future__ import annotations

import os
import re
import select
from collections import deque
from collections.abc import Iterable

KEPT_LINES, KEPT_BYTES = 20, 4096
TOLD_LINES, TOLD_CHARACTERS = 3, 200
COLOURS = re.compile(rb"\x1b\[[0-9;]*m")
"""What programs paint their warnings with (ECMA-48, SGR)."""


class Chatter:
    """What a driver writes to standard error: its last lines, and never many bytes."""

    def __init__(self) -> None:
        self._lines: deque[str] = deque(maxlen=KEPT_LINES)
        self._unfinished = b""

    def read(self, descriptor: int) -> bool:
        """Take what is there, without waiting; false at its end."""
        while readable([descriptor], 0.0):
            data = os.read(descriptor, KEPT_BYTES)
            if not data:
                return False
            *lines, self._unfinished = (self._unfinished + data).split(b"\n")
            self._unfinished = self._unfinished[:KEPT_BYTES]
            for line in lines:
                if text := _plain(line[:KEPT_BYTES]):
                    self._lines.append(text)
        return True

    @property
    def told(self) -> str:
        """The end of it, for an error's message; empty where nothing was said."""
        last = _plain(self._unfinished)
        lines = [*self._lines, *([last] if last else [])][-TOLD_LINES:]
        return f"; it said: {' | '.join(line[:TOLD_CHARACTERS] for line in lines)}" if lines else ""


def _plain(line: bytes) -> str:
    """A line without colours."""
    return COLOURS.sub(b"", line).decode(errors="replace").strip()


def readable(descriptors: Iterable[int], timeout_s: float) -> set[int]:
    """Those that can be read, or are at their end."""
    poll = select.poll()
    for descriptor in descriptors:
        poll.register(descriptor, select.POLLIN)
    return {found for found, _ in poll.poll(timeout_s * 1000)}

"""The driver's end of the pipe: its thread hands over buffers and never waits.

::

    driver's thread ──offer──▶ bounded queue ──▶ writer thread ──▶ pipe
                       full: the buffer is dropped, and counted in the next frame
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import replace

from heimdall_edge.drivers.framing import Frame, FrameKind

MAX_QUEUED_BYTES = 4 * 1024 * 1024
"""At 2.4 Msps of 8-bit IQ: 0.9 s of a parent that does not read."""


class Outlet:
    """Writes frames to a pipe.

    Shared state is the queue, guarded by ``_changed``: the driver's threads add to it, the writer
    takes from it. When the reader is gone, everything offered is forgotten, and ``reader_gone`` is
    set.

    Parameters
    ----------
    descriptor
        The pipe; it stays open.
    bytes_per_sample
        Of I and Q together; what dropped buffers are counted by.
    max_queued_bytes
        Samples beyond that are dropped; what the driver says is always kept.
    """

    def __init__(
        self,
        descriptor: int,
        *,
        bytes_per_sample: int,
        max_queued_bytes: int = MAX_QUEUED_BYTES,
    ) -> None:
        self._descriptor = descriptor
        self._bytes_per_sample = bytes_per_sample
        self._max_queued_bytes = max_queued_bytes
        self._queue: deque[Frame] = deque()
        self._queued_bytes = 0
        self._unsaid: dict[int, tuple[int, int]] = {}  # channel → (lost, dropped), to be told
        self._changed = threading.Condition()
        self._ending = False
        self.reader_gone = threading.Event()
        self._writer = threading.Thread(target=self._write, name="outlet", daemon=True)
        self._writer.start()

    def offer(self, frame: Frame) -> bool:
        """Send samples if there is room; else they are dropped and counted. Never waits."""
        with self._changed:
            lost, dropped = self._unsaid.pop(frame.channel, (0, 0))
            lost, dropped = lost + frame.lost_samples, dropped + frame.dropped_samples
            size = len(frame.payload)
            if self._queued_bytes + size > self._max_queued_bytes:
                dropped += size // self._bytes_per_sample
                self._unsaid[frame.channel] = (lost, dropped)
                return False
            self._put(replace(frame, lost_samples=lost, dropped_samples=dropped))
            return True

    def say(self, kind: FrameKind, said: Mapping[str, object]) -> None:
        """Send a HELLO, EVENT or ERROR after all that was sent before. Never waits."""
        frame = Frame.of_json(kind, said, monotonic_ns=time.monotonic_ns())
        with self._changed:
            self._put(frame)

    def close(self, *, timeout_s: float) -> bool:
        """Write what is queued, and end; whether that was done in time."""
        with self._changed:
            self._ending = True
            self._changed.notify_all()
        self._writer.join(timeout_s)
        return not self._writer.is_alive()

    def _put(self, frame: Frame) -> None:
        if not self.reader_gone.is_set():
            self._queue.append(frame)
            self._queued_bytes += len(frame.payload)
            self._changed.notify_all()

    def _write(self) -> None:
        while (frame := self._next()) is not None:
            try:
                self._write_whole(frame)
            except OSError:  # EPIPE: the parent is gone, or has closed its end
                self._forget()
                return

    def _next(self) -> Frame | None:
        with self._changed:
            self._changed.wait_for(lambda: self._queue or self._ending)
            if not self._queue:
                return None
            frame = self._queue.popleft()
            self._queued_bytes -= len(frame.payload)
            return frame

    def _write_whole(self, frame: Frame) -> None:
        pieces = [memoryview(frame.header), memoryview(frame.payload)]
        while pieces:
            written = os.writev(self._descriptor, pieces)
            while pieces and written >= len(pieces[0]):
                written -= len(pieces.pop(0))
            if pieces:
                pieces[0] = pieces[0][written:]

    def _forget(self) -> None:
        with self._changed:
            self.reader_gone.set()
            self._queue.clear()

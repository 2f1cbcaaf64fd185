"""One driver's process that serves several receivers: the channels of one device.

::

    DriverProcess ─frame─▶ pump thread ─by channel─▶ Tap ─▶ source of one receiver
                                       └───────────▶ Tap ─▶ source of another

The first tap that opens starts the process, the last one that closes ends it. When the process
fails, every open tap says so; whoever opens a tap then starts a new one.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from heimdall_edge.drivers.framing import Frame, FrameKind, FramingError
from heimdall_edge.errors import SourceError
from heimdall_edge.sources.child import DriverProcess

MAX_QUEUED_FRAMES = 64
"""At 2.4 Msps: 1.7 s of a source that does not read."""
THREAD_END_S = 0.1


@dataclass(slots=True, eq=False)
class _Life:
    """One process, from its start to its end."""

    process: DriverProcess
    taps: dict[int, Tap] = field(default_factory=dict)
    """By channel; those that are open."""
    hello: dict[str, Any] | None = None
    error: SourceError | None = None
    """Set at its end, when its device can be opened again."""
    thread: threading.Thread | None = None
    commands: deque[dict[str, object]] = field(default_factory=deque)
    """For the driver; the pump sends them."""


class SharedDriver:
    """What the taps of one device share.

    ``changed`` guards the life, and each tap's queue and state; the pump holds it only to hand a
    frame over.

    Parameters
    ----------
    make
        Makes the process, not yet started; may raise SourceError.
    """

    def __init__(self, make: Callable[[], DriverProcess]) -> None:
        self._make = make
        self.changed = threading.Condition()
        self._life: _Life | None = None

    def tap(self, channel: int) -> Tap:
        """A way to one channel's frames, not yet open; it lives once."""
        return Tap(self, channel)

    def is_ready_for(self, channel: int) -> bool:
        """Whether a tap can join, or start, a process; under ``changed``."""
        if self._life is None:
            return True
        is_ending = not self._life.taps
        return not is_ending and channel not in self._life.taps

    def join(self, tap: Tap) -> _Life:
        """Take part in the process that runs, or in a new one; under ``changed``."""
        if self._life is None:
            life = self._life = _Life(self._make())
            life.thread = threading.Thread(
                target=self._pump, args=(life,), name=f"driver-{life.process.name}", daemon=True
            )
            life.taps[tap.channel] = tap
            life.thread.start()
        self._life.taps[tap.channel] = tap
        return self._life

    def _pump(self, life: _Life) -> None:
        """The thread of one life. The process dies with it, so that it starts it, too."""
        error = SourceError(f"{life.process.name}: was closed")
        try:
            hello = life.process.start()
            with self.changed:
                life.hello = hello
                self.changed.notify_all()
            for frame in life.process.frames():
                self._hand_over(life, frame)
                self._send(life)
        except SourceError as failure:
            error = failure
        finally:
            life.process.close()
            with self.changed:
                life.error, self._life = error, None
                self.changed.notify_all()

    def _hand_over(self, life: _Life, frame: Frame) -> None:
        channel = frame.channel
        if frame.kind is FrameKind.EVENT:
            try:
                channel = int(frame.json.get("channel", channel))
            except (FramingError, TypeError, ValueError) as error:
                raise SourceError(f"{life.process.name}: driver's event: {error}") from error
        with self.changed:
            tap = life.taps.get(channel)
            if tap is not None:
                tap.put(frame)
                self.changed.notify_all()

    def _send(self, life: _Life) -> None:
        """Pass the taps' commands on: a process hears one thread only."""
        with self.changed:
            commands = list(life.commands)
            life.commands.clear()
        for command in commands:
            life.process.send(command)


class Tap:
    """One channel's frames, for one source; ``close`` may come from any thread."""

    def __init__(self, driver: SharedDriver, channel: int) -> None:
        self.channel = channel
        self._driver = driver
        self._life: _Life | None = None
        self._closed = False
        self._queue: deque[Frame] = deque()
        self._lost, self._dropped = 0, 0  # of frames that found no room

    def open(self) -> dict[str, Any]:
        """Wait until the device is open; what its driver says in HELLO.

        Raises
        ------
        SourceError
            It cannot be opened, or the tap was closed.
        """
        changed = self._driver.changed
        with changed:
            changed.wait_for(lambda: self._closed or self._driver.is_ready_for(self.channel))
            if self._closed:
                raise SourceError("was closed before it was opened")
            life = self._life = self._driver.join(self)
            changed.wait_for(lambda: self._closed or life.hello or life.error)
            if self._closed:
                raise SourceError(f"{life.process.name}: was closed while it was being opened")
            self._check(life)
            assert life.hello is not None
            return life.hello

    def frames(self) -> Iterator[Frame]:
        """Give frames until ``close``; SourceError when the process fails."""
        while (frame := self._next()) is not None:
            yield frame

    def send(self, command: Mapping[str, object]) -> None:
        """Tell the driver something about this channel, when its next frame comes."""
        with self._driver.changed:
            if self._life is not None:
                self._life.commands.append({**command, "channel": self.channel})

    def put(self, frame: Frame) -> None:
        """Take a frame, or count it as dropped; under the driver's ``changed``."""
        assert self._life is not None
        if frame.kind is not FrameKind.SAMPLES:
            self._queue.append(frame)
            return
        lost, dropped = self._lost + frame.lost_samples, self._dropped + frame.dropped_samples
        if len(self._queue) < MAX_QUEUED_FRAMES:
            self._queue.append(replace(frame, lost_samples=lost, dropped_samples=dropped))
            self._lost = self._dropped = 0
            return
        assert self._life.hello is not None
        self._lost = lost
        self._dropped = dropped + len(frame.payload) // int(self._life.hello["bytes_per_sample"])

    def close(self) -> None:
        """Take no more; the last tap of a process ends it. Idempotent, within a second."""
        with self._driver.changed:
            self._closed = True
            self._queue.clear()
            life, self._life = self._life, None
            if life is not None:
                life.taps.pop(self.channel, None)
            self._driver.changed.notify_all()
        if life is not None and not life.taps:
            life.process.close()
            assert life.thread is not None
            if life.thread is not threading.current_thread():
                life.thread.join(THREAD_END_S)

    def _next(self) -> Frame | None:
        with self._driver.changed:
            life = self._life
            if life is None:
                return None
            self._driver.changed.wait_for(lambda: self._closed or self._queue or life.error)
            if self._closed:
                return None
            if self._queue:
                return self._queue.popleft()
            self._check(life)
            return None

    @staticmethod
    def _check(life: _Life) -> None:
        """Raise what ended the process: a new error for each tap, as each is another thread's."""
        if life.error is not None:
            raise type(life.error)(str(life.error), pause_s=life.error.pause_s) from life.error

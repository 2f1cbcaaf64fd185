"""The thread that reads one receiver: opens its source, hands its blocks over, tries again.

::

    make_source ─▶ open ─▶ blocks ─▶ Fifo        a radio offers, and counts what had no room
        ▲            │        │                  a file waits for room
        └── pause ◀──┴────────┘ SourceError
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace

from heimdall_edge.back_off import BackOff
from heimdall_edge.errors import SourceDataError, SourceError
from heimdall_edge.feed import Feed
from heimdall_edge.fifo import Fifo
from heimdall_edge.lockstep import Lockstep
from heimdall_edge.receiver_books import ReceiverBooks
from heimdall_edge.sources.base import IQSource
from heimdall_edge.types import IQBlock, Listening, Observation, ReceiverState

FIRST_PAUSE_S = 1.0
STEADY_AFTER_S = 10.0
"""A source that lasted for so long worked: its next failure is a new one."""
STALLED_AFTER_S = 60.0
"""A radio that gave nothing for so long, and whose source did not notice, is closed from here."""
OPEN_WITHIN_S = 120.0
CLOSE_WITHIN_S = 10.0
"""A source that goes on for longer after it was closed is stuck, and the process with it."""


class Reader:
    """Reads one feed until it ends or is closed.

    ``_guard`` guards the source in use, and the newest block.
    """

    def __init__(
        self,
        feed: Feed,
        *,
        fifo: Fifo[IQBlock],
        books: ReceiverBooks,
        lockstep: Lockstep,
        say: Callable[[Observation | Listening | None], object],
    ) -> None:
        self._feed, self._fifo, self._books = feed, fifo, books
        self._lockstep, self._say = lockstep, say
        self._source = feed.make_source()
        self._guard = threading.Lock()
        self._closing = threading.Event()
        self._newest_block: IQBlock | None = None
        self._unsent: IQBlock | None = None
        """A block that there was no room for, and that carries the counts of those before it."""
        self._opening_since_s: float | None = None
        self._given_up_on_s: float | None = None
        if feed.may_wait:  # before any file starts, so that none runs ahead of one that has not
            lockstep.join(feed.receiver_id)
        self.thread = threading.Thread(target=self._run, name=f"read-{feed.receiver_id}")

    @property
    def progress(self) -> float:
        return self._source.progress

    @property
    def newest_block(self) -> IQBlock | None:
        with self._guard:
            return self._newest_block

    def close(self) -> None:
        """Read no more, and take no more; idempotent, from any thread."""
        self._closing.set()
        self._lockstep.leave(self._feed.receiver_id)
        with self._guard:
            self._source.close()
        self._fifo.close()

    def look(self) -> None:
        """Notice what the reader itself cannot: that its source holds it up for ever."""
        if not self._feed.is_radio or self._closing.is_set() or self._given_up_on_s is not None:
            return
        now_s = time.monotonic()
        opening_since_s = self._opening_since_s
        hangs = opening_since_s is not None and now_s - opening_since_s > OPEN_WITHIN_S
        is_silent = self._books.status.state is ReceiverState.SILENT
        if hangs or (is_silent and self._books.quiet_s > STALLED_AFTER_S):
            self._given_up_on_s = now_s
            with self._guard:
                self._source.close()

    @property
    def is_beyond_help(self) -> bool:
        """Whether its source goes on though it was closed: only the process's end helps."""
        given_up_on_s = self._given_up_on_s
        return given_up_on_s is not None and time.monotonic() - given_up_on_s > CLOSE_WITHIN_S

    def _run(self) -> None:
        back_off = BackOff(first_s=FIRST_PAUSE_S, longest_s=self._feed.longest_pause_s)
        try:
            while not self._closing.is_set():
                began_s = time.monotonic()
                error = self._read_once()
                if error is None:
                    return
                if time.monotonic() - began_s > STEADY_AFTER_S:
                    back_off.succeeded()
                self._books.failed(ReceiverState.RECONNECTING, str(error))
                self._closing.wait(back_off.pause_s(at_least_s=error.pause_s))
                self._renew_source()
            self._books.enter(ReceiverState.DISABLED, "stopped")
        finally:
            self._source.close()
            self._lockstep.leave(self._feed.receiver_id)
            self._fifo.close()
            if self._feed.build_work is None:
                self._say(None)

    def _read_once(self) -> SourceError | None:
        """One life of the source; ``None`` where there is nothing to try again."""
        try:
            self._open()
            self._read_to_the_end()
        except SourceError as error:
            if self._closing.is_set():
                self._books.enter(ReceiverState.DISABLED, "stopped")
                return None
            if self._feed.may_wait or isinstance(error, SourceDataError):
                self._books.failed(ReceiverState.FAILED, str(error))
                return None
            return error
        finally:
            self._opening_since_s = None
        if self._given_up_on_s is not None and not self._closing.is_set():
            return SourceError("no sign of life: its source was closed from outside")
        ended = "stopped" if self._closing.is_set() else "end of the data"
        self._books.enter(ReceiverState.DISABLED, ended)
        return None

    def _open(self) -> None:
        self._opening_since_s = time.monotonic()
        self._source.open()
        self._opening_since_s = None
        self._books.opened(self._source.device)
        if not self._feed.is_radio:
            self._books.gave()

    def _renew_source(self) -> None:
        """Replace a source that failed; the guard keeps ``close`` from missing the new one."""
        self._source.close()
        with self._guard:
            self._source = self._feed.make_source()
            self._given_up_on_s = None
            if self._closing.is_set():
                self._source.close()

    def _read_to_the_end(self) -> None:
        if isinstance(self._source, IQSource):
            for block in self._source.blocks():
                self._books.gave()
                self._hand_over(block)
                if self._closing.is_set():
                    return
        else:
            for said in self._source.observations():
                self._lockstep.reach(self._feed.receiver_id, said.start_utc_ns)
                self._books.gave()
                if isinstance(said, Observation) and not self._feed.may_wait:
                    self._books.heard(said)
                self._say(said)
                if self._closing.is_set():
                    return

    def _hand_over(self, block: IQBlock) -> None:
        """Give a block to the worker: a file waits for room, a radio's block may be dropped."""
        block = _after(self._unsent, block)
        if self._feed.may_wait:
            self._lockstep.reach(self._feed.receiver_id, block.start_utc_ns)
            accepted = self._fifo.put(block)
        else:
            accepted = self._fifo.offer(block)
        self._unsent = None if accepted else block
        if not accepted and not self._closing.is_set():
            self._books.dropped(block.n_samples)
        with self._guard:
            self._newest_block = block


def _after(unsent: IQBlock | None, block: IQBlock) -> IQBlock:
    """A block with the counts of the one before it, if that was dropped."""
    if unsent is None:
        return block
    return replace(
        block,
        lost_samples=block.lost_samples + unsent.lost_samples,
        dropped_samples=block.dropped_samples + unsent.dropped_samples + unsent.n_samples,
        discarded_samples=block.discarded_samples + unsent.discarded_samples,
    )

"""One receiver: a thread that reads it, a thread that works on what it read.

::

    Source ──▶ Reader ──▶ Fifo ──▶ Worker: SignalChain ──▶ Word: Observation, Listening
      ▲          │  radio: offers, and counts what it had to drop
      └── open again, after a while, for ever              both keep the ReceiverBooks

A failure stays with its receiver: a radio is tried again with growing pauses, a file is given up,
and the receiver's status says why. An observation source has no samples and needs no worker.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from heimdall_edge.feed import Feed, Work
from heimdall_edge.fifo import Fifo
from heimdall_edge.locating import Word
from heimdall_edge.lockstep import Lockstep
from heimdall_edge.metrics import Metrics
from heimdall_edge.reader import Reader
from heimdall_edge.receiver_books import ReceiverBooks
from heimdall_edge.types import IQBlock, Listening, Observation, ReceiverStatus
from heimdall_edge.worker import Worker

FIFO_BLOCKS = 16
"""At 2.4 Msps and 65,536 samples a block: 0.4 s of slack."""


class ReceiverThreads:
    """Runs one feed until it ends or is closed."""

    def __init__(
        self,
        feed: Feed,
        *,
        deliver: Callable[[Word], object],
        on_state: Callable[[ReceiverStatus], object],
        lockstep: Lockstep,
        metrics: Metrics,
        utc_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self.receiver_id = feed.receiver_id
        self._is_radio = feed.is_radio
        self._deliver, self._metrics = deliver, metrics
        self._books = ReceiverBooks(
            feed.receiver_id, on_state=on_state, metrics=metrics, utc_ns=utc_ns
        )
        fifo: Fifo[IQBlock] = Fifo(max_items=FIFO_BLOCKS)
        self._reader = Reader(feed, fifo=fifo, books=self._books, lockstep=lockstep, say=self._say)
        self._worker: Worker | None = None
        if feed.build_work is not None:
            self._worker = Worker(
                feed,
                fifo=fifo,
                books=self._books,
                metrics=metrics,
                say=self._say,
                give_up=self._reader.close,
            )

    @property
    def threads(self) -> list[threading.Thread]:
        return [self._reader.thread, *([self._worker.thread] if self._worker else [])]

    def start(self) -> None:
        for thread in self.threads:
            thread.start()

    def close(self) -> None:
        """Read no more; what is in the fifo is still worked on."""
        self._reader.close()

    def prepare(self, work: Work) -> Work:
        """Build a chain for what the receiver gives now, before anything is switched.

        Raises
        ------
        SourceDataError
            The chain cannot work on this receiver's samples.
        """
        block = self.newest_block
        if block is not None:
            work.chain.tune(block)
        return work

    def switch_to(self, work: Work) -> None:
        """Let the worker go on with another chain, from its next block; no sample is lost."""
        assert self._worker is not None
        self._worker.switch_to(work)

    def look(self) -> None:
        """Notice what the receiver's own threads cannot: that nothing happens in them."""
        if self._is_radio:
            self._books.look()
        self._reader.look()

    @property
    def newest_block(self) -> IQBlock | None:
        """What its source gave last, whether or not it was worked on."""
        return self._reader.newest_block

    def status(self) -> ReceiverStatus:
        """How the receiver fares at this moment."""
        return self._books.status

    @property
    def progress(self) -> float:
        """Share of its data that a file has given, 0…1; 0 for a radio, which has no end."""
        return 1.0 if self.has_ended else self._reader.progress

    @property
    def has_ended(self) -> bool:
        return self._books.has_ended

    @property
    def is_alive(self) -> bool:
        """Whether the receiver's threads run, or ended as they should."""
        return self.has_ended or all(thread.is_alive() for thread in self.threads)

    def is_stuck(self, *, limit_s: float) -> bool:
        """Whether a thread is gone, or does not turn though there is work for it."""
        waits_s = self._worker.waits_s if self._worker else 0.0
        return not self.is_alive or waits_s > limit_s or self._reader.is_beyond_help

    def _say(self, said: Observation | Listening | None) -> None:
        if isinstance(said, Observation):
            self._metrics.observations.labels(self.receiver_id).inc()
        self._deliver(Word(self.receiver_id, said))

"""The thread that works on one receiver's samples, and keeps its pace.

::

    Fifo ─▶ calibrate ─▶ SignalChain ─▶ Observation, Listening
                │            ▲ │
                │   Shedding ┘ │  gives up mel, then channels, where the processor does not suffice
                └───▶ Tape ◀───┘  keeps what was heard, where that is wanted
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace

from heimdall_edge import journal
from heimdall_edge.errors import BurstError, SourceDataError
from heimdall_edge.feed import Feed, Work
from heimdall_edge.fifo import Fifo
from heimdall_edge.metrics import Metrics
from heimdall_edge.receiver_books import ReceiverBooks
from heimdall_edge.signal.chain import Heard
from heimdall_edge.types import NS_PER_S, IQBlock, Listening, Observation, ReceiverState

log = journal.logger("receiver")


class Worker:
    """Works on what comes out of a fifo until that is closed and drained.

    The work belongs to this thread alone; another one is put in between two blocks.
    """

    def __init__(
        self,
        feed: Feed,
        *,
        fifo: Fifo[IQBlock],
        books: ReceiverBooks,
        metrics: Metrics,
        say: Callable[[Observation | Listening | None], object],
        give_up: Callable[[], object],
    ) -> None:
        self._feed, self._fifo, self._books = feed, fifo, books
        self._metrics, self._say, self._give_up = metrics, say, give_up
        self._next_work: Work | None = None
        self._turned_s = time.monotonic()
        self._is_working = False
        self.thread = threading.Thread(target=self._run, name=f"work-{feed.receiver_id}")

    def switch_to(self, work: Work) -> None:
        """Go on with another chain from the next block; no sample is lost; from any thread."""
        self._next_work = work

    @property
    def waits_s(self) -> float:
        """For how long blocks have been waiting for a worker that does not turn."""
        is_behind = self._is_working and len(self._fifo) > 0
        return time.monotonic() - self._turned_s if is_behind else 0.0

    def _run(self) -> None:
        assert self._feed.build_work is not None
        work = self._feed.build_work()
        for block in self._fifo:
            self._turned_s, self._is_working = time.monotonic(), True
            switched, self._next_work = self._next_work, None
            if switched is not None:
                self._tell(work.chain.flush(), time.monotonic())
                if work.shedding.limit.given_up:  # the other one begins with all that is wanted
                    self._books.gave_up(switched.shedding.limit, load=work.shedding.load)
                work = switched
            self._process(work, block)
            self._turned_s, self._is_working = time.monotonic(), False
            self._metrics.fifo_blocks.labels(self._feed.receiver_id).set(len(self._fifo))
        self._tell(work.chain.flush(), time.monotonic())
        if self._feed.tape:
            self._feed.tape.end()
        self._say(None)

    def _process(self, work: Work, block: IQBlock) -> None:
        began_s = time.monotonic()
        block = self._feed.calibrate(block)
        if self._feed.tape:
            self._feed.tape.block(block)
        try:
            heard = work.chain.process(block)
        except BurstError as error:
            heard = Heard(refused=(error,))
        except SourceDataError as error:
            self._books.failed(ReceiverState.FAILED, str(error))
            self._give_up()
            return
        self._tell(heard, began_s)
        self._books.account(block, heard.count, work.chain.noise_floor_dbfs)
        if self._feed.is_radio:
            self._keep_pace(work, block, busy_s=time.monotonic() - began_s)

    def _keep_pace(self, work: Work, block: IQBlock, *, busy_s: float) -> None:
        """Give something up where the samples take longer than they lasted, or take it back."""
        limit = work.shedding.worked(
            busy_s=busy_s,
            lasted_s=(block.end_utc_ns - block.start_utc_ns) / NS_PER_S,
            dropped=block.dropped_samples > 0,
        )
        if limit is not None:
            work.chain.limit_to(limit.channels, with_mel=limit.with_mel)
            self._books.gave_up(limit, load=work.shedding.load)

    def _tell(self, heard: Heard, began_s: float) -> None:
        """Pass on what was heard; ``began_s`` is when its last samples were at hand."""
        for error in heard.refused:
            self._metrics.bursts_refused.labels(error.reason).inc()
            log.warning("burst_refused", receiver=self._feed.receiver_id, reason=str(error))
        for observation in heard.observations:
            self._say(replace(observation, detected_monotonic_s=began_s))
            if self._feed.tape:
                self._feed.tape.burst(observation)
        for listening in heard.listening:
            self._say(listening)

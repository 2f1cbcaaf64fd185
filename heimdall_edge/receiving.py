"""One receiver: a thread that reads it, a thread that works on what it read.

::

    Source ──▶ reader ──▶ Fifo ──▶ worker: SignalChain ──▶ Word: Observation, Listening
      ▲          │  radio: offers, and counts what it had to drop
      └── open again, after a while, for ever

A failure stays with its receiver: a radio is tried again with growing pauses, a file is given up,
and the receiver's status says why. An observation source has no samples and needs no worker.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from heimdall_edge import journal
from heimdall_edge.errors import BurstError, SourceDataError, SourceError
from heimdall_edge.fifo import Fifo
from heimdall_edge.locating import Word
from heimdall_edge.lockstep import Lockstep
from heimdall_edge.metrics import Metrics
from heimdall_edge.signal.chain import Heard, SignalChain
from heimdall_edge.sources.base import IQSource, ObservationSource
from heimdall_edge.types import (
    IQBlock,
    Listening,
    Observation,
    ReceiverState,
    ReceiverStatus,
    SampleCount,
)

log = journal.logger("receiver")

FIFO_BLOCKS = 16
"""At 2.4 Msps and 65,536 samples a block: 0.4 s of slack."""
SILENT_AFTER_S = 5.0
FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 60.0


@dataclass(frozen=True, slots=True, eq=False)
class Feed:
    """A receiver as the pipeline runs it."""

    receiver_id: str
    make_source: Callable[[], IQSource | ObservationSource]
    """A source lives once: each attempt gets a new one."""
    may_wait: bool
    """Whether the worker may take its time: a file, no radio."""
    build_chain: Callable[[], SignalChain] | None
    """``None`` for a source of finished observations."""


class ReceiverThreads:
    """Runs one feed until it ends or is closed.

    Shared state is the fifo, and what ``_guard`` guards: status and counts, written by both
    threads, read by whoever publishes them. The chain belongs to the worker alone.
    """

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
        self._feed = feed
        self._source = feed.make_source()
        self._deliver, self._on_state = deliver, on_state
        self._lockstep, self._metrics, self._utc_ns = lockstep, metrics, utc_ns
        self._fifo: Fifo[IQBlock] = Fifo(max_items=FIFO_BLOCKS)
        self._closing = threading.Event()
        self._next_chain: SignalChain | None = None
        self._newest_block: IQBlock | None = None
        self._guard = threading.Lock()
        self._status = ReceiverStatus(feed.receiver_id, ReceiverState.STARTING, utc_ns())
        self._last_block_s = self._worked_s = time.monotonic()
        self._unsent = SampleCount()
        if feed.may_wait:  # before any file starts, so that none runs ahead of one that has not
            lockstep.join(feed.receiver_id)
        names = ["read"] if feed.build_chain is None else ["read", "work"]
        targets = {"read": self._read, "work": self._work}
        self.threads = [
            threading.Thread(target=targets[n], name=f"{n}-{feed.receiver_id}") for n in names
        ]

    # ── from outside ──────────────────────────────────────────────────────────────────────

    def start(self) -> None:
        for thread in self.threads:
            thread.start()

    def prepare(self, chain: SignalChain) -> SignalChain:
        """Build a chain for what the receiver gives now, before anything is switched.

        Raises
        ------
        SourceDataError
            The chain cannot work on this receiver's samples.
        """
        with self._guard:
            block = self._newest_block
        if block is not None:
            chain.tune(block)
        return chain

    def switch_to(self, chain: SignalChain) -> None:
        """Let the worker go on with another chain, from its next block; no sample is lost."""
        self._next_chain = chain

    def close(self) -> None:
        """Read no more; what is in the fifo is still worked on."""
        self._closing.set()
        self._lockstep.leave(self.receiver_id)
        with self._guard:
            self._source.close()
        self._fifo.close()

    @property
    def progress(self) -> float:
        """Share of its data that a file has given, 0…1; 0 for a radio, which has no end."""
        return 1.0 if self.has_ended else self._source.progress

    @property
    def is_alive(self) -> bool:
        """Whether the receiver's threads run, or ended as they should."""
        return self.has_ended or all(thread.is_alive() for thread in self.threads)

    def is_stuck(self, *, limit_s: float) -> bool:
        """Whether a thread is gone, or blocks wait so long for a worker that does not turn."""
        waits_s = time.monotonic() - self._worked_s if len(self._fifo) else 0.0
        return not self.is_alive or waits_s > limit_s

    @property
    def has_ended(self) -> bool:
        with self._guard:
            return self._status.state in {ReceiverState.DISABLED, ReceiverState.FAILED}

    def status(self) -> ReceiverStatus:
        """How the receiver fares at this moment."""
        with self._guard:
            status = self._status
            quiet_s = time.monotonic() - self._last_block_s
        is_radio = self._feed.build_chain is not None and not self._feed.may_wait
        if status.state is ReceiverState.RUNNING and is_radio and quiet_s > SILENT_AFTER_S:
            reason = f"no samples for {quiet_s:.0f} s"
            return replace(status, state=ReceiverState.SILENT, reason=reason)
        return status

    # ── the reader ────────────────────────────────────────────────────────────────────────

    def _read(self) -> None:
        pause_s = FIRST_PAUSE_S
        try:
            while not self._closing.is_set():
                try:
                    self._source.open()
                    self._enter(ReceiverState.RUNNING)
                    self._read_to_the_end()
                    ended = "stopped" if self._closing.is_set() else "end of the data"
                    self._enter(ReceiverState.DISABLED, ended)
                    return
                except SourceError as error:
                    if self._feed.may_wait or isinstance(error, SourceDataError):
                        self._failed(ReceiverState.FAILED, str(error))
                        return
                    if self.status().count.received:
                        pause_s = FIRST_PAUSE_S
                    self._failed(ReceiverState.RECONNECTING, str(error))
                self._closing.wait(pause_s * random.uniform(0.8, 1.2))
                pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
                self._renew_source()
        finally:
            self._source.close()
            self._lockstep.leave(self.receiver_id)
            self._fifo.close()
            if self._feed.build_chain is None:
                self._say(None)

    def _renew_source(self) -> None:
        """Replace a source that failed; the guard keeps ``close`` from missing the new one."""
        self._source.close()
        with self._guard:
            self._source = self._feed.make_source()
            if self._closing.is_set():
                self._source.close()

    def _read_to_the_end(self) -> None:
        if isinstance(self._source, IQSource):
            for block in self._source.blocks():
                self._hand_over(block)
                if self._closing.is_set():
                    return
        else:
            for said in self._source.observations():
                self._lockstep.reach(self.receiver_id, said.start_utc_ns)
                if isinstance(said, Observation):
                    self._metrics.observations.labels(self.receiver_id).inc()
                self._say(said)
                if self._closing.is_set():
                    return

    def _hand_over(self, block: IQBlock) -> None:
        """Give a block to the worker: a file waits for room, a radio's block may be dropped."""
        if self._unsent != SampleCount():
            block = replace(
                block,
                lost_samples=block.lost_samples + self._unsent.lost,
                dropped_samples=block.dropped_samples + self._unsent.dropped,
            )
        if not len(self._fifo):
            self._worked_s = time.monotonic()  # the worker had nothing to do until now
        if self._feed.may_wait:
            self._lockstep.reach(self.receiver_id, block.start_utc_ns)
            accepted = self._fifo.put(block)
        else:
            accepted = self._fifo.offer(block)
        if accepted:
            self._unsent = SampleCount()
        elif not self._closing.is_set():
            dropped = block.dropped_samples + block.n_samples
            self._unsent = SampleCount(lost=block.lost_samples, dropped=dropped)
            log.warning("samples_dropped", receiver=self.receiver_id, samples=dropped)
        with self._guard:
            self._last_block_s = time.monotonic()
            self._newest_block = block
        self._metrics.fifo_blocks.labels(self.receiver_id).set(len(self._fifo))

    # ── the worker ────────────────────────────────────────────────────────────────────────

    def _work(self) -> None:
        assert self._feed.build_chain is not None
        chain = self._feed.build_chain()
        for block in self._fifo:
            switched, self._next_chain = self._next_chain, None
            if switched is not None:
                self._tell(chain.flush(), time.monotonic())
                chain = switched
            self._process(chain, block)
        self._tell(chain.flush(), time.monotonic())
        self._say(None)

    def _process(self, chain: SignalChain, block: IQBlock) -> None:
        began_s = time.monotonic()
        try:
            heard = chain.process(block)
        except BurstError as error:
            heard = Heard(refused=(error,))
        except SourceDataError as error:
            self._failed(ReceiverState.FAILED, str(error))
            self._closing.set()
            self._source.close()
            return
        self._tell(heard, began_s)
        self._worked_s = time.monotonic()
        self._account(block, heard.count, chain.noise_floor_dbfs)

    def _tell(self, heard: Heard, began_s: float) -> None:
        """Pass on what was heard; ``began_s`` is when its last samples were at hand."""
        for error in heard.refused:
            self._metrics.bursts_refused.labels(error.reason).inc()
            log.warning("burst_refused", receiver=self.receiver_id, reason=str(error))
        for observation in heard.observations:
            self._metrics.observations.labels(self.receiver_id).inc()
            self._say(replace(observation, detected_monotonic_s=began_s))
        for listening in heard.listening:
            self._say(listening)

    def _account(self, block: IQBlock, count: SampleCount, floors: dict[str, float]) -> None:
        """Add what became of the samples to the receiver's books."""
        self._metrics.count_samples(self.receiver_id, count)
        for channel, floor_dbfs in floors.items():
            self._metrics.noise_floor.labels(self.receiver_id, channel).set(floor_dbfs)
        with self._guard:
            self._status = replace(
                self._status,
                count=self._status.count + count,
                sample_rate_hz=block.sample_rate_hz,
                gain_db=block.gain_db,
                noise_floor_dbfs=floors,
                clock=block.clock,
                place=block.place or self._status.place,
            )

    def _say(self, said: Observation | Listening | None) -> None:
        self._deliver(Word(self.receiver_id, said))

    # ── its state ─────────────────────────────────────────────────────────────────────────

    def _failed(self, state: ReceiverState, reason: str) -> None:
        self._metrics.receiver_failures.labels(self.receiver_id).inc()
        log.warning("receiver_failed", receiver=self.receiver_id, state=state, reason=reason)
        self._enter(state, reason)

    def _enter(self, state: ReceiverState, reason: str | None = None) -> None:
        with self._guard:
            if self._status.state is ReceiverState.FAILED:
                return
            self._status = replace(
                self._status, state=state, reason=reason, since_utc_ns=self._utc_ns()
            )
            status = self._status
        log.info("receiver_state", receiver=self.receiver_id, state=state, reason=reason or "")
        self._metrics.receiver_is(status)
        self._on_state(status)

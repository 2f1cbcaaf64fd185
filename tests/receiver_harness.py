"""A receiver's threads with scripted sources and chains, for the tests of its parts."""

from __future__ import annotations

import queue
import threading
from collections.abc import Collection, Iterator

import numpy as np

from heimdall_edge.config import Channel
from heimdall_edge.feed import Feed, Work
from heimdall_edge.locating import Word
from heimdall_edge.lockstep import Lockstep
from heimdall_edge.metrics import Metrics
from heimdall_edge.receiving import ReceiverThreads
from heimdall_edge.shedding import Shedding
from heimdall_edge.signal.chain import Heard
from heimdall_edge.types import (
    IQBlock,
    Listening,
    Observation,
    Place,
    ReceiverInfo,
    ReceiverState,
    ReceiverStatus,
    SampleCount,
    frozen_array,
)

RECEIVER = ReceiverInfo("here", "rx", Place(45.0, 7.0))
PATIENCE_S = 10.0


def block(number: int, n_samples: int = 10, lost: int = 0) -> IQBlock:
    return IQBlock(
        samples=frozen_array(np.zeros(2 * n_samples, np.uint8)),
        datatype="cu8",
        sample_rate_hz=1e3,
        center_freq_hz=1e6,
        sample_start=number * n_samples,
        start_utc_ns=number * n_samples * 1_000_000,
        lost_samples=lost,
    )


def observation(number: int) -> Observation:
    return Observation(
        observation_id=str(number),
        receiver=RECEIVER,
        channel="a",
        frequency_hz=1e6,
        start_utc_ns=number,
        duration_s=1.0,
        noise_floor_dbfs=-90.0,
    )


class ScriptedSource:
    """Gives what the test puts into its queue; an exception in it is raised, None is the end."""

    progress = 0.0
    device = None

    def __init__(self, *, may_wait: bool = False, on_open: Exception | None = None) -> None:
        self.may_wait = may_wait
        self.script: queue.SimpleQueue[IQBlock | Exception | None] = queue.SimpleQueue()
        self.taken = threading.Semaphore(0)
        self.closed = threading.Event()
        self._on_open = on_open

    def open(self) -> None:
        if self._on_open:
            raise self._on_open

    def blocks(self) -> Iterator[IQBlock]:
        while (item := self.script.get()) is not None and not self.closed.is_set():
            if isinstance(item, Exception):
                raise item
            yield item
            self.taken.release()

    def close(self) -> None:
        self.closed.set()
        self.script.put(None)


class ScriptedObservations(ScriptedSource):
    observations = ScriptedSource.blocks
    blocks = None  # type: ignore[assignment]


class FakeChain:
    """Says one Listening a block; waits at the gate, if there is one."""

    noise_floor_dbfs = {"a": -90.0}  # noqa: RUF012

    def __init__(self, gate: threading.Semaphore | None = None) -> None:
        self.blocks: list[IQBlock] = []
        self.tuned_to: list[IQBlock] = []
        self.has_block = threading.Semaphore(0)
        self.gate = gate
        self.raises: Exception | None = None
        self.limits: list[tuple[tuple[str, ...], bool]] = []

    def tune(self, block: IQBlock) -> list[object]:
        self.tuned_to.append(block)
        return []

    def process(self, block: IQBlock) -> Heard:
        self.blocks.append(block)
        self.has_block.release()
        if self.gate:
            assert self.gate.acquire(timeout=PATIENCE_S)
        if self.raises:
            raise self.raises
        lost = SampleCount(block.n_samples, block.lost_samples, block.dropped_samples)
        said = Listening(RECEIVER, block.start_utc_ns, block.end_utc_ns, {"a": -80.0})
        return Heard(listening=(said,), count=lost)

    def flush(self) -> Heard:
        return Heard(observations=(observation(99),))

    def limit_to(self, channels: Collection[str], *, with_mel: bool) -> None:
        self.limits.append((tuple(channels), with_mel))


class FakeTape:
    """Remembers what it is told, in order."""

    def __init__(self) -> None:
        self.told: list[object] = []

    def block(self, block: IQBlock) -> None:
        self.told.append(block.sample_start)

    def burst(self, observation: Observation) -> None:
        self.told.append(observation.observation_id)

    def end(self) -> None:
        self.told.append("end")


def work(chain: FakeChain) -> Work:
    channels = [Channel(name="a", frequency_hz=1e6), Channel(name="b", frequency_hz=1e6)]
    return Work(chain, Shedding(channels, has_mel=True))  # type: ignore[arg-type]


class Harness:
    """The threads of one receiver, and what they said."""

    def __init__(
        self,
        *sources: ScriptedSource,
        chain: FakeChain | None = None,
        tape: FakeTape | None = None,
    ) -> None:
        self.made = iter(sources)
        self.words: list[Word] = []
        self.states: list[ReceiverStatus] = []
        self.reached = threading.Condition()
        self.metrics = Metrics()
        self.threads = ReceiverThreads(
            Feed(
                "rx",
                lambda: next(self.made),
                sources[0].may_wait,
                (lambda: work(chain)) if chain else None,
                tape=tape,  # type: ignore[arg-type]
            ),
            deliver=self.words.append,
            on_state=self._on_state,
            lockstep=Lockstep(horizon_s=1.0),
            metrics=self.metrics,
        )

    def _on_state(self, status: ReceiverStatus) -> None:
        with self.reached:
            self.states.append(status)
            self.reached.notify_all()

    def wait_for(self, state: ReceiverState) -> ReceiverStatus:
        with self.reached:
            assert self.reached.wait_for(
                lambda: any(s.state is state for s in self.states), PATIENCE_S
            )
        return next(s for s in self.states if s.state is state)

    def join(self) -> None:
        for thread in self.threads.threads:
            thread.join(PATIENCE_S)
            assert not thread.is_alive(), f"{thread.name} did not end"

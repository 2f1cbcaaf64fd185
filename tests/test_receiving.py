"""One receiver's threads, with scripted sources and chains: nothing lost unsaid, nobody stuck."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from heimdall_edge import receiving
from heimdall_edge.errors import BurstError, SourceDataError, SourceError
from heimdall_edge.locating import Word
from heimdall_edge.lockstep import Lockstep
from heimdall_edge.metrics import Metrics
from heimdall_edge.receiving import FIFO_BLOCKS, Feed, ReceiverThreads
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


class Harness:
    """The threads of one receiver, and what they said."""

    def __init__(self, *sources: ScriptedSource, chain: FakeChain | None = None) -> None:
        self.made = iter(sources)
        self.words: list[Word] = []
        self.states: list[ReceiverStatus] = []
        self.reached = threading.Condition()
        self.metrics = Metrics()
        build: Callable[[], object] | None = (lambda: chain) if chain else None
        self.threads = ReceiverThreads(
            Feed("rx", lambda: next(self.made), sources[0].may_wait, build),  # type: ignore[arg-type]
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


@pytest.fixture(autouse=True)
def no_pause(monkeypatch):
    monkeypatch.setattr(receiving, "FIRST_PAUSE_S", 0.001)


def test_every_block_reaches_the_chain_and_the_end_is_told():
    source, chain = ScriptedSource(), FakeChain()
    harness = Harness(source, chain=chain)
    for item in (block(0), block(1), None):
        source.script.put(item)
    harness.threads.start()
    harness.join()
    assert [b.sample_start for b in chain.blocks] == [0, 10]
    said = [type(w.said).__name__ for w in harness.words]
    assert said == ["Listening", "Listening", "Observation", "NoneType"]
    status = harness.threads.status()
    assert (status.state, status.reason) == (ReceiverState.DISABLED, "end of the data")
    assert status.count == SampleCount(received=20)
    assert status.noise_floor_dbfs == {"a": -90.0}
    assert harness.threads.is_alive
    assert harness.threads.progress == 1.0


def test_a_radio_that_is_not_kept_up_with_drops_whole_blocks_and_says_so_on_the_next():
    gate = threading.Semaphore(0)
    source, chain = ScriptedSource(), FakeChain(gate)
    harness = Harness(source, chain=chain)
    harness.threads.start()
    source.script.put(block(0))
    assert chain.has_block.acquire(timeout=PATIENCE_S)  # the worker holds block 0
    n_blocks = FIFO_BLOCKS + 3
    for number in range(1, n_blocks):
        source.script.put(block(number, lost=1 if number == n_blocks - 1 else 0))
    for _ in range(n_blocks):
        assert source.taken.acquire(timeout=PATIENCE_S)
    for _ in range(n_blocks + 1):
        gate.release()
    for _ in range(FIFO_BLOCKS):
        assert chain.has_block.acquire(timeout=PATIENCE_S)
    source.script.put(block(n_blocks))
    source.script.put(None)
    harness.join()
    assert len(chain.blocks) == FIFO_BLOCKS + 2
    last = chain.blocks[-1]
    assert last.sample_start == n_blocks * 10
    assert (last.dropped_samples, last.lost_samples) == (20, 1)
    count = harness.threads.status().count
    assert (count.received, count.dropped, count.lost) == (10 * (FIFO_BLOCKS + 2), 20, 1)


def test_a_file_waits_for_its_worker_and_drops_nothing():
    gate = threading.Semaphore(0)
    source, chain = ScriptedSource(may_wait=True), FakeChain(gate)
    harness = Harness(source, chain=chain)
    n_blocks = 3 * FIFO_BLOCKS
    for number in range(n_blocks):
        source.script.put(block(number))
    source.script.put(None)
    harness.threads.start()
    for _ in range(n_blocks):
        gate.release()
    harness.join()
    assert [b.sample_start for b in chain.blocks] == [10 * n for n in range(n_blocks)]
    assert harness.threads.status().count == SampleCount(received=10 * n_blocks)


def test_a_radio_that_fails_is_opened_again():
    sources = [
        ScriptedSource(on_open=SourceError("no device")),
        ScriptedSource(),
        ScriptedSource(),
    ]
    sources[1].script.put(block(0))
    sources[1].script.put(SourceError("unplugged"))
    sources[2].script.put(None)
    chain = FakeChain()
    harness = Harness(*sources, chain=chain)
    harness.threads.start()
    harness.join()
    assert [(s.state.value, s.reason) for s in harness.states] == [
        ("reconnecting", "no device"),
        ("running", None),
        ("reconnecting", "unplugged"),
        ("running", None),
        ("disabled", "end of the data"),
    ]
    assert sources[0].closed.is_set()
    assert sources[1].closed.is_set()
    assert len(chain.blocks) == 1


@pytest.mark.parametrize(
    ("may_wait", "error"),
    [(False, SourceDataError("not a recording")), (True, SourceError("no such file"))],
)
def test_what_trying_again_cannot_mend_fails_for_good(may_wait, error):
    harness = Harness(ScriptedSource(may_wait=may_wait, on_open=error), chain=FakeChain())
    harness.threads.start()
    harness.join()
    status = harness.threads.status()
    assert (status.state, status.reason) == (ReceiverState.FAILED, str(error))
    assert harness.words[-1].said is None


def test_a_block_that_cannot_be_used_is_counted_and_the_next_goes_on():
    source, chain = ScriptedSource(), FakeChain()
    chain.raises = BurstError("not_finite", "NaN at sample 3")
    harness = Harness(source, chain=chain)
    source.script.put(block(0))
    source.script.put(None)
    harness.threads.start()
    harness.join()
    value = harness.metrics.registry.get_sample_value(
        "heimdall_edge_bursts_refused_total", {"reason": "not_finite"}
    )
    assert value == 1.0


def test_a_channel_outside_the_band_fails_the_receiver_with_its_reason():
    source, chain = ScriptedSource(), FakeChain()
    chain.raises = SourceDataError("channel 'a' lies outside")
    harness = Harness(source, chain=chain)
    source.script.put(block(0))
    harness.threads.start()
    harness.join()
    status = harness.threads.status()
    assert (status.state, status.reason) == (ReceiverState.FAILED, "channel 'a' lies outside")


def test_a_worker_that_does_not_turn_while_blocks_wait_is_stuck():
    gate = threading.Semaphore(0)
    source, chain = ScriptedSource(), FakeChain(gate)
    harness = Harness(source, chain=chain)
    harness.threads.start()
    source.script.put(block(0))
    assert chain.has_block.acquire(timeout=PATIENCE_S)
    assert not harness.threads.is_stuck(limit_s=0.0)  # nothing waits
    source.script.put(block(1))
    assert source.taken.acquire(timeout=PATIENCE_S)
    assert source.taken.acquire(timeout=PATIENCE_S)
    assert harness.threads.is_stuck(limit_s=0.0)
    assert not harness.threads.is_stuck(limit_s=60.0)
    gate.release()
    gate.release()
    source.script.put(None)
    harness.join()
    assert not harness.threads.is_stuck(limit_s=0.0)


def test_closing_ends_a_source_that_gives_nothing():
    source = ScriptedSource()
    harness = Harness(source, chain=FakeChain())
    harness.threads.start()
    harness.wait_for(ReceiverState.RUNNING)
    harness.threads.close()
    harness.join()
    assert harness.threads.status().reason == "stopped"


def test_closing_ends_a_file_that_waits_for_room():
    gate = threading.Semaphore(0)
    source, chain = ScriptedSource(may_wait=True), FakeChain(gate)
    harness = Harness(source, chain=chain)
    for number in range(FIFO_BLOCKS + 5):
        source.script.put(block(number))
    harness.threads.start()
    assert chain.has_block.acquire(timeout=PATIENCE_S)
    harness.threads.close()
    for _ in range(FIFO_BLOCKS + 5):
        gate.release()
    harness.join()


def test_another_chain_takes_over_between_two_blocks_and_no_block_is_lost():
    gate = threading.Semaphore(0)
    source, old, new = ScriptedSource(), FakeChain(gate), FakeChain()
    harness = Harness(source, chain=old)
    harness.threads.start()
    source.script.put(block(0))
    assert old.has_block.acquire(timeout=PATIENCE_S)
    harness.threads.switch_to(harness.threads.prepare(new))  # type: ignore[arg-type]
    source.script.put(block(1))
    source.script.put(None)
    gate.release()
    harness.join()
    assert [b.sample_start for b in old.blocks] == [0]
    assert [b.sample_start for b in new.blocks] == [10]
    assert [b.sample_start for b in new.tuned_to] == [0]


def test_finished_observations_need_no_worker():
    source = ScriptedObservations(may_wait=True)
    harness = Harness(source)
    source.script.put(observation(1))  # type: ignore[arg-type]
    source.script.put(None)
    harness.threads.start()
    harness.join()
    assert [w.said.observation_id for w in harness.words if w.said] == ["1"]
    assert harness.words[-1].said is None


def test_a_radio_without_samples_is_silent_and_says_for_how_long(monkeypatch):
    source = ScriptedSource()
    harness = Harness(source, chain=FakeChain())
    harness.threads.start()
    harness.wait_for(ReceiverState.RUNNING)
    monkeypatch.setattr(receiving, "SILENT_AFTER_S", -1.0)
    status = harness.threads.status()
    assert status.state is ReceiverState.SILENT
    assert status.reason == "no samples for 0 s"
    harness.threads.close()
    harness.join()

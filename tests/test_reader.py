"""The thread that reads a receiver: tried again or not, dropped and counted, closed at any time."""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest

from heimdall_edge import reader, receiver_books
from heimdall_edge.errors import SourceDataError, SourceError
from heimdall_edge.receiving import FIFO_BLOCKS
from heimdall_edge.types import ClockSource, ClockState, Place, ReceiverState, SampleCount

from .receiver_harness import (
    PATIENCE_S,
    FakeChain,
    Harness,
    ScriptedObservations,
    ScriptedSource,
    block,
    observation,
)


@pytest.fixture(autouse=True)
def no_pause(monkeypatch):
    monkeypatch.setattr(reader, "FIRST_PAUSE_S", 0.001)


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
    sources[2].script.put(block(1))
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
    assert len(chain.blocks) == 2


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


def test_closing_ends_a_source_that_gives_nothing():
    source = ScriptedSource()
    harness = Harness(source, chain=FakeChain())
    source.script.put(block(0))
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


def test_finished_observations_need_no_worker():
    source = ScriptedObservations(may_wait=True)
    harness = Harness(source)
    source.script.put(observation(1))  # type: ignore[arg-type]
    source.script.put(None)
    harness.threads.start()
    harness.join()
    assert [w.said.observation_id for w in harness.words if w.said] == ["1"]
    assert harness.words[-1].said is None


def test_a_volunteers_server_is_left_alone_for_as_long_as_it_asked(monkeypatch):
    pauses: list[float] = []
    sources = [
        ScriptedSource(on_open=SourceError("too many users", pause_s=600.0)),
        ScriptedSource(),
    ]
    harness = Harness(*sources, chain=FakeChain())
    closing = harness.threads._reader._closing
    monkeypatch.setattr(closing, "wait", lambda pause_s: pauses.append(pause_s))
    sources[1].script.put(None)
    harness.threads.start()
    harness.join()
    assert len(pauses) == 1
    assert 600.0 <= pauses[0] <= 720.0


def test_a_dropped_block_hands_all_its_counts_on():
    gate = threading.Semaphore(0)
    source, chain = ScriptedSource(), FakeChain(gate)
    harness = Harness(source, chain=chain)
    harness.threads.start()
    source.script.put(block(0))
    assert chain.has_block.acquire(timeout=PATIENCE_S)
    for number in range(1, FIFO_BLOCKS + 2):
        source.script.put(replace(block(number), lost_samples=1, discarded_samples=2))
    for _ in range(FIFO_BLOCKS + 2):
        assert source.taken.acquire(timeout=PATIENCE_S)
    for _ in range(2 * FIFO_BLOCKS):
        gate.release()
    for _ in range(FIFO_BLOCKS):
        assert chain.has_block.acquire(timeout=PATIENCE_S)
    source.script.put(replace(block(FIFO_BLOCKS + 2), lost_samples=4, discarded_samples=8))
    source.script.put(None)
    harness.join()
    last = chain.blocks[-1]
    assert (last.lost_samples, last.dropped_samples, last.discarded_samples) == (5, 10, 10)


def test_a_radio_that_falls_silent_says_so_and_says_when_it_is_back(monkeypatch):
    monkeypatch.setattr(receiver_books, "SILENT_AFTER_S", 0.0)
    source = ScriptedSource()
    harness = Harness(source, chain=FakeChain())
    source.script.put(block(0))
    harness.threads.start()
    harness.wait_for(ReceiverState.RUNNING)
    assert source.taken.acquire(timeout=PATIENCE_S)
    harness.threads.look()
    assert harness.threads.status().state is ReceiverState.SILENT
    assert harness.threads.status().reason == "no samples for 0 s"
    source.script.put(block(1))
    source.script.put(None)
    harness.join()
    assert [s.state.value for s in harness.states] == ["running", "silent", "running", "disabled"]


def test_a_silent_source_that_does_not_notice_is_closed_from_outside_and_replaced(monkeypatch):
    monkeypatch.setattr(receiver_books, "SILENT_AFTER_S", 0.0)
    monkeypatch.setattr(reader, "STALLED_AFTER_S", 0.0)
    sources = [ScriptedSource(), ScriptedSource()]
    harness = Harness(*sources, chain=FakeChain())
    sources[0].script.put(block(0))
    sources[1].script.put(block(1))
    sources[1].script.put(None)
    harness.threads.start()
    assert sources[0].taken.acquire(timeout=PATIENCE_S)
    harness.threads.look()
    harness.join()
    assert sources[0].closed.is_set()
    reasons = [s.reason for s in harness.states if s.state is ReceiverState.RECONNECTING]
    assert reasons == ["no sign of life: its source was closed from outside"]


def test_a_source_that_hangs_in_open_is_closed_from_outside(monkeypatch):
    monkeypatch.setattr(reader, "OPEN_WITHIN_S", 0.0)

    class Hanging(ScriptedSource):
        opening = threading.Event()

        def open(self) -> None:
            self.opening.set()
            assert self.closed.wait(PATIENCE_S)
            raise SourceError("closed while it was opened")

    source, after = Hanging(), ScriptedSource()
    after.script.put(None)
    harness = Harness(source, after, chain=FakeChain())
    harness.threads.start()
    assert source.opening.wait(PATIENCE_S)
    harness.threads.look()
    harness.join()
    assert harness.states[0].reason == "closed while it was opened"


def test_a_source_that_goes_on_after_it_was_closed_is_stuck(monkeypatch):
    monkeypatch.setattr(receiver_books, "SILENT_AFTER_S", 0.0)
    monkeypatch.setattr(reader, "STALLED_AFTER_S", 0.0)
    monkeypatch.setattr(reader, "CLOSE_WITHIN_S", 0.0)

    class Deaf(ScriptedSource):
        def close(self) -> None:
            self.closed.set()

    source, after = Deaf(), ScriptedSource()
    after.script.put(None)
    harness = Harness(source, after, chain=FakeChain())
    source.script.put(block(0))
    harness.threads.start()
    assert source.taken.acquire(timeout=PATIENCE_S)
    assert not harness.threads.is_stuck(limit_s=60.0)
    harness.threads.look()
    assert harness.threads.is_stuck(limit_s=60.0)
    source.script.put(None)
    harness.join()


def test_closing_while_it_waits_to_try_again_ends_it():
    harness = Harness(ScriptedSource(on_open=SourceError("away", pause_s=600.0)), chain=FakeChain())
    harness.threads.start()
    harness.wait_for(ReceiverState.RECONNECTING)
    harness.made = iter([ScriptedSource()])
    harness.threads.close()
    harness.join()
    assert harness.threads.status().reason == "stopped"


def test_a_feed_of_levels_tells_its_clock_place_and_floors_by_what_it_hears():
    source = ScriptedObservations()
    harness = Harness(source)
    for number, channel, floor_dbfs in ((1, "a", -90.0), (2, "b", None), (3, "c", -80.0)):
        heard = replace(
            observation(number),
            channel=channel,
            noise_floor_dbfs=floor_dbfs,
            clock=ClockState(ClockSource.NTP, sigma_s=0.5),
        )
        source.script.put(heard)  # type: ignore[arg-type]
    source.script.put(None)
    harness.threads.start()
    harness.join()
    status = harness.threads.status()
    assert status.noise_floor_dbfs == {"a": -90.0, "c": -80.0}
    assert status.clock.sigma_s == 0.5
    assert status.place == Place(45.0, 7.0)

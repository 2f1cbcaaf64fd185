"""The thread that works on samples: what becomes of a block, who takes over, what is given up."""

from __future__ import annotations

import threading
import time

from heimdall_edge.errors import BurstError, SourceDataError
from heimdall_edge.signal.chain import Heard
from heimdall_edge.types import IQBlock, ReceiverState

from .receiver_harness import (
    PATIENCE_S,
    FakeChain,
    FakeTape,
    Harness,
    ScriptedSource,
    block,
    work,
)


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


def test_another_chain_takes_over_between_two_blocks_and_no_block_is_lost():
    gate = threading.Semaphore(0)
    source, old, new = ScriptedSource(), FakeChain(gate), FakeChain()
    harness = Harness(source, chain=old)
    harness.threads.start()
    source.script.put(block(0))
    assert old.has_block.acquire(timeout=PATIENCE_S)
    harness.threads.switch_to(harness.threads.prepare(work(new)))  # type: ignore[arg-type]
    source.script.put(block(1))
    source.script.put(None)
    gate.release()
    harness.join()
    assert [b.sample_start for b in old.blocks] == [0]
    assert [b.sample_start for b in new.blocks] == [10]
    assert [b.sample_start for b in new.tuned_to] == [0]


class SlowChain(FakeChain):
    """Takes a little longer for a block than its samples last."""

    def process(self, block: IQBlock) -> Heard:
        time.sleep(1.2 * block.n_samples / block.sample_rate_hz)
        return super().process(block)


def test_a_worker_that_cannot_keep_pace_gives_up_mel_first_and_says_so():
    source, chain = ScriptedSource(), SlowChain()
    harness = Harness(source, chain=chain)
    harness.threads.start()
    for number in range(5):
        source.script.put(block(number, n_samples=500))
    for _ in range(5):
        assert chain.has_block.acquire(timeout=PATIENCE_S)
    source.script.put(None)
    harness.join()
    assert chain.limits == [(("a", "b"), False)]
    assert harness.threads.status().given_up == ("mel spectrograms",)
    assert any(s.given_up and s.state is ReceiverState.RUNNING for s in harness.states)
    value = harness.metrics.registry.get_sample_value(
        "heimdall_edge_given_up_steps", {"receiver": "rx"}
    )
    assert value == 1.0


def test_a_file_is_never_thinned_out_however_slow_its_worker():
    source, chain = ScriptedSource(may_wait=True), SlowChain()
    harness = Harness(source, chain=chain)
    for number in range(5):
        source.script.put(block(number, n_samples=500))
    source.script.put(None)
    harness.threads.start()
    harness.join()
    assert chain.limits == []


def test_a_tape_gets_each_block_before_what_was_heard_in_it_and_the_end_last():
    source, tape = ScriptedSource(), FakeTape()
    harness = Harness(source, chain=FakeChain(), tape=tape)
    for number in range(2):
        source.script.put(block(number))
    source.script.put(None)
    harness.threads.start()
    harness.join()
    assert tape.told == [0, 10, "99", "end"]


def test_what_was_given_up_is_given_up_no_longer_once_another_chain_took_over():
    source, old, new = ScriptedSource(), SlowChain(), FakeChain()
    harness = Harness(source, chain=old)
    harness.threads.start()
    for number in range(5):
        source.script.put(block(number, n_samples=500))
    for _ in range(5):
        assert old.has_block.acquire(timeout=PATIENCE_S)
    harness.threads.switch_to(work(new))
    source.script.put(block(5, n_samples=500))
    source.script.put(None)
    harness.join()
    assert old.limits == [(("a", "b"), False)]
    assert len(new.blocks) == 1
    assert harness.threads.status().given_up == ()
    assert any(s.given_up for s in harness.states), "it was said while it held"

"""One receiver's threads together: nothing lost unsaid, nobody stuck."""

from __future__ import annotations

from heimdall_edge.types import ReceiverState, SampleCount

from .receiver_harness import (
    FakeChain,
    Harness,
    ScriptedSource,
    block,
)


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

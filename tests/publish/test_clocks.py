"""The steady clock."""

from __future__ import annotations

from heimdall_edge.publish.clocks import Clocks
from heimdall_edge.types import NS_PER_S


def test_a_step_of_utc_does_not_move_the_steady_clock() -> None:
    utc, monotonic = [1_790_000_000 * NS_PER_S], [50.0]
    clocks = Clocks(utc_ns=lambda: utc[0], monotonic_s=lambda: monotonic[0])
    assert clocks.steady_ns() == utc[0]
    began = utc[0]
    utc[0] += 3 * 3600 * NS_PER_S
    monotonic[0] += 2.5
    assert clocks.steady_ns() == began + 2_500_000_000
    assert clocks.utc_ns() == utc[0]

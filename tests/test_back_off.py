"""Pauses between attempts: doubled, capped, spread, and never shorter than was asked for."""

from __future__ import annotations

import pytest

from heimdall_edge.back_off import JITTER, BackOff


def test_pauses_double_up_to_the_longest():
    back_off = BackOff(first_s=1.0, longest_s=10.0, chance=lambda: 0.0)
    assert [back_off.pause_s() for _ in range(6)] == [1.0, 2.0, 4.0, 8.0, 10.0, 10.0]


def test_a_success_begins_anew():
    back_off = BackOff(first_s=1.0, longest_s=10.0, chance=lambda: 0.0)
    for _ in range(4):
        back_off.pause_s()
    back_off.succeeded()
    assert back_off.pause_s() == 1.0


@pytest.mark.parametrize("chance", [0.0, 0.5, 1.0])
def test_who_asked_for_longer_gets_it_also_beyond_the_cap(chance):
    back_off = BackOff(first_s=1.0, longest_s=10.0, chance=lambda: chance)
    assert back_off.pause_s(at_least_s=600.0) == 600.0 * (1 + JITTER * chance)


def test_receivers_that_failed_together_do_not_come_back_together():
    pauses = {BackOff(first_s=1.0, longest_s=10.0).pause_s() for _ in range(20)}
    assert len(pauses) > 10
    assert all(1.0 <= pause_s <= 1.0 + JITTER for pause_s in pauses)

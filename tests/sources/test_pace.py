from __future__ import annotations

import threading
import time

import pytest

from heimdall_edge.sources.pace import LONGEST_WAIT_S, in_real_time

NS = 1_000_000_000


class FakeClock:
    """Time that passes only while somebody waits, or works."""

    def __init__(self, close_at_s: float = float("inf")) -> None:
        self.time_s, self.waits, self.close_at_s = 5_000.0, [], 5_000.0 + close_at_s

    def now_s(self) -> float:
        return self.time_s

    def wait(self, timeout_s: float) -> bool:
        self.waits.append(timeout_s)
        self.time_s = min(self.time_s + timeout_s, self.close_at_s)
        return self.time_s >= self.close_at_s


def play(items, clock, work_s=0.0):
    """(item, seconds after the start at which it was given) of items (begin_s, end_s)."""
    given = []
    for item in in_real_time(
        items,
        begin_utc_ns=lambda item: round(item[0] * NS),
        due_utc_ns=lambda item: round(item[1] * NS),
        wait=clock.wait,
        now_s=clock.now_s,
    ):
        given.append((item, pytest.approx(clock.time_s - 5_000.0)))
        clock.time_s += work_s
    return given


def test_an_item_is_given_when_it_was_complete():
    items = [(100.0, 100.5), (100.5, 101.0), (107.0, 107.5)]
    assert play(items, FakeClock()) == list(zip(items, [0.5, 1.0, 7.5], strict=True))


def test_who_is_late_gets_the_next_items_at_once_until_they_are_on_time():
    items = [(float(i), i + 1.0) for i in range(4)]
    clock = FakeClock()
    given = play(items, clock, work_s=1.5)
    assert [when for _, when in given] == [1.0, 2.5, 4.0, 5.5]
    assert clock.waits == [1.0]


def test_items_that_go_back_in_time_are_given_at_once():
    assert [when for _, when in play([(10.0, 11.0), (3.0, 4.0)], FakeClock())] == [1.0, 1.0]


def test_a_gap_of_days_is_waited_for_in_steps_that_any_wait_can_take():
    clock = FakeClock()
    play([(0.0, 0.0), (3 * 86_400.0, 3 * 86_400.0)], clock)
    assert sum(clock.waits) == pytest.approx(3 * 86_400.0)
    assert max(clock.waits) <= LONGEST_WAIT_S


def test_closing_while_waiting_ends_the_iteration():
    items = [(0.0, 1.0), (1.0, 1_000.0)]
    assert play(items, FakeClock(close_at_s=10.0)) == [((0.0, 1.0), 1.0)]


def test_nothing_comes_of_nothing():
    assert play([], FakeClock()) == []


def test_with_the_real_clock_the_last_item_comes_no_sooner_than_it_was_complete():
    began_s = time.monotonic()
    items = in_real_time(
        [0, 50_000_000],
        begin_utc_ns=int,
        due_utc_ns=int,
        wait=threading.Event().wait,
    )
    assert list(items) == [0, 50_000_000]
    assert time.monotonic() - began_s >= 0.05

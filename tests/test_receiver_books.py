"""A receiver's books: transitions are published, drops are said, nothing is forgotten."""

from __future__ import annotations

import logging

import numpy as np
import pytest

from heimdall_edge.metrics import Metrics
from heimdall_edge.receiver_books import DROP_LINES_EVERY_S, SILENT_AFTER_S, ReceiverBooks
from heimdall_edge.shedding import Limit
from heimdall_edge.types import (
    ClockSource,
    ClockState,
    FrequencyError,
    IQBlock,
    ReceiverState,
    ReceiverStatus,
    SampleCount,
)


class Rig:
    def __init__(self) -> None:
        self.now_s = 100.0
        self.states: list[ReceiverStatus] = []
        self.metrics = Metrics()
        self.books = ReceiverBooks(
            "rx",
            on_state=self.states.append,
            metrics=self.metrics,
            utc_ns=lambda: 7,
            monotonic_s=lambda: self.now_s,
        )

    def value(self, series: str, **labels: str) -> float | None:
        return self.metrics.registry.get_sample_value(
            f"heimdall_edge_{series}", {"receiver": "rx", **labels}
        )


@pytest.fixture
def rig() -> Rig:
    return Rig()


def test_a_receiver_runs_once_it_gives_something_and_is_silent_when_it_stops(rig):
    rig.books.opened("R820T, serial 7")
    assert rig.books.status.state is ReceiverState.STARTING
    rig.books.gave()
    rig.books.gave()
    rig.now_s += SILENT_AFTER_S + 1
    rig.books.look()
    rig.books.look()
    rig.books.gave()
    assert [(s.state.value, s.reason) for s in rig.states] == [
        ("running", None), ("silent", "no samples for 3 s"), ("running", None),
    ]  # fmt: skip
    assert rig.states[0].device == "R820T, serial 7"


def test_one_that_failed_for_good_stays_so(rig):
    rig.books.failed(ReceiverState.FAILED, "driver=null never streams")
    rig.books.enter(ReceiverState.DISABLED, "stopped")
    assert rig.books.status.reason == "driver=null never streams"
    assert rig.books.has_ended
    assert rig.value("receiver_failures_total") == 1.0
    assert rig.value("receiver_state", state="failed") == 1.0


def test_dropped_samples_are_said_at_once_and_then_in_sum(rig, caplog):
    with caplog.at_level(logging.WARNING, logger="heimdall_edge"):
        for _ in range(100):
            rig.books.dropped(10)
        rig.now_s += DROP_LINES_EVERY_S
        rig.books.dropped(10)
    assert [record.fields["samples"] for record in caplog.records] == [10, 1000]


def test_what_became_of_samples_adds_up_in_status_and_metrics(rig):
    clock = ClockState(ClockSource.NTP, sigma_s=0.004, locked=True)
    block = IQBlock(
        samples=np.zeros(20, np.uint8), datatype="cu8", sample_rate_hz=1e3, center_freq_hz=1e6,
        sample_start=0, start_utc_ns=0, discarded_samples=5, clock=clock,
        frequency_error=FrequencyError(12.5, 0.5), gain_db=28.0,
    )  # fmt: skip
    for _ in range(2):
        rig.books.account(block, SampleCount(10, 1, 2, 3), {"a": -90.0})
    status = rig.books.status
    assert status.count == SampleCount(20, 2, 4, 6)
    assert status.frequency_error == FrequencyError(12.5, 0.5)
    rig.metrics.receiver_is(status)
    wanted = {
        "samples_received_total": 20, "samples_lost_total": 2, "samples_dropped_total": 4,
        "samples_clipped_total": 6, "samples_discarded_total": 10, "frequency_error_ppm": 12.5,
        "frequency_error_sigma_ppm": 0.5, "clock_sigma_seconds": 0.004, "clock_locked": 1,
    }  # fmt: skip
    assert {name: rig.value(name) for name in wanted} == wanted
    assert rig.value("noise_floor_dbfs", channel="a") == -90.0


def test_what_fails_again_for_the_same_reason_is_counted_and_said_once(rig, caplog):
    with caplog.at_level(logging.INFO, logger="heimdall_edge"):
        for reason in ("no dongle", "no dongle", "no permission", "no dongle"):
            rig.books.failed(ReceiverState.RECONNECTING, reason)
    said = [(record.levelname, record.fields["reason"]) for record in caplog.records]
    assert said == [("WARNING", r) for r in ("no dongle", "no permission", "no dongle")]
    assert [s.reason for s in rig.states] == ["no dongle", "no permission", "no dongle"]
    assert rig.value("receiver_failures_total") == 4.0


def test_giving_up_more_is_a_warning_and_taking_back_is_not(rig, caplog):
    mel, both = ("mel spectrograms",), ("mel spectrograms", "channel b")
    with caplog.at_level(logging.INFO, logger="heimdall_edge"):
        for given_up in (mel, both, mel, ()):
            rig.books.gave_up(Limit(("a",), with_mel=False, given_up=given_up), load=1.2)
    assert [(r.levelname, r.getMessage()) for r in caplog.records] == [
        ("WARNING", "overloaded"), ("WARNING", "overloaded"),
        ("INFO", "overload_eases"), ("INFO", "overload_eases"),
    ]  # fmt: skip
    assert [s.given_up for s in rig.states] == [mel, both, mel, ()]
    assert rig.value("given_up_steps") == 0.0

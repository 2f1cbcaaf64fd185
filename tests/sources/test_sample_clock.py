"""SampleClock: every sample counted, stamps that follow UTC, losses that nobody announced."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heimdall_edge.bench.arrivals import MODELS, ScriptedHost, chunks
from heimdall_edge.sources.sample_clock import (
    FREE_PPM,
    NETWORK,
    SLEW,
    STEP_TOLD_S,
    USB,
    SampleClock,
)
from heimdall_edge.types import ClockSource, ClockState

S = 1_000_000_000
PATHS = {"usb": USB, "busy host": USB, "wifi": NETWORK, "internet": NETWORK}
UNSTEERED = ClockState()


class Receiver:
    """A stream through a clock."""

    def __init__(self, name="usb", *, rate_hz=2_400_000.0, chunk=65_536, seconds=60.0, **settings):
        self.rate_hz, self.chunk, self.chunk_s = rate_hz, chunk, chunk / rate_hz
        self.host = settings.pop("host", ScriptedHost())
        path = settings.pop("path", PATHS[name])
        rng = np.random.default_rng(settings.pop("seed", 0))
        self.lost_s = {self.number(s): v for s, v in settings.pop("lost_s", {}).items()}
        self.stream = chunks(
            MODELS[name],
            rng=rng,
            n_chunks=self.number(seconds),
            chunk_s=self.chunk_s,
            lost_s=self.lost_s,
            **settings,
        )
        self.clock = SampleClock(sample_rate_hz=rate_hz, host=self.host, path=path)

    def number(self, seconds):
        return round(seconds / self.chunk_s)

    def arrivals(self, *, known=False):
        """All that the clock says; ``known``: the losses are announced."""
        told = []
        for i, arrival_ns in enumerate(self.stream.arrival_ns):
            self.host.now_ns = arrival_ns
            lost = round(self.lost_s.get(i, 0.0) * self.rate_hz) if known else 0
            told.append(self.clock.arrived(self.chunk, arrival_ns, lost_samples=lost))
        return told

    def stamp_errors_s(self, told):
        since_s = np.array([(a.start_utc_ns - self.host.utc_offset_ns) / 1e9 for a in told])
        return since_s - self.stream.begin_s

    def found(self, told):
        """[(seconds after the start, seconds lost)]"""
        return [
            (i * self.chunk_s, a.lost_samples / self.rate_hz)
            for i, a in enumerate(told)
            if a.lost_samples
        ]


# ── counting ──────────────────────────────────────────────────────────────────────────────


def assert_counted(told, sizes):
    count = 0
    for arrival, size in zip(told, sizes, strict=True):
        assert arrival.sample_start == count + arrival.lost_samples
        count = arrival.sample_start + size


@given(
    st.lists(
        st.tuples(st.integers(0, 10**6), st.integers(0, 10**10), st.integers(0, 10**7)),
        min_size=1,
        max_size=60,
    )
)
@settings(max_examples=200)
def test_whatever_comes_each_sample_is_counted_once_and_stamps_never_go_back(steps):
    host = ScriptedHost()
    clock = SampleClock(sample_rate_hz=2_048_000.0, host=host)
    told = []
    for n_samples, waited_ns, lost in steps:
        host.now_ns += waited_ns
        told.append(clock.arrived(n_samples, host.now_ns, lost_samples=lost))
        assert told[-1].lost_samples >= lost
    assert_counted(told, [n for n, _, _ in steps])
    assert all(b.start_utc_ns >= a.start_utc_ns for a, b in pairwise(told))


def test_announced_losses_are_counted_and_stamped_at_once_and_not_found_again():
    receiver = Receiver(lost_s={30: 0.4, 40: 0.02}, seconds=90)
    told = receiver.arrivals(known=True)
    assert [round(lost_s, 6) for _, lost_s in receiver.found(told)] == [0.4, 0.02]
    assert np.abs(receiver.stamp_errors_s(told))[receiver.number(5) :].max() < 3e-3
    assert_counted(told, [receiver.chunk] * len(told))


def test_a_negative_count_is_refused():
    clock = SampleClock(sample_rate_hz=1e6, host=ScriptedHost())
    with pytest.raises(ValueError, match="negative"):
        clock.arrived(1, 0, lost_samples=-1)


@pytest.mark.parametrize("rate_hz", [0.0, -1.0, float("nan"), float("inf")])
def test_an_impossible_rate_is_refused(rate_hz):
    with pytest.raises(ValueError, match="expected a positive number"):
        SampleClock(sample_rate_hz=rate_hz, host=ScriptedHost())


def test_after_years_a_sample_is_still_stamped_to_the_nanosecond():
    """The real rate of an RTL-SDR's divider is no whole number; hours come as one chunk each."""
    rate_hz = 28.8e6 * 2**22 / 50_331_648 / 1.0000003
    numerator, denominator = rate_hz.as_integer_ratio()
    host, count = ScriptedHost(), 0
    clock = SampleClock(sample_rate_hz=rate_hz, host=host)
    for _ in range(20_000):
        count += 8_640_000_000
        host.now_ns = count * S * denominator // numerator
        arrival = clock.arrived(8_640_000_000, host.now_ns)
    truth_ns = arrival.sample_start * S * denominator // numerator
    assert arrival.sample_start == count - 8_640_000_000
    assert abs(arrival.start_utc_ns - host.utc_offset_ns - truth_ns) <= 2


# ── losses that nobody announces ──────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("ppm", [-200.0, 3.0, 200.0])
def test_a_loss_of_sixty_milliseconds_is_found_within_five_seconds(name, ppm):
    receiver = Receiver(name, ppm=ppm, lost_s={65: 0.06}, seconds=100, seed=4)
    told = receiver.arrivals()
    found = receiver.found(told)
    assert len(found) == 1
    assert 65 < found[0][0] < 70
    assert found[0][1] == pytest.approx(0.06, abs=0.008)
    assert_counted(told, [receiver.chunk] * len(told))


def test_on_usb_one_lost_buffer_of_fifteen_milliseconds_is_found():
    receiver = Receiver(chunk=8_192, lost_s={100: 0.015}, seconds=140)
    found = receiver.found(receiver.arrivals())
    assert [round(lost_s, 3) for _, lost_s in found] == [0.015]


@pytest.mark.parametrize("name", MODELS)
def test_there_is_no_false_alarm_in_a_quarter_of_a_million_chunks(name):
    chunk = 65_536 if name in {"wifi", "internet"} else 16_384
    receiver = Receiver(name, chunk=chunk, ppm=-60.0, seed=8, seconds=250_000 * chunk / 2.4e6)
    assert receiver.found(receiver.arrivals()) == []


@pytest.mark.parametrize(
    ("rate_hz", "chunk"), [(12_000.0, 512), (20_250.0, 512), (250e3, 16_384), (3_200_000.0, 8_192)]
)
def test_any_rate_will_do(rate_hz, chunk):
    receiver = Receiver(rate_hz=rate_hz, chunk=chunk, ppm=40.0, lost_s={70: 0.1}, seconds=120)
    told = receiver.arrivals()
    found = receiver.found(told)
    assert [round(lost_s, 2) for _, lost_s in found] == [0.1]
    assert told[-1].frequency_error.ppm == pytest.approx(40.0, abs=3)


# ── the crystal ───────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", MODELS)
def test_the_true_ppm_lies_within_two_sigma_about_as_often_as_it_should(name):
    """The host's own crystal is off as well: by 1 ppm (σ), as it is said to be."""
    rng, scores = np.random.default_rng(11), []
    for seed in range(25):
        ppm, host_ppm = rng.normal(0, 80), rng.normal(0, 1.0)
        receiver = Receiver(name, chunk=131_072, ppm=ppm - host_ppm, seconds=400, seed=seed)
        told = receiver.arrivals()[-1].frequency_error
        if told is not None:
            scores.append((told.ppm - ppm) / told.sigma_ppm)
    assert len(scores) >= 20, "after seven minutes it is mostly known, over the internet too"
    assert np.mean(np.abs(scores) < 2) >= 0.88
    assert np.sqrt(np.mean(np.square(scores))) < 1.4


def test_nothing_is_said_of_the_crystal_before_it_is_known():
    told = Receiver(seconds=60).arrivals()
    assert told[100].frequency_error is None
    assert told[-1].frequency_error is not None


def test_losses_do_not_disturb_the_ppm():
    losses = {60.0 + 20 * i: 0.1 for i in range(10)}
    told = Receiver(ppm=25.0, lost_s=losses, seconds=300).arrivals()
    assert len({a.sample_start for a in told}) == len(told)
    for arrival in told[len(told) // 2 :: 100]:
        assert arrival.frequency_error.ppm == pytest.approx(25.0, abs=1.0)


def test_a_host_that_nobody_steers_makes_the_sigma_that_of_its_own_quartz():
    told = Receiver(host=ScriptedHost(clock=UNSTEERED), seconds=90).arrivals()[-1]
    assert told.frequency_error.sigma_ppm == pytest.approx(FREE_PPM, rel=0.1)


# ── stamps ────────────────────────────────────────────────────────────────────────────────


def test_stamps_are_smooth_where_arrivals_are_not():
    receiver = Receiver("wifi", ppm=150.0, seconds=300)
    told = receiver.arrivals()
    errors_s = receiver.stamp_errors_s(told)[receiver.number(60) :]
    assert errors_s.min() >= 0
    assert errors_s.max() < 0.010
    assert np.abs(np.diff(errors_s)).max() < 1e-3


def test_the_first_stamps_find_their_way_without_going_back():
    """The first chunk is a second late, as behind a full queue."""
    host = ScriptedHost(now_ns=100 * S)
    clock = SampleClock(sample_rate_hz=1e6, host=host)
    told = []
    for i in range(3_000):
        host.now_ns = 100 * S + (i + 1) * S // 50 + max(0, S - i * S // 25)
        told.append(clock.arrived(20_000, host.now_ns))
    assert all(
        b.start_utc_ns - a.start_utc_ns >= 20_000 * 1000 * (1 - SLEW) for a, b in pairwise(told)
    )
    assert told[-1].start_utc_ns - host.utc_offset_ns == pytest.approx(
        100 * S + 2_999 * S // 50, abs=5e5
    )
    assert sum(a.lost_samples for a in told) == 0


@pytest.mark.parametrize("step_s", [-5.0, 0.5, 3600.0])
def test_a_step_of_utc_is_followed_at_once_counted_and_told(step_s):
    receiver = Receiver(seconds=40)
    told = []
    for i, arrival_ns in enumerate(receiver.stream.arrival_ns):
        receiver.host.now_ns = arrival_ns
        if i == receiver.number(20):
            receiver.host.utc_offset_ns += round(step_s * S)
        told.append(receiver.clock.arrived(receiver.chunk, arrival_ns))
    at = receiver.number(20)
    jump_s = (told[at].start_utc_ns - told[at - 1].start_utc_ns) / 1e9 - receiver.chunk_s
    assert jump_s == pytest.approx(step_s, abs=2e-3)
    assert receiver.clock.n_steps == 1
    assert told[at - 1].clock.locked
    assert not told[at].clock.locked
    assert told[at + receiver.number(STEP_TOLD_S + 1)].clock.locked
    assert receiver.found(told) == []


def test_a_host_steered_by_gnss_stamps_samples_no_better_than_ntp():
    host = ScriptedHost(clock=ClockState(ClockSource.GNSS, 1e-6, locked=True))
    state = Receiver(host=host, seconds=30).arrivals()[-1].clock
    assert state.source is ClockSource.NTP
    assert not state.shares_time_base
    assert state.sigma_s >= USB.latency_sigma_s


def test_a_host_that_nobody_steers_stamps_without_a_word_of_how_well():
    told = Receiver(host=ScriptedHost(clock=UNSTEERED), seconds=2).arrivals()
    assert told[-1].clock == ClockState()


# ── retuning ──────────────────────────────────────────────────────────────────────────────


def test_after_a_restart_the_count_and_the_ppm_go_on_and_the_pause_is_no_loss():
    receiver = Receiver(ppm=30.0, seconds=180, lost_s={90: 0.7})
    told = []
    for i, arrival_ns in enumerate(receiver.stream.arrival_ns):
        receiver.host.now_ns = arrival_ns
        if i == receiver.number(90):
            receiver.clock.restart(arrival_ns)
        told.append(receiver.clock.arrived(receiver.chunk, arrival_ns))
    assert receiver.found(told) == []
    assert_counted(told, [receiver.chunk] * len(told))
    after = told[receiver.number(90)]
    assert after.frequency_error.ppm == pytest.approx(30.0, abs=1.5)
    assert told[-1].frequency_error.ppm == pytest.approx(30.0, abs=1.5)
    assert np.abs(receiver.stamp_errors_s(told)[receiver.number(100) :]).max() < 3e-3


def test_what_arrived_before_the_restart_belongs_to_the_old_timing():
    receiver = Receiver(seconds=30)
    told = []
    for i, arrival_ns in enumerate(receiver.stream.arrival_ns):
        receiver.host.now_ns = arrival_ns
        if i == receiver.number(10):
            receiver.clock.restart(arrival_ns + S)
        told.append(receiver.clock.arrived(receiver.chunk, arrival_ns))
    assert all(a.start_utc_ns < b.start_utc_ns for a, b in pairwise(told))


def test_hops_every_half_second_keep_stamps_in_order():
    receiver = Receiver(seconds=60)
    told = []
    for i, arrival_ns in enumerate(receiver.stream.arrival_ns):
        receiver.host.now_ns = arrival_ns
        if i % 20 == 0:
            receiver.clock.restart(arrival_ns)
        told.append(receiver.clock.arrived(receiver.chunk, arrival_ns))
    assert all(a.start_utc_ns < b.start_utc_ns for a, b in pairwise(told))
    assert receiver.found(told) == []

"""How many samples a driver's reads say are missing."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heimdall_edge.drivers.soapy_losses import NS_PER_S, PROOF_S, SLACK_S, LossMeter, Missing
from heimdall_edge.drivers.soapy_stream import CORRUPTION, END_ABRUPT, OVERFLOW, TIMEOUT, Read

RATE_HZ = 2.4e6
OVERFLOWED = Read(0, OVERFLOW)


class Radio:
    """A driver: sample numbers → reads with its time, at the instant they are at hand."""

    def __init__(self, meter, *, rate_hz=RATE_HZ, epoch_ns=0):
        self._meter, self._rate_hz, self.epoch_ns = meter, rate_hz, epoch_ns
        self.number = 0

    def read(self, n_samples=16_384, *, skip=0, has_time=True, flags=0):
        """What is missing before a read that comes after a gap."""
        self.number += skip
        at_ns = round(self.number * NS_PER_S / self._rate_hz)
        time_ns = at_ns + self.epoch_ns if has_time else None
        self.number += n_samples
        return self._meter.take(Read(n_samples, 0, flags, time_ns), self.now_ns)

    def fails(self, status):
        return self._meter.take(Read(0, status), self.now_ns)

    def prove(self, duration_s=1.01 * PROOF_S, **settings):
        """Let its time agree with its samples for a while."""
        self.read(1)
        left = math.ceil(duration_s * self._rate_hz)
        while left > 0:
            assert not self.read(min(left, 16_384), **settings).is_gap
            left -= 16_384
        return self

    @property
    def now_ns(self):
        return round(self.number * NS_PER_S / self._rate_hz)


@pytest.fixture
def radio():
    """One whose time is believed."""
    return Radio(LossMeter(RATE_HZ)).prove()


@pytest.fixture
def new_radio():
    """One whose time is not believed yet."""
    return Radio(LossMeter(RATE_HZ))


def test_reads_that_follow_each_other_miss_nothing(radio):
    assert {radio.read(n) for n in (16_384, 1, 300, 65_536)} == {Missing()}


@pytest.mark.parametrize("status", [OVERFLOW, CORRUPTION])
def test_what_the_driver_says_is_lost_is_as_long_as_its_time_says(radio, status):
    radio.read()
    assert radio.fails(status) == Missing()
    assert radio.read(skip=3) == Missing(3)
    assert radio.read() == Missing()


def test_a_gap_that_only_the_time_tells_is_counted(radio):
    radio.read()
    assert radio.read(skip=1_000) == Missing(1_000)


def test_a_time_that_runs_a_little_apart_from_the_samples_is_no_gap(radio):
    radio.read()
    assert radio.read(skip=16) == Missing()


def test_an_overflow_without_time_is_of_unknown_length(radio):
    radio.fails(OVERFLOW)
    assert radio.read(has_time=False) == Missing(0, is_unknown=True)
    assert radio.read(has_time=False) == Missing()


def test_a_time_that_comes_with_some_reads_only_serves_as_well(radio):
    assert {radio.read(300, has_time=n % 7 == 0).is_gap for n in range(50)} == {False}
    assert radio.read(300, has_time=False, skip=1_000) == Missing()
    assert radio.read(300) == Missing(1_000)


def test_reads_without_a_time_are_proved_by_the_next_one_that_has_it(new_radio):
    new_radio.read()
    n_reads = math.ceil(PROOF_S * RATE_HZ / 16_384) + 1
    for n in range(n_reads):
        new_radio.read(has_time=n == n_reads - 1)
    assert new_radio.read(skip=1_000) == Missing(1_000)


def test_an_overflow_whose_time_shows_nothing_is_of_unknown_length(radio):
    radio.read()
    radio.fails(OVERFLOW)
    assert radio.read() == Missing(0, is_unknown=True)


def test_an_abrupt_end_is_a_word_about_the_next_read(radio):
    assert radio.read(flags=END_ABRUPT) == Missing()
    assert radio.read(skip=5) == Missing(5)


def test_waiting_is_no_loss(radio):
    radio.read()
    radio.fails(TIMEOUT)
    assert radio.read() == Missing()


@pytest.mark.parametrize("jump_ns", [10**18, -(10**9), -(10**6), 10**9])
def test_a_time_that_jumps_is_not_believed(radio, jump_ns):
    radio.epoch_ns += jump_ns
    assert radio.read() == Missing()
    assert radio.read(skip=5_000) == Missing()


def test_some_time_after_a_jump_losses_are_counted_again(radio):
    radio.epoch_ns -= 10**15
    radio.read()
    radio.prove()
    assert radio.read(skip=5_000) == Missing(5_000)


def test_a_time_that_is_not_believed_yet_counts_nothing(new_radio):
    new_radio.read()
    assert new_radio.read(skip=1_000) == Missing()
    new_radio.fails(OVERFLOW)
    assert new_radio.read(skip=1_000) == Missing(is_unknown=True)


def test_a_first_read_misses_nothing_whatever_its_time():
    assert Radio(LossMeter(RATE_HZ), epoch_ns=10**18).read() == Missing()


@pytest.mark.parametrize("rate_hz", [250e3, 1.024e6, 2.4e6])
def test_a_driver_whose_time_counts_bytes_is_never_believed(rate_hz):
    """SoapyRTLSDR 0.3.3: two reads of 65,536 samples a buffer, whose time runs twice as fast."""
    meter, number = LossMeter(rate_hz), 0
    for _ in range(60):
        for part in range(2):
            time_ns = round((2 * number + part * 65_536) * NS_PER_S / rate_hz)
            now_ns = round((number + 131_072) * NS_PER_S / rate_hz)
            assert meter.take(Read(65_536, 0, 0, time_ns), now_ns) == Missing()
        number += 131_072


@pytest.mark.parametrize("kept_s", [0.0, 0.2])
def test_a_pause_of_the_host_is_counted_whatever_the_device_kept(radio, kept_s):
    """It kept the first samples of two seconds, gives them at once, and lost the others."""
    began_ns, kept = radio.now_ns, round(kept_s * RATE_HZ)
    time_ns, now_ns = radio.now_ns, began_ns + 2 * NS_PER_S
    meter = radio._meter
    for _ in range(kept // 16_000):
        assert meter.take(Read(16_000, 0, 0, time_ns), now_ns) == Missing()
        time_ns += round(16_000 * NS_PER_S / RATE_HZ)
    meter.take(Read(0, OVERFLOW), now_ns)
    lost = 2 * int(RATE_HZ) - kept // 16_000 * 16_000
    time_ns += round(lost * NS_PER_S / RATE_HZ)
    assert meter.take(Read(300, 0, 0, time_ns), now_ns) == Missing(lost)


def test_a_crystal_that_is_slow_for_a_day_is_no_credit_for_losses():
    meter = LossMeter(1e6)
    for second in range(86_400):
        meter.take(Read(999_900, 0, 0, second * NS_PER_S), second * NS_PER_S)
    assert 0 <= meter._credit <= 0.02 * 1e6


STEPS = st.lists(st.tuples(st.integers(1, 65_536), st.integers(1, 100_000)), min_size=1)


@given(STEPS, st.sampled_from([48e3, 250e3, 1.024e6, 2.4e6, 61.44e6]))
def test_every_loss_that_is_said_is_counted_to_the_sample(steps, rate_hz):
    radio = Radio(LossMeter(rate_hz), rate_hz=rate_hz).prove()
    for n_samples, skip in steps:
        radio.fails(OVERFLOW)
        assert radio.read(n_samples, skip=skip) == Missing(skip)


@given(
    st.lists(
        st.tuples(
            st.integers(-7, 65_536),
            st.integers(-(2**63), 2**63 - 1) | st.integers(-(10**9), 10**9) | st.none(),
            st.integers(0, 255),
            st.integers(0, 10**9),
        )
    )
)
def test_no_driver_makes_more_losses_than_there_was_time_for(reads):
    radio = Radio(LossMeter(RATE_HZ)).prove()
    meter, now_ns, lost = radio._meter, radio.now_ns, 0
    began_ns = now_ns
    for n, time_ns, flags, wait_ns in reads:
        now_ns += wait_ns
        missing = meter.take(Read(max(n, 0), min(n, 0), flags, time_ns), now_ns)
        assert missing.lost_samples >= 0
        lost += missing.lost_samples
        assert lost <= ((now_ns - began_ns) / NS_PER_S * 1.01 + 2 * SLACK_S) * RATE_HZ

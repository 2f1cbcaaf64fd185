from __future__ import annotations

import math
import time
from dataclasses import replace

import numpy as np
import pytest

from heimdall_edge.signal.arrival import arrival_times
from heimdall_edge.signal.correlation import pair_delay
from heimdall_edge.types import ClockSource, ClockState, IQSnippet, Place, frozen_array
from tests.signal.emissions import (
    CLOCK,
    PLACES,
    dcf77_like,
    noise_like,
    observation,
    scene,
    snippet,
    voice_like,
)

DELAYS_S = (1.1e-5, 4.37e-5, -1.3e-5, 2.9e-5)  # light would take longer between the places


def times_of(observations, *, systematic_sigma_us=0.0, max_frequency_offset_hz=0.0):
    return arrival_times(
        observations,
        systematic_sigma_us=systematic_sigma_us,
        max_frequency_offset_hz=max_frequency_offset_hz,
    )


def assert_right(arrivals, delays_s, *, sigmas=4.5):
    """All differences of arrival times, within their σ."""
    first = arrivals[0]
    for arrival, delay_s in zip(arrivals[1:], delays_s[1:], strict=True):
        expected_us = (delay_s - delays_s[0]) * 1e6
        sigma_us = math.hypot(arrival.sigma_us, first.sigma_us)
        assert arrival.toa_us - first.toa_us == pytest.approx(expected_us, abs=sigmas * sigma_us)


@pytest.mark.parametrize("kind", [noise_like, voice_like, dcf77_like])
def test_each_receiver_gets_its_arrival_time_from_the_first_on(kind):
    rng = np.random.default_rng(1)
    arrivals = times_of(scene(rng, kind(rng), DELAYS_S, snr_db=25))
    assert_right(arrivals, DELAYS_S)
    assert min(a.toa_us for a in arrivals) == arrivals[2].toa_us == 0
    assert not any(a.is_outlier for a in arrivals)


def test_errors_over_sigmas_are_standard_normal():
    rng = np.random.default_rng(2)
    in_sigmas = []
    for _ in range(4):
        emission = noise_like(rng)
        for _ in range(10):
            delays_s = rng.uniform(-7e-5, 7e-5, 4)
            arrivals = times_of(
                scene(rng, emission, delays_s, snr_db=(8, 12, 16, 10), duration_s=0.5)
            )
            # Receivers 0, 1 and 2, 3: two differences that share no receiver.
            for i, j in ((0, 1), (2, 3)):
                error_us = (
                    arrivals[i].toa_us - arrivals[j].toa_us - (delays_s[i] - delays_s[j]) * 1e6
                )
                in_sigmas.append(error_us / math.hypot(arrivals[i].sigma_us, arrivals[j].sigma_us))
    # 80 normal deviates lie within these in 998 of 1000 trials.
    assert abs(np.mean(in_sigmas)) < 0.35
    assert 0.75 < np.std(in_sigmas) < 1.26
    assert np.mean(np.abs(in_sigmas) < 1.96) > 0.86


def test_sigma_joins_noise_clock_and_what_no_averaging_removes():
    rng = np.random.default_rng(3)
    observations = scene(rng, noise_like(rng), DELAYS_S[:3], snr_db=20)
    noise = times_of(observations)
    clock = replace(CLOCK, sigma_s=2e-6)
    slow = [replace(o, clock=clock) if i == 1 else o for i, o in enumerate(observations)]
    for i, arrival in enumerate(times_of(slow, systematic_sigma_us=0.5)):
        expected_us = math.sqrt(noise[i].sigma_us ** 2 + 0.25 + (4.0 if i == 1 else 0))
        assert arrival.sigma_us == pytest.approx(expected_us, rel=5e-3)


def test_dongles_that_are_tens_of_hertz_apart_are_compared_as_well():
    rng = np.random.default_rng(4)
    offsets_hz = (-31.7, 22.4, 0.0, 44.1)
    observations = scene(rng, voice_like(rng), DELAYS_S, offsets_hz=offsets_hz)
    assert times_of(observations) == (None,) * 4
    assert_right(times_of(observations, max_frequency_offset_hz=100), DELAYS_S)


def test_windows_that_differ_are_compared_where_they_overlap():
    rng = np.random.default_rng(5)
    emission = noise_like(rng)
    parts = ((0.0, 1.0), (0.3, 0.9), (0.1, 0.8))
    observations = [
        observation(
            snippet(rng, emission, delay_s=d, snr_db=20, begin_s=begin_s, duration_s=duration_s),
            number=i,
        )
        for i, (d, (begin_s, duration_s)) in enumerate(zip(DELAYS_S, parts, strict=False))
    ]
    arrivals = times_of(observations)
    assert_right(arrivals, DELAYS_S[:3])
    whole = times_of(scene(rng, emission, DELAYS_S[:3], duration_s=1.0))
    shares = [a.sigma_us**2 / b.sigma_us**2 for a, b in zip(arrivals, whole, strict=True)]
    assert np.mean(shares) == pytest.approx(1 / 0.6, rel=0.25)  # 0.6 s of it are left


def test_a_receiver_that_caught_another_moment_does_not_spoil_the_others():
    rng = np.random.default_rng(6)
    emission = noise_like(rng)
    observations = scene(rng, emission, DELAYS_S[:3])
    late = snippet(rng, emission, delay_s=0, snr_db=20, begin_s=0.95)
    observations.insert(1, observation(late, number=3))
    arrivals = times_of(observations)
    assert arrivals[1] is None
    assert_right([arrivals[i] for i in (0, 2, 3)], DELAYS_S[:3])


def test_an_overlap_that_is_too_short_gives_nothing():
    rng = np.random.default_rng(7)
    emission = noise_like(rng)
    kept = [
        snippet(rng, emission, delay_s=0, snr_db=20, begin_s=begin_s) for begin_s in (0.0, 1.005)
    ]
    assert times_of([observation(k, number=i) for i, k in enumerate(kept)]) == (None, None)


def test_a_receiver_with_a_wrong_clock_is_flagged_and_moves_nobody():
    rng = np.random.default_rng(8)
    wrong_s = 2e-4  # no path between these places takes longer than 1.4e-4
    delays_s = (*DELAYS_S[:3], DELAYS_S[3] + wrong_s)
    arrivals = times_of(scene(rng, noise_like(rng), delays_s))
    assert [a.is_outlier for a in arrivals] == [False, False, False, True]
    assert_right(arrivals[:3], DELAYS_S[:3])
    assert arrivals[3].toa_us - arrivals[0].toa_us == pytest.approx(
        (delays_s[3] - delays_s[0]) * 1e6, abs=1
    )


def test_a_receiver_that_heard_something_else_has_no_arrival_time():
    rng = np.random.default_rng(9)
    observations = scene(rng, noise_like(rng), DELAYS_S[:3])
    other = snippet(rng, noise_like(rng), delay_s=0, snr_db=20)
    arrivals = times_of([*observations, observation(other, number=3)])
    assert arrivals[3] is None
    assert_right(arrivals[:3], DELAYS_S[:3])


UNUSABLE = {
    "not heard": {"heard": False},
    "without IQ": {"snippet": None},
    "host clock": {"clock": ClockState(ClockSource.NTP, sigma_s=1e-3, locked=True)},
    "unlocked": {"clock": ClockState(ClockSource.GNSS, sigma_s=1e-7, locked=False)},
    "unknown sigma": {"clock": ClockState(ClockSource.GNSS, sigma_s=None, locked=True)},
    "sigma not a number": {"clock": ClockState(ClockSource.GNSS, sigma_s=math.nan, locked=True)},
    "negative sigma": {"clock": ClockState(ClockSource.GNSS, sigma_s=-1e-7, locked=True)},
}


@pytest.mark.parametrize("change", UNUSABLE.values(), ids=UNUSABLE.keys())
def test_an_observation_without_what_it_takes_is_passed_over(change):
    rng = np.random.default_rng(10)
    observations = scene(rng, noise_like(rng), DELAYS_S[:3])
    observations[1] = replace(observations[1], **change)
    arrivals = times_of(observations)
    assert arrivals[1] is None
    assert_right([arrivals[0], arrivals[2]], [DELAYS_S[0], DELAYS_S[2]])


def absurd_snippets(good: IQSnippet):
    with_nan = good.iq.copy()
    with_nan[5] = np.nan
    return {
        "nan": replace(good, iq=frozen_array(with_nan)),
        "silence": replace(good, iq=np.zeros(9_000, np.complex64)),
        "empty": replace(good, iq=np.zeros(0, np.complex64)),
        "no rate": replace(good, sample_rate_hz=0.0),
        "infinite rate": replace(good, sample_rate_hz=math.inf),
    }


@pytest.mark.parametrize("kind", ["nan", "silence", "empty", "no rate", "infinite rate"])
def test_iq_that_cannot_be_is_passed_over(kind):
    rng = np.random.default_rng(11)
    observations = scene(rng, noise_like(rng), DELAYS_S[:3])
    absurd = absurd_snippets(observations[1].snippet)[kind]
    observations[1] = replace(observations[1], snippet=absurd)
    arrivals = times_of(observations)
    assert arrivals[1] is None
    assert arrivals[0] is not None
    assert arrivals[2] is not None


def test_a_gps_without_a_fix_is_passed_over():
    rng = np.random.default_rng(12)
    emission = noise_like(rng)
    observations = scene(rng, emission, DELAYS_S[:3])
    observations[0] = observation(observations[0].snippet, place=Place(0.0, 0.0))
    arrivals = times_of(observations)
    assert arrivals[0] is None
    assert arrivals[1] is not None


def test_fewer_than_two_that_can_be_compared_give_nothing():
    rng = np.random.default_rng(13)
    (one,) = scene(rng, noise_like(rng), DELAYS_S[:1])
    assert times_of([]) == ()
    assert times_of([one]) == (None,)
    assert times_of([one, observation(None, number=1)]) == (None, None)


def test_receivers_in_one_place_are_compared():
    rng = np.random.default_rng(14)
    observations = [
        observation(o.snippet, number=i, place=PLACES[0])
        for i, o in enumerate(scene(rng, noise_like(rng), (0.0, 0.0)))
    ]
    assert_right(times_of(observations, systematic_sigma_us=0.3), (0.0, 0.0))


def test_ptp_and_gnss_share_a_time_base():
    rng = np.random.default_rng(15)
    one, other = scene(rng, noise_like(rng), DELAYS_S[:2])
    ptp = ClockState(ClockSource.PTP, sigma_s=1e-7, locked=True)
    assert_right(times_of([one, replace(other, clock=ptp)]), DELAYS_S[:2])


@pytest.mark.parametrize("sigma_us", [-1.0, math.nan, math.inf])
def test_a_systematic_sigma_that_cannot_be_is_refused(sigma_us):
    with pytest.raises(ValueError, match="expected 0 or more"):
        times_of([], systematic_sigma_us=sigma_us)


def test_of_many_receivers_the_strongest_are_compared_with_all(monkeypatch):
    rng = np.random.default_rng(17)
    delays_s = rng.uniform(-3e-5, 3e-5, 9)
    heard = scene(rng, noise_like(rng), delays_s, duration_s=0.5, offsets_hz=rng.uniform(-9, 9, 9))
    heard = [replace(o, snr_db=float(i)) for i, o in enumerate(heard)]
    compared = []

    def counted(*spectra, **how):
        compared.append(spectra)
        return pair_delay(*spectra, **how)

    monkeypatch.setattr("heimdall_edge.signal.arrival.pair_delay", counted)
    assert_right(times_of(heard, max_frequency_offset_hz=20), delays_s)
    assert len(compared) == 5 * 4 // 2 + 5 * 4  # of 36 pairs


def test_the_strongest_may_have_heard_something_else():
    rng = np.random.default_rng(18)
    heard = scene(rng, noise_like(rng), [*DELAYS_S, 0.0], duration_s=0.5)
    for number in range(5, 10):
        other = snippet(rng, noise_like(rng), delay_s=0, snr_db=20, duration_s=0.5)
        heard.append(replace(observation(other, number=number), snr_db=40.0))
    arrivals = times_of(heard)
    assert_right(arrivals[:5], [*DELAYS_S, 0.0])
    assert arrivals[5:] == (None,) * 5


def test_a_wrong_clock_among_many_receivers_is_flagged_also_if_it_is_the_strongest_one_s():
    rng = np.random.default_rng(19)
    delays_s = rng.uniform(-3e-5, 3e-5, 9)
    delays_s[8] += 2.5e-4  # no path between these places takes longer than 1.4e-4
    heard = scene(rng, noise_like(rng), delays_s, duration_s=0.5)
    heard = [replace(o, snr_db=float(i)) for i, o in enumerate(heard)]
    arrivals = times_of(heard, systematic_sigma_us=5.0)
    assert [a.is_outlier for a in arrivals] == [False] * 8 + [True]
    assert_right(arrivals[:8], delays_s[:8])


def test_a_pair_of_long_windows_takes_a_fraction_of_a_second():
    rng = np.random.default_rng(16)
    iq = rng.normal(size=(3, 240_000)).astype(np.float32).view(np.complex64)
    observations = [
        observation(IQSnippet(frozen_array(x), 12_001.0 + i / 10, 0), number=i)
        for i, x in enumerate(iq)
    ]
    begin_s = time.process_time()
    times_of(observations)
    assert time.process_time() - begin_s < 1.0  # three pairs of 10 s: 0.1 s where this was written

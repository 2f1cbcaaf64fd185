"""From three real recordings of DCF77 to its mast, by arrival times alone."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from scipy.optimize import least_squares

from heimdall_edge.config import Channel
from heimdall_edge.geodesy import SPEED_OF_LIGHT_M_S, distance_m
from heimdall_edge.signal.arrival import arrival_times
from heimdall_edge.signal.chain import SignalChain
from heimdall_edge.sources.kiwi_wav import kiwi_blocks, read_kiwi_wav
from heimdall_edge.types import Place, ReceiverInfo

STATIONS = {
    "DF0KL": (53.665337, 7.282766),
    "F1JEK": (45.779290, 0.614638),
    "HB9RYZ": (47.1721, 8.42683),
}
MAST = (50.0155, 9.0108)
CHANNEL = Channel(
    name="dcf77", frequency_hz=77_500, bandwidth_hz=6_000, mode="continuous", window_s=5
)
SYSTEMATIC_SIGMA_US = 20.0  # docs/tdoa-error-budget.md
NS = 1_000_000_000
FIRST_WINDOW_NS = 1_511_779_320 * NS  # 10:42:00, 4 s into the recordings
WINDOWS = 5


@pytest.fixture(scope="module")
def scenes(data_dir):
    """One list of observations a whole window of 5 s, in the stations' order."""
    by_window = {}
    for station, (latitude_deg, longitude_deg) in STATIONS.items():
        receiver = ReceiverInfo("kiwi", station, Place(latitude_deg, longitude_deg))
        chain = SignalChain(receiver=receiver, channels=[CHANNEL])
        path = data_dir / "kiwi_dcf77" / f"20171127T104156Z_77500_{station}_iq.wav"
        for block in kiwi_blocks(read_kiwi_wav(path), block_samples=65_536):
            for heard in chain.process(block).observations:
                window = round((heard.start_utc_ns - FIRST_WINDOW_NS) / (5 * NS))
                by_window.setdefault(window, []).append(heard)
    return [by_window[window] for window in range(WINDOWS)]


@pytest.fixture(scope="module")
def arrivals(scenes):
    return [arrival_times(scene, systematic_sigma_us=SYSTEMATIC_SIGMA_US) for scene in scenes]


def travel_us(place):
    """Along the geodesic, at the speed of light, to each station."""
    return (
        np.array([distance_m(*place, *at) for at in STATIONS.values()]) / SPEED_OF_LIGHT_M_S * 1e6
    )


def located(times):
    """Latitude, longitude of the least-squares position, and its covariance, degrees²."""
    toa_us = np.array([a.toa_us for a in times])
    weights = 1 / np.array([a.sigma_us for a in times])

    def residuals(unknown):
        return (toa_us - unknown[2] - travel_us(unknown[:2])) * weights

    start = (*np.mean([*STATIONS.values()], axis=0), toa_us.mean() - 1000)
    fit = least_squares(residuals, start, x_scale=(1, 1, 1000))
    return fit.x[:2], np.linalg.inv(fit.jac.T @ fit.jac)[:2, :2]


@pytest.mark.real_data
def test_all_windows_of_the_real_recordings_give_three_arrival_times(arrivals):
    for times in arrivals:
        assert None not in times
        assert not any(a.is_outlier for a in times)
        for a in times:
            # The noise adds little to what the path leaves uncertain.
            assert SYSTEMATIC_SIGMA_US < a.sigma_us < 1.1 * SYSTEMATIC_SIGMA_US


@pytest.mark.real_data
def test_the_real_delays_differ_from_the_truth_by_no_more_than_the_path_explains(arrivals):
    true_us = travel_us(MAST)
    for times in arrivals:
        for i, j in combinations(range(3), 2):
            error_us = times[i].toa_us - times[j].toa_us - (true_us[i] - true_us[j])
            assert abs(error_us) < 2 * np.hypot(times[i].sigma_us, times[j].sigma_us)


@pytest.mark.real_data
def test_the_windows_of_one_recording_agree_far_better_than_with_the_truth(arrivals):
    delays_us = np.array([[a.toa_us for a in times] for times in arrivals])
    delays_us -= delays_us.mean(axis=1, keepdims=True)
    assert delays_us.std(axis=0, ddof=1).max() < 5


@pytest.mark.real_data
def test_each_window_s_position_is_within_20_km_of_the_mast_and_its_95_ellipse_holds_it(arrivals):
    for times in arrivals:
        position, covariance = located(times)
        assert distance_m(*position, *MAST) < 20_000
        error = np.array(MAST) - position
        assert error @ np.linalg.solve(covariance, error) < -2 * np.log(0.05)


@pytest.mark.real_data
def test_receivers_that_share_a_reference_read_one_frequency(scenes):
    # So much for the search over frequencies: without it, the same times.
    for scene in scenes[:2]:
        with_search = arrival_times(scene, systematic_sigma_us=20.0)
        without = arrival_times(scene, systematic_sigma_us=20.0, max_frequency_offset_hz=0.0)
        assert [a.toa_us for a in with_search] == pytest.approx([a.toa_us for a in without])

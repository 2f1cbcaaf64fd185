"""The crystal's error, from how late samples come: closed forms, and many runs."""

import numpy as np
import pytest

from heimdall_edge.sources.crystal import PRIOR_PPM, WANDER_PPM, Crystal

EVERY_S = 3.5
SCATTER_S = 1e-4


def lateness_s(ppm, at_s):
    """Of the samples of a crystal that is fast by a constant, in closed form."""
    return at_s * (1 / (1 + ppm * 1e-6) - 1)


def watched(ppm, *, n=200, rng=None, **settings):
    """A crystal after n measurements, of which rng makes the noise."""
    crystal = Crystal(path_wander_s=settings.pop("path_wander_s", 1e-6))
    for i in range(n):
        noise_s = 0.0 if rng is None else rng.normal(0, SCATTER_S)
        crystal.note(i * EVERY_S, lateness_s(ppm, i * EVERY_S) + noise_s, scatter_s=SCATTER_S)
    return crystal


def test_nothing_is_known_at_first():
    crystal = Crystal(path_wander_s=0.0)
    assert crystal.ppm == 0.0
    assert crystal.sigma_ppm == pytest.approx(PRIOR_PPM)
    crystal.note(0.0, 0.3, scatter_s=SCATTER_S)
    assert crystal.sigma_ppm == pytest.approx(PRIOR_PPM)


@pytest.mark.parametrize("ppm", [-200.0, -31.7, 0.0, 1.0, 200.0])
def test_without_noise_the_error_is_found(ppm):
    assert watched(ppm).ppm == pytest.approx(ppm, abs=0.01)


def test_after_two_measurements_its_sigma_is_that_of_a_slope_through_two_points():
    crystal = watched(20.0, n=2, path_wander_s=0.0)
    assert crystal.sigma_ppm == pytest.approx(np.sqrt(2) * SCATTER_S / EVERY_S * 1e6, rel=0.1)


def test_the_truth_lies_within_two_sigma_as_often_as_it_should():
    """Of a crystal that wanders as the filter thinks it does."""
    rng, scores = np.random.default_rng(5), []
    for _ in range(200):
        crystal = Crystal(path_wander_s=0.0)
        ppm, late_s = rng.normal(0, 50), 0.0
        for i in range(80):
            crystal.note(i * EVERY_S, late_s + rng.normal(0, SCATTER_S), scatter_s=SCATTER_S)
            late_s -= ppm * 1e-6 * EVERY_S
            ppm += rng.normal(0, WANDER_PPM * np.sqrt(EVERY_S))
        scores.append((crystal.ppm - ppm) / crystal.sigma_ppm)
    assert 0.90 <= np.mean(np.abs(scores) < 2) <= 0.99
    assert 0.8 < np.sqrt(np.mean(np.square(scores))) < 1.2


def test_a_new_lateness_leaves_the_slope_as_it_is():
    crystal = watched(35.0, rng=np.random.default_rng(1))
    known = crystal.ppm, crystal.sigma_ppm
    crystal.forget_lateness()
    assert (crystal.ppm, crystal.sigma_ppm) == known
    for i in range(200, 260):
        crystal.note(i * EVERY_S, 7.0 + lateness_s(35.0, i * EVERY_S), scatter_s=SCATTER_S)
    assert crystal.ppm == pytest.approx(35.0, abs=2 * crystal.sigma_ppm)


def test_a_jump_that_nobody_announced_does_not_tilt_the_slope():
    crystal = watched(10.0, rng=np.random.default_rng(2))
    before_ppm = crystal.ppm
    for i in range(200, 210):
        crystal.note(i * EVERY_S, 4e-3 + lateness_s(10.0, i * EVERY_S), scatter_s=SCATTER_S)
        assert crystal.ppm == pytest.approx(before_ppm, abs=0.8)


def test_while_it_warms_up_its_sigma_grows_instead_of_lying():
    crystal, late_s, rng = Crystal(path_wander_s=2e-6), 0.0, np.random.default_rng(4)
    for i in range(170):
        at_s = i * EVERY_S
        ppm = 20 * np.exp(-at_s / 300)
        crystal.note(at_s, late_s + rng.normal(0, SCATTER_S), scatter_s=SCATTER_S)
        late_s -= ppm * 1e-6 * EVERY_S
        if at_s > 60:
            assert abs(crystal.ppm - ppm) < 4 * np.hypot(crystal.sigma_ppm, 1.0)


def test_time_that_does_not_pass_brings_nothing_to_grief():
    crystal = watched(5.0)
    crystal.note(0.0, 0.0, scatter_s=0.0)
    assert np.isfinite(crystal.ppm)
    assert crystal.sigma_ppm > 0

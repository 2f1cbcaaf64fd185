"""The Cramér–Rao bound against closed forms, numeric integrals and an estimator that reaches it."""

from __future__ import annotations

import numpy as np
import pytest
from bound import arrival_information, censored_share, level_information
from scipy.integrate import quad
from scipy.stats import norm

RING = np.array([[np.cos(t), np.sin(t)] for t in np.arange(8) * np.pi / 4]) * 10.0
C_KM_PER_US = 0.299792458


def test_arrival_bound_in_the_middle_of_a_ring_is_the_closed_form():
    """N receivers all round: J = N / (2 c² σ²) in each direction, and the zero costs nothing."""
    information = arrival_information(RING, np.zeros(2), sigma_us=np.full(8, 0.5))
    expected = 8 / (2 * C_KM_PER_US**2 * 0.25)
    assert information == pytest.approx(np.eye(2) * expected)


def test_level_bound_in_the_middle_of_a_ring_is_the_closed_form():
    """There all distances are equal, so power and exponent cannot be told apart, nor need to."""
    information = level_information(
        RING,
        np.zeros(2),
        exponent=3.0,
        sigma_db=np.full(8, 8.0),
        margin_db=np.full(8, np.inf),
        radius_km=10.0,
    )
    slope_db_per_km = 30.0 / np.log(10) / 10.0
    assert information == pytest.approx(np.eye(2) * 4 * slope_db_per_km**2 / 64.0)


def test_the_italian_sites_have_the_arrival_bound_that_the_contract_states():
    sites = np.array(
        [
            (45.02, 7.29), (45.234, 7.857), (45.044, 7.672), (45.03, 7.27),
            (44.561, 8.956), (44.395, 8.956), (45.478, 9.123),
        ]
    )  # fmt: skip
    enu = (sites - sites.mean(axis=0))[:, ::-1] * [78.8, 111.1]
    bound = np.linalg.inv(arrival_information(enu, np.array([5.0, 5.0]), sigma_us=np.ones(7)))
    assert np.sqrt(np.trace(bound)) == pytest.approx(0.27, abs=0.08)


@pytest.mark.parametrize("limit", [-6.0, -1.0, 0.0, 1.5, 4.0])
def test_a_censored_value_keeps_the_information_that_its_score_has(limit):
    def squared_score(u: float) -> float:
        return u**2 * norm.pdf(u)

    heard, _ = quad(squared_score, limit, 12)
    below = norm.pdf(limit) ** 2 / norm.cdf(limit)
    assert censored_share(np.array([limit]))[0] == pytest.approx(heard + below, abs=1e-6)


def test_a_receiver_that_hears_everything_keeps_all_and_a_deaf_one_nothing():
    assert censored_share(np.array([-np.inf, -40.0, 40.0])) == pytest.approx([1.0, 1.0, 0.0])

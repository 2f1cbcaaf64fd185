"""Ellipse, circle and probability against Monte Carlo, SciPy's quadrature and closed forms."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.integrate import dblquad

from heimdall_edge.ellipse import (
    error_circle,
    error_ellipse,
    principal_axes,
    probability_within,
)


@st.composite
def covariances(draw):
    """Any scale from millimetres to thousands of km, axis ratio up to 1000, any direction."""
    major = 10 ** draw(st.floats(-3, 6.5))
    minor = major * 10 ** draw(st.floats(-3, 0))
    theta = draw(st.floats(-math.pi / 2, math.pi / 2))
    c, s = math.cos(theta), math.sin(theta)
    return (
        (major * c) ** 2 + (minor * s) ** 2,
        (major**2 - minor**2) * c * s,
        (major * s) ** 2 + (minor * c) ** 2,
    )


def rotated(covariance):
    """float64 [2, 2]."""
    ee, en, nn = covariance
    return np.array([[ee, en], [en, nn]])


@settings(max_examples=100, deadline=None)
@given(covariances())
def test_the_axes_make_up_the_covariance_again(covariance):
    axes = principal_axes(covariance)
    assert axes.sigma_x_m >= axes.sigma_y_m > 0
    assert -90 < axes.theta_deg <= 90
    theta = math.radians(axes.theta_deg)
    turn = np.array([[math.cos(theta), -math.sin(theta)], [math.sin(theta), math.cos(theta)]])
    again = turn @ np.diag([axes.sigma_x_m**2, axes.sigma_y_m**2]) @ turn.T
    np.testing.assert_allclose(again, rotated(covariance), atol=1e-9 * axes.sigma_x_m**2)


@settings(max_examples=50, deadline=None)
@given(covariances(), st.sampled_from([0.5, 0.6827, 0.95, 0.99]))
def test_every_point_of_the_ellipse_lies_at_the_chi_square_quantile(covariance, probability):
    ellipse = error_ellipse(covariance, probability)
    assert 0 <= ellipse.azimuth_deg < 180
    azimuth = math.radians(ellipse.azimuth_deg)
    along = np.array([math.sin(azimuth), math.cos(azimuth)])
    across = np.array([math.cos(azimuth), -math.sin(azimuth)])
    turn = np.linspace(0, 2 * np.pi, 12)
    points = np.outer(ellipse.semi_major_m * np.cos(turn), along) + np.outer(
        ellipse.semi_minor_m * np.sin(turn), across
    )
    nees = np.einsum("ni,ij,nj->n", points, np.linalg.inv(rotated(covariance)), points)
    np.testing.assert_allclose(nees, stats.chi2(2).ppf(probability), rtol=1e-5)


@pytest.mark.parametrize(("probability", "k"), [(0.6827, 1.5151), (0.95, 2.4477), (0.393469, 1)])
def test_the_scale_is_that_of_two_dimensions(probability, k):
    ellipse = error_ellipse((9.0, 0.0, 4.0), probability)
    assert ellipse.semi_major_m == pytest.approx(3 * k, abs=3e-4)
    assert ellipse.semi_minor_m == pytest.approx(2 * k, abs=3e-4)
    assert ellipse.probability == probability


@pytest.mark.parametrize(
    ("covariance", "theta_deg", "azimuth_deg"),
    [
        ((4, 0, 1), 0, 90),
        ((1, 0, 4), 90, 0),
        ((1, -0.0, 4), 90, 0),
        ((2, 1, 2), 45, 45),
        ((2, -1, 2), -45, 135),
    ],
)
def test_azimuth_is_from_north_and_theta_from_east(covariance, theta_deg, azimuth_deg):
    assert principal_axes(covariance).theta_deg == pytest.approx(theta_deg)
    assert error_ellipse(covariance, 0.95).azimuth_deg == pytest.approx(azimuth_deg)


@pytest.mark.parametrize("covariance", [(400, 150, 100), (1, 0, 1), (1e4, 0, 1), (5, -4.9, 5)])
def test_ellipse_and_circle_hold_what_they_say_by_monte_carlo(covariance):
    n = 200_000
    rng = np.random.default_rng(20)
    points = rng.multivariate_normal([0, 0], rotated(covariance), size=n)
    nees = np.einsum("ni,ij,nj->n", points, np.linalg.inv(rotated(covariance)), points)
    radius = np.hypot(*points.T)
    for probability in (0.393469, 0.68, 0.95):
        k = error_ellipse(covariance, probability).semi_major_m / principal_axes(covariance)[0]
        tolerance = 4 * math.sqrt(probability * (1 - probability) / n)
        assert np.mean(nees <= k**2) == pytest.approx(probability, abs=tolerance)
        within = np.mean(radius <= error_circle(covariance, probability).radius_m)
        assert within == pytest.approx(probability, abs=tolerance)


def test_equal_axes_give_the_rayleigh_distribution():
    for radius in (0.1, 1.0, 5.0, 40.0):
        expected = 1 - math.exp(-(radius**2) / (2 * 9))
        assert probability_within(radius, (9, 0, 9)) == pytest.approx(expected, abs=1e-13)
    assert error_circle((9, 0, 9), 0.95).radius_m == pytest.approx(3 * 2.44774683, abs=1e-7)


@pytest.mark.parametrize("radius", [0.3, 1.0, 3.0, 8.0])
def test_the_probability_is_the_integral_over_the_disc(radius):
    density = stats.multivariate_normal([0, 0], [[4, 1.5], [1.5, 1]]).pdf
    expected, _ = dblquad(
        lambda r, turn: r * density([r * math.cos(turn), r * math.sin(turn)]),
        0,
        2 * math.pi,
        0,
        radius,
        epsabs=1e-9,
    )
    assert probability_within(radius, (4, 1.5, 1)) == pytest.approx(expected, abs=1e-8)


def test_a_needle_is_a_normal_distribution_along_itself():
    for radius in (0.5, 1.96, 4.0):
        expected = stats.norm.cdf(radius) - stats.norm.cdf(-radius)
        assert probability_within(radius, (1, 0, 1e-12)) == pytest.approx(expected, abs=1e-9)
    assert error_circle((1e-12, 0, 1), 0.95).radius_m == pytest.approx(1.959964, abs=1e-6)


@settings(max_examples=100, deadline=None)
@given(covariances(), st.floats(1e-6, 1 - 1e-6))
def test_the_circle_and_the_probability_are_inverse(covariance, probability):
    circle = error_circle(covariance, probability)
    assert circle.probability == probability
    assert probability_within(circle.radius_m, covariance) == pytest.approx(probability, abs=1e-9)
    ellipse = error_ellipse(covariance, probability)
    rounding = 1e-9 * ellipse.semi_major_m
    assert ellipse.semi_minor_m - rounding <= circle.radius_m <= ellipse.semi_major_m + rounding


def test_the_probability_runs_from_nothing_to_everything():
    assert probability_within(0, (4, 1, 2)) == 0
    assert probability_within(1e9, (4, 1, 2)) == pytest.approx(1, abs=1e-12)
    assert probability_within(1e3, (1e-6, 0, 1e-6)) == pytest.approx(1, abs=1e-12)
    grown = [probability_within(r, (4, 1, 2)) for r in np.linspace(0, 20, 50)]
    assert all(np.diff(grown) >= -1e-15)


@pytest.mark.parametrize(
    ("covariance", "fault"),
    [
        ((1, 2, 1), "not positive definite"),
        ((0, 0, 0), "not positive definite"),
        ((1, 1, 1), "not positive definite"),
        ((-1, 0, -1), "not positive definite"),
        ((math.nan, 0, 1), "nan.*not finite"),
        ((1, math.inf, 1), "inf.*not finite"),
        ((1e200, 0, 1e200), "not positive definite"),
    ],
)
def test_what_is_no_covariance_is_refused_with_what_it_was(covariance, fault):
    for use in (principal_axes, lambda c: error_circle(c, 0.95), lambda c: error_ellipse(c, 0.95)):
        with pytest.raises(ValueError, match=fault):
            use(covariance)


@pytest.mark.parametrize("probability", [0, 1, -0.1, 1.5, math.nan])
def test_a_probability_must_lie_between_nothing_and_everything(probability):
    with pytest.raises(ValueError, match="expected 0 < p < 1"):
        error_ellipse((1, 0, 1), probability)


@pytest.mark.parametrize("radius", [-1, math.nan])
def test_a_radius_must_not_be_negative(radius):
    with pytest.raises(ValueError, match="expected 0 or more"):
        probability_within(radius, (1, 0, 1))

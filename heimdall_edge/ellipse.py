"""From a covariance to what is published of it: ellipse, circle, probability.

A covariance here is the triple (ee, en, nn) of the east–north plane at the position, m². For two
dimensions the ellipse that holds probability p has k = √(−2 ln(1 − p)) standard deviations along
each principal axis: one standard deviation holds 39.3 %.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from scipy.special import erf, i0e

from heimdall_edge.types import ErrorCircle, ErrorEllipse

CovarianceM2 = tuple[float, float, float]
"""(ee, en, nn), m²."""

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(128)
_REACH_SIGMA = 10.0  # beyond it a normal distribution holds 2e-23
_ROOT_STEPS = 100  # at worst each halves the bracket; as a rule Newton needs five


class PrincipalAxes(NamedTuple):
    """The 1-σ axes of a covariance: the older way to publish it."""

    sigma_x_m: float
    """Along the major axis."""
    sigma_y_m: float
    """Along the minor axis."""
    theta_deg: float
    """Of the major axis, counter-clockwise from east, (-90, 90]."""


def principal_axes(covariance: CovarianceM2) -> PrincipalAxes:
    """The standard deviations along the principal axes; ValueError if it is not a covariance."""
    ee, en, nn = (float(value) for value in covariance)
    if not (math.isfinite(ee) and math.isfinite(en) and math.isfinite(nn)):
        raise ValueError(f"covariance [{ee}, {en}, {nn}] m² is not finite")
    determinant = ee * nn - en * en
    if not (ee > 0 and nn > 0 and 0 < determinant < math.inf):
        raise ValueError(f"covariance [{ee}, {en}, {nn}] m² is not positive definite")
    major = (ee + nn) / 2 + math.hypot((ee - nn) / 2, en)
    # By way of the determinant: a difference would lose a thin ellipse's digits.
    minor = min(major, determinant / major)
    theta = math.degrees(math.atan2(2 * en, ee - nn)) / 2
    return PrincipalAxes(
        sigma_x_m=math.sqrt(major),
        sigma_y_m=math.sqrt(minor),
        theta_deg=90.0 if theta <= -90 else theta,
    )


def error_ellipse(covariance: CovarianceM2, probability: float) -> ErrorEllipse:
    """The ellipse that holds the truth with a probability, 0 < p < 1."""
    axes = principal_axes(covariance)
    scale = _scale(probability)
    return ErrorEllipse(
        semi_major_m=scale * axes.sigma_x_m,
        semi_minor_m=scale * axes.sigma_y_m,
        azimuth_deg=(90.0 - axes.theta_deg) % 180.0,
        probability=probability,
    )


def probability_within(radius_m: float, covariance: CovarianceM2) -> float:
    """Probability that the truth lies within a radius of the position, 0…1.

    The bivariate normal integrated over the disc: with x = r sin t along the major axis, the
    minor one is an error function, and Gauss–Legendre in t is exact to 1e-9 or better.
    """
    axes = principal_axes(covariance)
    if not radius_m >= 0:
        raise ValueError(f"radius is {radius_m} m, expected 0 or more")
    return _probability_within(radius_m, axes)


def error_circle(covariance: CovarianceM2, probability: float) -> ErrorCircle:
    """The circle round the position that holds the truth with a probability, 0 < p < 1.

    Newton's steps on :func:`probability_within`, whose slope is known in closed form, within a
    bracket: the circle in the ellipse of that probability, and the one round it.
    """
    axes = principal_axes(covariance)
    low, high = (_scale(probability) * sigma for sigma in (axes.sigma_y_m, axes.sigma_x_m))
    radius = high
    for _ in range(_ROOT_STEPS):
        excess = _probability_within(radius, axes) - probability
        low, high = (low, radius) if excess > 0 else (radius, high)
        step = excess / max(_slope(radius, axes), 1e-300)
        new = radius - step if low < radius - step < high else (low + high) / 2
        if abs(new - radius) <= 1e-12 * radius:
            break
        radius = new
    return ErrorCircle(radius_m=radius, probability=probability)


def _scale(probability: float) -> float:
    """Standard deviations on each axis of the ellipse that holds a probability."""
    if not 0 < probability < 1:
        raise ValueError(f"probability is {probability}, expected 0 < p < 1")
    return math.sqrt(-2 * math.log1p(-probability))


def _probability_within(radius_m: float, axes: PrincipalAxes) -> float:
    if radius_m == 0:
        return 0.0
    a, b = axes.sigma_x_m, axes.sigma_y_m
    end = math.asin(min(1.0, _REACH_SIGMA * a / radius_m))
    t = end * (_NODES + 1) / 2  # 0…end: the other half of the disc is its mirror image
    x, half_width = radius_m * np.sin(t), radius_m * np.cos(t)
    density = np.exp(-((x / a) ** 2) / 2) / (a * math.sqrt(2 * math.pi))
    integrand = half_width * density * erf(half_width / (b * math.sqrt(2)))
    return min(1.0, end * float(integrand @ _WEIGHTS))


def _slope(radius_m: float, axes: PrincipalAxes) -> float:
    """Derivative of the probability by the radius, 1/m: the density round the circle."""
    p, q = 1 / axes.sigma_x_m**2, 1 / axes.sigma_y_m**2
    bessel = float(i0e(radius_m**2 * (q - p) / 4))
    return radius_m * math.sqrt(p * q) * math.exp(-(radius_m**2) * p / 2) * bessel

"""The reference model's physics once more, by brute force: float64, dense grids, no shortcuts.

Where the model climbs to the most likely power and exponent and zooms into the posterior, this
sums: over a fine grid of places in the whole domain, over a grid of powers, over a grid of
exponents, over a grid of the common time zero.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from tests.locate.drawn_scenes import Drawn

C_KM_PER_US = 0.299792458


@dataclass(frozen=True)
class Constants:
    """What the model believes; the tests fill it from training/physics.py."""

    min_distance_km: float
    shadowing_sd_db: float
    shadowing_distance_km: float
    shadowing_exponent: float
    shadowing_min_db: float
    shadowing_max_db: float
    exponent_mean: float
    exponent_sd: float
    power_sd_db: float
    level_outlier_share: float
    level_outlier_range_db: float
    silence_outlier_share: float
    arrival_outlier_share: float
    prior_scale: float
    prior_decline: float


def brute_force(
    k: Constants, scene: Drawn, *, n_grid: int = 81, reach: float = 4.0
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean [2] km and covariance [2, 2] km² of the posterior over the whole domain."""
    enu_km, heard, toa_w = scene.enu_km, scene.heard, scene.toa_w
    middle, radius = _network(enu_km, heard, toa_w)
    axis = np.linspace(-reach, reach, n_grid) * radius
    places = middle + np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
    d = np.hypot(*(places[:, None, :] - enu_km[None]).transpose(2, 0, 1))
    ratio = np.hypot(*(places - middle).T) / (k.prior_scale * radius)
    log_p = -k.prior_decline / 4 * np.log1p(ratio**4)
    log_p = log_p + _levels(k, d, radius, scene.reading_db, heard, scene.offset_sd_db)
    if (toa_w > 0).any():
        log_p = log_p + _arrivals(
            k, d[:, toa_w > 0], radius, scene.toa_us[toa_w > 0], toa_w[toa_w > 0]
        )
    p = np.exp(log_p - log_p.max())
    p /= p.sum()
    mean = p @ places
    off = places - mean
    return mean, (p[:, None] * off).T @ off


def _network(
    enu: NDArray[np.float64], heard: NDArray[np.bool_], toa_w: NDArray[np.float64]
) -> tuple[NDArray[np.float64], float]:
    weight = np.where(heard | (toa_w > 0), 1.0, 0.1)
    middle = np.average(enu, axis=0, weights=weight)
    radius = 1.5 * np.sqrt(np.average(((enu - middle) ** 2).sum(1), weights=weight))
    return middle, max(float(radius), 2 * 0.03)


def _levels(
    k: Constants,
    d: NDArray[np.float64],
    radius: float,
    reading: NDArray[np.float64],
    heard: NDArray[np.bool_],
    offset_sd: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Log likelihood of each place, power and exponent summed out."""
    d = np.maximum(d, k.min_distance_km)
    law = k.shadowing_sd_db * (k.shadowing_distance_km / d) ** k.shadowing_exponent
    s = np.hypot(np.clip(law, k.shadowing_min_db, k.shadowing_max_db), offset_sd)
    trust = 1 / (offset_sd[heard] ** 2 + 50)
    mean_level = np.average(reading[heard], weights=trust)
    powers = mean_level + np.arange(-60.0, 60.01, 1.5)
    total = np.zeros(len(d))
    for n in k.exponent_mean + k.exponent_sd * np.arange(-3.6, 3.7, 0.6):
        z = reading + 10 * n * np.log10(d / radius)
        prior = -0.5 * ((n - k.exponent_mean) / k.exponent_sd) ** 2
        for power in powers:
            u = (z - power) / s
            inlier = np.exp(-0.5 * u**2) / (s * np.sqrt(2 * np.pi))
            lie = k.level_outlier_share / k.level_outlier_range_db
            loud = (1 - k.level_outlier_share) * inlier + lie
            silent = (1 - k.silence_outlier_share) * ndtr(u) + k.silence_outlier_share / 2
            likelihood = np.where(heard, loud, silent).prod(axis=1)
            total += likelihood * np.exp(prior - 0.5 * ((power - mean_level) / k.power_sd_db) ** 2)
    return np.log(np.maximum(total, 1e-300))


def _arrivals(
    k: Constants,
    d: NDArray[np.float64],
    radius: float,
    toa: NDArray[np.float64],
    weight: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Log likelihood of each place, the common zero summed out on a grid."""
    sigma = 1 / weight
    residual = toa - d / C_KM_PER_US
    lie = k.arrival_outlier_share / (4 * radius / C_KM_PER_US + 20 * sigma)
    step = sigma.min() / 3
    low, high = residual.min() - 5 * sigma.max(), residual.max() + 5 * sigma.max()
    total = np.zeros(len(d))
    for zero in np.arange(low, high, step):
        u = (residual - zero) / sigma
        inlier = np.exp(-0.5 * u**2) / (sigma * np.sqrt(2 * np.pi))
        total += ((1 - k.arrival_outlier_share) * inlier + lie).prod(axis=1)
    return np.log(np.maximum(total, 1e-300))

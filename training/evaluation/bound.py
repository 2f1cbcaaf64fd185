"""The Cramér–Rao bound of a transmitter's place, with the unknowns that the model has too.

Unknown are the place (2), the power, the path-loss exponent with its prior, and the common zero
of the arrival times. Levels below a receiver's limit are censored: such a receiver keeps the share
of its information that the threshold leaves. Fisher matrices of levels and times add.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from physics import EXPONENT_SD, POWER_SD_DB, SPEED_OF_LIGHT_KM_PER_US
from scipy.special import log_ndtr, ndtr

Array = NDArray[np.float64]


def level_information(
    rx_km: Array,
    tx_km: Array,
    *,
    exponent: float,
    sigma_db: Array,
    margin_db: Array,
    radius_km: float,
) -> Array:
    """Fisher matrix [2, 2] of the place from levels, power and exponent taken out.

    Parameters
    ----------
    rx_km, tx_km
        float64 [n, 2] and [2], east and north.
    exponent
        Of the path loss, as it truly was.
    sigma_db
        [n] shadowing at the true distance, and the receiver's offset, in quadrature.
    margin_db
        [n] expected level less the receiver's limit; inf where it hears everything.
    radius_km
        Where the power's prior is put.
    """
    offset = tx_km - rx_km
    distance = np.hypot(offset[:, 0], offset[:, 1])
    slope = -10.0 * exponent / math.log(10.0) * offset / distance[:, None] ** 2
    loss = 10.0 * np.log10(distance / radius_km)
    h = np.column_stack([slope, np.ones(len(rx_km)), -loss])
    weight = censored_share(-margin_db / sigma_db) / sigma_db**2
    full = (h * weight[:, None]).T @ h + np.diag([0.0, 0.0, POWER_SD_DB**-2, EXPONENT_SD**-2])
    return _without_nuisance(full)


def arrival_information(rx_km: Array, tx_km: Array, *, sigma_us: Array) -> Array:
    """Fisher matrix [2, 2] of the place from arrival times [n], their common zero taken out."""
    offset = tx_km - rx_km
    distance = np.hypot(offset[:, 0], offset[:, 1])
    h = np.column_stack(
        [offset / distance[:, None] / SPEED_OF_LIGHT_KM_PER_US, np.ones(len(rx_km))]
    )
    return _without_nuisance((h / sigma_us[:, None] ** 2).T @ h)


def censored_share(limit: Array) -> Array:
    """Share of a normal mean's information that a censoring limit leaves, [n].

    Values under ``limit`` (in standard deviations from the mean; -inf is none) only say that they
    are under it. The score is u above, with probability 1 - Φ, and -φ/Φ below.
    """
    limit = np.clip(limit, -30.0, 30.0)
    density = np.exp(-0.5 * limit**2) / math.sqrt(2.0 * math.pi)
    below = np.exp(-(limit**2) - math.log(2.0 * math.pi) - log_ndtr(limit))
    return ndtr(-limit) + limit * density + below


def _without_nuisance(full: Array) -> Array:
    """The Schur complement: what is left of the first two unknowns' information."""
    cross = full[:2, 2:]
    return full[:2, :2] - cross @ np.linalg.solve(full[2:, 2:], cross.T)

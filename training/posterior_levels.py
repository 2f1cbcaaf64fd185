"""What levels and silence say of each cell.

Power and path-loss exponent, which nobody asks for, are integrated out in every cell: Newton's
method climbs to their most likely values, and Gauss–Hermite nodes are spread by the curvature
there. What differs inside a cell widens the deviations, so that a coarse mesh never steps over a
narrow peak.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from onnx_graph import Tensor
from physics import (
    EXPONENT_MEAN,
    EXPONENT_SD,
    LEVEL_OUTLIER_RANGE_DB,
    LEVEL_OUTLIER_SHARE,
    MIN_DISTANCE_KM,
    POWER_SD_DB,
    SHADOWING_DISTANCE_KM,
    SHADOWING_EXPONENT,
    SHADOWING_MAX_DB,
    SHADOWING_MIN_DB,
    SHADOWING_SD_DB,
    SILENCE_OUTLIER_SHARE,
)
from posterior_geometry import NODE, RECEIVER, Cells, Network, Receivers

Nodes: TypeAlias = NDArray[np.float64]

DB_PER_E = 10.0 / math.log(10.0)
MEAN_LOG_RADIUS = 0.34
"""The geometric mean distance from the middle of a unit square to its points."""


@dataclass(frozen=True, slots=True)
class LevelLaw:
    """Each receiver's likelihood in each cell, tensors [scene, receiver, 1, cell].

    With the deviation v = ``reading`` - power · ``per_power`` + exponent · ``per_exponent``, in
    units of √2 standard deviations, the likelihood is
    ``honest`` · exp(-v²) + ``silent`` · erf(v) + ``floor``: a level that was heard has no
    ``silent`` part, a silence Φ(√2 v) no ``honest`` one, and an absent receiver only a floor of 1.
    """

    reading: Tensor
    per_power: Tensor
    per_exponent: Tensor
    honest: Tensor
    silent: Tensor
    floor: Tensor

    def deviation(self, tx: Transmitter) -> Tensor:
        """v, [scene, receiver, node, cell]."""
        return self.reading - tx.power * self.per_power + tx.exponent * self.per_exponent

    def likelihood(self, v: Tensor, gauss: Tensor) -> Tensor:
        """Probability of the readings, with the small chance that a receiver lies."""
        return self.honest * gauss + self.silent * v.erf() + self.floor


@dataclass(frozen=True, slots=True)
class Transmitter:
    """What nobody asks for; tensors [scene, 1, node, cell]."""

    power: Tensor
    """Level at the network's radius less the mean level heard, dB."""
    exponent: Tensor
    """Path-loss exponent less its prior mean."""


@dataclass(frozen=True, slots=True)
class Curvature:
    """Minus the second derivatives of a log posterior in power and exponent."""

    pp: Tensor
    pn: Tensor
    nn: Tensor

    @property
    def determinant(self) -> Tensor:
        return self.pp * self.nn - self.pn * self.pn


@dataclass(frozen=True, slots=True)
class Care:
    """How thoroughly power and exponent are integrated out."""

    newton_steps: int
    nodes: tuple[int, int]
    """Along power, along the exponent; (1, 1) is Laplace's approximation."""


def level_evidence(rx: Receivers, net: Network, at: Cells, care: Care) -> Tensor:
    """Log likelihood of all levels and silences in each cell, [scene, 1, 1, cell]."""
    law = level_law(rx, net, at)
    best = _first_guess(rx, law)
    for _ in range(care.newton_steps):
        best, curvature = _newton_step(law, best)
    u, v, log_weight = gauss_hermite(*care.nodes)
    root = curvature.pp.sqrt()  # Cholesky: nodes along power first, then along the exponent
    exponent_root = (curvature.determinant / curvature.pp).sqrt()
    exponent_step = best.power.lift(v) / exponent_root
    power_step = best.power.lift(u) / root - curvature.pn / curvature.pp * exponent_step
    spread = Transmitter(best.power + power_step, best.exponent + exponent_step)
    at_nodes = _log_posterior(law, spread) + best.power.lift(log_weight)
    peak = at_nodes.max(NODE)
    return (at_nodes - peak).exp().sum(NODE).log() + peak - (root * exponent_root).log()


def level_law(rx: Receivers, net: Network, at: Cells) -> LevelLaw:
    """Log-distance path loss and shadowing; what varies inside a cell widens the deviation."""
    size, squared = at.size, at.distance_squared
    log_squared = (squared + size * MEAN_LOG_RADIUS**2).at_least(MIN_DISTANCE_KM**2).log()
    decline = (log_squared - 2.0 * math.log(SHADOWING_DISTANCE_KM)) * (-SHADOWING_EXPONENT / 2.0)
    shadowing = (decline.exp() * SHADOWING_SD_DB).at_least(SHADOWING_MIN_DB)
    shadowing = shadowing.at_most(SHADOWING_MAX_DB)
    slope_squared = (EXPONENT_MEAN * DB_PER_E) ** 2
    along = at.dx_squared * at.variance_x + at.dy_squared * at.variance_y
    within = along * slope_squared / (squared * (squared + size * (1.0 / 3.0))).at_least(1e-20)
    variance = shadowing * shadowing + rx.offset_variance + within
    scale = (variance * 2.0).sqrt()
    loss = (log_squared * 0.5 - net.radius.log()) * DB_PER_E
    here = rx.present
    heard = rx.heard.where(here, 0.0)
    unheard = here - heard
    lie = LEVEL_OUTLIER_SHARE / LEVEL_OUTLIER_RANGE_DB
    return LevelLaw(
        reading=(rx.reading - net.mean_level + loss * EXPONENT_MEAN) / scale,
        per_power=1.0 / scale,
        per_exponent=loss / scale,
        honest=heard * ((1.0 - LEVEL_OUTLIER_SHARE) / math.sqrt(math.pi)) / scale,
        silent=unheard * ((1.0 - SILENCE_OUTLIER_SHARE) / 2.0),
        floor=heard * lie + unheard * 0.5 + (1.0 - here),
    )


def gauss_hermite(n_power: int, n_exponent: int) -> tuple[Nodes, Nodes, Nodes]:
    """Nodes u and v, and log weights of f(u, v) with the normal density divided out."""
    (u, weight_u), (v, weight_v) = (
        np.polynomial.hermite_e.hermegauss(n) for n in (n_power, n_exponent)
    )
    uu, vv = (grid.reshape(1, 1, -1, 1) for grid in np.meshgrid(u, v))
    weight = np.outer(weight_v, weight_u).reshape(1, 1, -1, 1)
    return uu, vv, np.log(weight) + (uu**2 + vv**2) / 2.0


def _first_guess(rx: Receivers, law: LevelLaw) -> Transmitter:
    """The mean power at the usual exponent, then once more with less trust in those far off."""
    weight = rx.heard.where(rx.present, 0.0) * law.per_power
    scaled = weight * law.reading
    weight = weight * law.per_power
    mean = scaled.sum(RECEIVER) / weight.sum(RECEIVER).at_least(1e-9)
    off = law.reading - mean * law.per_power
    trust = 1.0 / (off * off + 1.0)
    mean = (scaled * trust).sum(RECEIVER) / (weight * trust).sum(RECEIVER).at_least(1e-9)
    return Transmitter(mean, mean * 0.0)


def _log_posterior(law: LevelLaw, tx: Transmitter) -> Tensor:
    """Log likelihood and prior of a power and an exponent, [scene, 1, node, cell]."""
    v = law.deviation(tx)
    log_likelihood = law.likelihood(v, (-(v * v)).exp()).log().sum(RECEIVER)
    power, exponent = tx.power * (1.0 / POWER_SD_DB), tx.exponent * (1.0 / EXPONENT_SD)
    return log_likelihood - (power * power + exponent * exponent) * 0.5


def _newton_step(law: LevelLaw, tx: Transmitter) -> tuple[Transmitter, Curvature]:
    """A step towards the most likely power and exponent, and the curvature that it used.

    A level that is likelier a lie weighs little, as in reweighted least squares; a silence pushes
    with the slope of its log probability.
    """
    v = law.deviation(tx)
    gauss = (-(v * v)).exp()
    share = gauss / law.likelihood(v, gauss)
    trust = law.honest * share * 2.0
    push = law.silent * share * (2.0 / math.sqrt(math.pi))
    slope = push - trust * v
    bend = trust + (push * (push + v + v)).at_least(0.0)
    power_bend, exponent_bend = bend * law.per_power, bend * law.per_exponent
    curvature = Curvature(
        pp=(power_bend * law.per_power).sum(RECEIVER) + POWER_SD_DB**-2,
        pn=-(power_bend * law.per_exponent).sum(RECEIVER),
        nn=(exponent_bend * law.per_exponent).sum(RECEIVER) + EXPONENT_SD**-2,
    )
    up = (slope * law.per_power).sum(RECEIVER) + tx.power * POWER_SD_DB**-2
    un = (slope * law.per_exponent).sum(RECEIVER) - tx.exponent * EXPONENT_SD**-2
    inverse = 1.0 / curvature.determinant
    return Transmitter(
        tx.power - (curvature.nn * up + curvature.pn * un) * inverse,
        tx.exponent + (curvature.pp * un + curvature.pn * up) * inverse,
    ), curvature

"""What arrival times say of each cell.

Their common zero is integrated out in every cell: of the zeros that the best timed receivers stand
for, the one that most agree with is refined by reweighted least squares, and the width of its
peak is Laplace's. A few gross outliers are expected, but never so many that no quorum is left.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from onnx_graph import Tensor
from physics import ARRIVAL_OUTLIER_SHARE, ARRIVAL_QUORUM, SPEED_OF_LIGHT_KM_PER_US
from posterior_geometry import NODE, RECEIVER, Cells, Network, Receivers

ROOT_TWO_PI = math.sqrt(2.0 * math.pi)

N_CANDIDATES = 4
"""Receivers whose arrival time is tried as the common zero."""
REWEIGHTINGS = 2
QUORUM_PENALTY = 20.0
"""Nats for each receiver that lacks to the quorum."""


@dataclass(frozen=True, slots=True)
class ArrivalLaw:
    """A Gaussian with a floor of gross outliers; float32 tensors [scene, receiver, 1, cell]."""

    timed: Tensor
    """Boolean, [scene, receiver, 1, 1]."""
    weight: Tensor
    """1 / variance, µs⁻²; 0 where there is no arrival time."""
    peak: Tensor
    """Density of the Gaussian at its middle, 1/µs."""
    lie: Tensor
    """Density of an outlier, 1/µs."""

    def agreement(self, residual: Tensor) -> Tensor:
        """1 where the residual (µs) is 0, falling to 0 as the Gaussian does."""
        return (residual * residual * (self.weight * -0.5)).exp()

    def trust(self, residual: Tensor) -> Tensor:
        """Probability that an arrival time with this residual (µs) is no outlier."""
        honest = self.agreement(residual) * self.peak
        return self.timed.where(honest / (honest + self.lie), 0.0)

    def log_likelihood(self, residual: Tensor) -> Tensor:
        """Of all receivers, [scene, 1, node, cell]."""
        mixture = (self.agreement(residual) * self.peak + self.lie).log()
        return self.timed.where(mixture, 0.0).sum(RECEIVER)


def arrival_law(rx: Receivers, net: Network, at: Cells) -> ArrivalLaw:
    """How far arrival times may lie from what a cell predicts."""
    timed = rx.toa_weight > 0.0
    sigma = timed.where(1.0 / rx.toa_weight.at_least(1e-12), 1.0)
    blur = _blur(net, at, timed.where(rx.present, 0.0)) * SPEED_OF_LIGHT_KM_PER_US**-2
    variance = sigma * sigma + blur
    deviation = variance.sqrt()
    range_us = net.radius * (4.0 / SPEED_OF_LIGHT_KM_PER_US) + deviation * 20.0
    return ArrivalLaw(
        timed=timed,
        weight=timed.where(1.0 / variance, 0.0),
        peak=((1.0 - ARRIVAL_OUTLIER_SHARE) / ROOT_TWO_PI) / deviation,
        lie=ARRIVAL_OUTLIER_SHARE / range_us,
    )


def _blur(net: Network, at: Cells, timed: Tensor) -> Tensor:
    """Variance over a cell of what the common zero cannot take up of a distance, km²."""
    inverse = 1.0 / at.distance_squared.sqrt().at_least(1e-6)
    share = timed / net.n_arrivals.at_least(1.0)
    turn_x, turn_y = at.dx * inverse, at.dy * inverse
    turn_x = turn_x - (turn_x * share).sum(RECEIVER)
    turn_y = turn_y - (turn_y * share).sum(RECEIVER)
    return turn_x * turn_x * at.variance_x + turn_y * turn_y * at.variance_y


def arrival_evidence(rx: Receivers, net: Network, at: Cells) -> Tensor:
    """Log likelihood of the arrival times in each cell, [scene, 1, 1, cell]; 0 without any."""
    any_timed = rx.toa_weight.apply("ReduceMax", keepdims=0) > 0.0
    return at.x.graph.when(
        any_timed, lambda: _timed_evidence(rx, net, at), lambda: at.network_distance_squared * 0.0
    )


def _timed_evidence(rx: Receivers, net: Network, at: Cells) -> Tensor:
    """Log likelihood of the arrival times where a scene of the batch has some.

    Differences of times are float64: a nanosecond in a thousand kilometres is beyond float32.
    """
    law = arrival_law(rx, net, at)
    delay = at.distance_squared.cast("float64").sqrt() * (1.0 / SPEED_OF_LIGHT_KM_PER_US)
    zero = rx.toa - delay
    common = _likeliest_zero(rx, law, zero)
    for _ in range(REWEIGHTINGS):
        trust = (law.weight * law.trust((zero - common).cast("float32"))).cast("float64")
        common = (trust * zero).sum(RECEIVER) / trust.sum(RECEIVER).at_least(1e-30)
    residual = (zero - common).cast("float32")
    trust = law.trust(residual)
    width = (law.weight * trust).sum(RECEIVER).at_least(1e-30).log() * -0.5
    quorum = (net.n_arrivals * ARRIVAL_QUORUM).at_least(3.0).at_most(net.n_arrivals)
    lacking = (quorum - trust.sum(RECEIVER) - 0.5).at_least(0.0)
    return law.log_likelihood(residual) + width - lacking * QUORUM_PENALTY


def _likeliest_zero(rx: Receivers, law: ArrivalLaw, zero: Tensor) -> Tensor:
    """Of the common zeros that the best timed receivers stand for, the one most agree with."""
    graph = zero.graph
    count = rx.toa_weight.apply("Shape", kind="int64", start=RECEIVER, end=RECEIVER + 1)
    best_weight, best = graph.nodes(
        "TopK",
        [rx.toa_weight, count.at_most(graph.constant([N_CANDIDATES], "int64"))],
        ["float32", "int64"],
        axis=RECEIVER,
    )
    every_cell = best + (zero.cast("int64") * 0).pick(0, RECEIVER).expand(RECEIVER)
    candidates = zero.apply("GatherElements", every_cell, axis=RECEIVER)
    candidates, best_weight = (
        t.apply("Transpose", perm=[0, 2, 1, 3]) for t in (candidates, best_weight)
    )
    votes = law.agreement((zero - candidates).cast("float32")).sum(RECEIVER)
    votes = (best_weight > 0.0).where(votes, -1.0)
    chosen = (votes >= votes.max(NODE)).where(votes * 0.0 + 1.0, 0.0).cast("float64")
    return (chosen * candidates).sum(NODE) / chosen.sum(NODE)

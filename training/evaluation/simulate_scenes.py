"""Random scenes whose physics is the model's own, to hold its errors against the bound.

Receivers stand anywhere in a square, the transmitter too. Levels follow the log-distance law with
shadowing, receiver offsets of known deviation and hearing limits; times follow the geodesics with
clock and noise errors and an unknown common zero. Power, exponent and zero stay untold.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import physics
from bound import arrival_information, level_information
from numpy.typing import NDArray
from scipy.spatial import Delaunay, QhullError

from heimdall_edge.geodesy import LocalFrame, distance_m
from heimdall_edge.types import ArrivalTime, Observation, Place, ReceiverInfo, Scene

Array = NDArray[np.float64]
Family = Literal["rss", "tdoa", "rss+tdoa"]

MIDDLE = Place(46.0, 9.0)
FREQUENCY_HZ = 446e6
MIN_HEARD = {"rss": 3, "tdoa": 4, "rss+tdoa": 4}


@dataclass(frozen=True, slots=True)
class SimulatedScene:
    """A scene, the truth, and what the bound says of it."""

    scene: Scene
    transmitter: Place
    bound_km2: Array
    """[2, 2]: the least covariance that an unbiased estimate can have."""
    span_km: float
    """Greatest distance between two receivers."""
    is_inside: bool
    """Whether the transmitter lies within the receivers' convex hull."""

    @property
    def bound_km(self) -> float:
        """Root mean square of the position error, at least."""
        return math.sqrt(np.trace(self.bound_km2))

    @property
    def is_regular(self) -> bool:
        """Whether the bound is asked to be met: inside, and under a third of the span."""
        return self.is_inside and self.bound_km < self.span_km / 3


@dataclass(frozen=True, slots=True)
class Layout:
    """Where everything is; km east and north of MIDDLE."""

    receivers: Array
    transmitter: Array
    places: tuple[Place, ...]
    transmitter_place: Place
    distance_km: Array
    """From the transmitter, geodesic."""

    @property
    def span_km(self) -> float:
        return float(np.hypot(*(self.receivers[:, None] - self.receivers).transpose(2, 0, 1)).max())


def draw_scene(rng: np.random.Generator, family: Family) -> SimulatedScene:
    """Draw scenes until enough receivers hear one."""
    while True:
        low, high, half_km = (5, 25, (0.5, 50.0)) if family == "rss" else (4, 12, (2.0, 150.0))
        layout = draw_layout(rng, int(rng.integers(low, high + 1)), half_km)
        drawn = _draw_on(rng, family, layout)
        if drawn is not None:
            return drawn


def draw_layout(rng: np.random.Generator, n: int, half_km: tuple[float, float]) -> Layout:
    """N receivers and a transmitter in a square whose half width is drawn log-uniformly."""
    half = math.exp(rng.uniform(*np.log(half_km)))
    points = rng.uniform(-half, half, (n + 1, 2))
    lat, lon = LocalFrame(MIDDLE).from_enu_m(1e3 * points[:, 0], 1e3 * points[:, 1])
    places = tuple(Place(float(a), float(o)) for a, o in zip(lat, lon, strict=True))
    return Layout(
        receivers=points[:-1],
        transmitter=points[-1],
        places=places[:-1],
        transmitter_place=places[-1],
        distance_km=distance_m(lat[-1], lon[-1], lat[:-1], lon[:-1]) / 1e3,
    )


def _draw_on(rng: np.random.Generator, family: Family, layout: Layout) -> SimulatedScene | None:
    n = len(layout.places)
    levels = draw_levels(rng, layout)
    heard = levels.level > levels.limit if family != "tdoa" else np.ones(n, dtype=bool)
    if heard.sum() < MIN_HEARD[family]:
        return None
    information = np.zeros((2, 2))
    if family != "tdoa":
        information += levels.information
    arrivals: list[ArrivalTime | None] = [None] * n
    if family != "rss":
        sigma_us = math.exp(rng.uniform(*np.log([0.05, 5.0]))) * rng.uniform(0.5, 2.0, n)
        toa = layout.distance_km / physics.SPEED_OF_LIGHT_KM_PER_US + rng.normal(0, sigma_us)
        toa += rng.uniform(-1e4, 1e4)
        arrivals = [
            ArrivalTime(float(t), float(s)) if h else None
            for t, s, h in zip(toa, sigma_us, heard, strict=True)
        ]
        information += arrival_information(
            layout.receivers[heard], layout.transmitter, sigma_us=sigma_us[heard]
        )
    return SimulatedScene(
        scene=_scene(layout, levels, heard, arrivals, with_levels=family != "tdoa"),
        transmitter=layout.transmitter_place,
        bound_km2=np.linalg.inv(information),
        span_km=layout.span_km,
        is_inside=_is_inside(layout),
    )


@dataclass(frozen=True, slots=True)
class Levels:
    """What the receivers measure, dB on a common scale; [n_receivers]."""

    level: Array
    limit: Array
    offset_sd: float
    information: Array
    """Fisher matrix of the place, [2, 2]."""


def draw_levels(rng: np.random.Generator, layout: Layout) -> Levels:
    """Levels by the model's own law; the power is drawn so that a share hears it."""
    distance = np.maximum(layout.distance_km, physics.MIN_DISTANCE_KM)
    exponent = float(np.clip(rng.normal(physics.EXPONENT_MEAN, physics.EXPONENT_SD), 2.0, 4.6))
    offset_sd = float(rng.choice([0.0, 1.0, 2.0, 4.0]))
    sigma = np.hypot(shadowing_db(distance), offset_sd)
    expected = -10.0 * exponent * np.log10(distance)
    limit = np.quantile(expected, rng.uniform(0.0, 0.7)) + rng.normal(-3.0, 3.0, len(distance))
    return Levels(
        level=expected + rng.normal(0.0, sigma),
        limit=limit,
        offset_sd=offset_sd,
        information=level_information(
            layout.receivers,
            layout.transmitter,
            exponent=exponent,
            sigma_db=sigma,
            margin_db=expected - limit,
            radius_km=layout.span_km / 2,
        ),
    )


def shadowing_db(distance_km: Array) -> Array:
    """Standard deviation of the shadowing, as physics.py has it."""
    law = (physics.SHADOWING_DISTANCE_KM / distance_km) ** physics.SHADOWING_EXPONENT
    return np.clip(
        physics.SHADOWING_SD_DB * law, physics.SHADOWING_MIN_DB, physics.SHADOWING_MAX_DB
    )


def _scene(
    layout: Layout,
    levels: Levels,
    heard: NDArray[np.bool_],
    arrivals: list[ArrivalTime | None],
    *,
    with_levels: bool,
) -> Scene:
    observations = tuple(
        Observation(
            observation_id=f"r{i:02d}",
            receiver=ReceiverInfo("sim", f"r{i:02d}", place, 0.0, levels.offset_sd),
            channel="sim",
            frequency_hz=FREQUENCY_HZ,
            start_utc_ns=0,
            duration_s=1.0,
            noise_floor_dbfs=float(levels.limit[i]),
            heard=bool(heard[i]),
            level_dbfs=float(levels.level[i]) if heard[i] and with_levels else None,
        )
        for i, place in enumerate(layout.places)
    )
    return Scene("sim", FREQUENCY_HZ, 0, 1.0, observations, arrivals=tuple(arrivals))


def _is_inside(layout: Layout) -> bool:
    try:
        return bool(Delaunay(layout.receivers).find_simplex(layout.transmitter) >= 0)
    except QhullError:
        return False

"""WGS-84 in float64: geodesics, and the local east–north frame in which models think.

Everything between a receiver's latitude and longitude and a model's kilometres goes through here.
A geodesic is solved on the auxiliary sphere (C. F. F. Karney, "Algorithms for geodesics",
J. Geodesy 87, 2013, whose letters are used): with σ the arc from the equator, α0 the azimuth
there and ω the spherical longitude, distance and longitude are the integrals

    s = b ∫ √(1 + k² sin²σ) dσ,     λ = ω − f sin α0 ∫ (2 − f) / (1 + (1 − f) √(1 + k² sin²σ)) dσ

of functions so smooth that 16 Gauss–Legendre nodes reach rounding over half the Earth.
Arguments are degrees and metres, scalars or arrays that broadcast; answers are float64 arrays.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from heimdall_edge.types import Float64, Place

SPEED_OF_LIGHT_M_S = 299_792_458.0
EQUATORIAL_RADIUS_M = 6_378_137.0
FLATTENING = 1 / 298.257223563
POLAR_RADIUS_M = EQUATORIAL_RADIUS_M * (1 - FLATTENING)

ABSURD_WITHIN_DEG = 0.01
"""A receiver this near to 0° N 0° E, in the open sea, has a GPS without a fix."""

_SECOND_ECCENTRICITY_SQUARED = FLATTENING * (2 - FLATTENING) / (1 - FLATTENING) ** 2
_LEGENDRE_NODES, _LEGENDRE_WEIGHTS = np.polynomial.legendre.leggauss(16)
_NODES, _WEIGHTS = (_LEGENDRE_NODES + 1) / 2, _LEGENDRE_WEIGHTS / 2  # on 0…1

_FIXED_POINT_STEPS = 20  # it gains two digits a step, except close to the antipode
_BISECTION_STEPS = 60  # π / 2⁶⁰ is below the rounding of an angle
_NEWTON_STEPS = 4  # from an error of 0.2 %, doubling its digits a step
_TOLERANCE_RAD = 1e-14  # 0.06 µm


class Geodesic(NamedTuple):
    """The shortest path from one place to another."""

    distance_m: Float64
    azimuth_deg: Float64
    """Direction at its start, clockwise from true north, [0, 360)."""


def is_absurd(place: Place) -> bool:
    """Whether nobody can stand there: not finite, out of range, or a GPS without a fix."""
    latitude, longitude = place.latitude_deg, place.longitude_deg
    if not all(map(math.isfinite, (latitude, longitude, place.altitude_m, place.antenna_height_m))):
        return True
    if abs(latitude) > 90 or abs(longitude) > 180:
        return True
    return math.hypot(latitude, longitude) <= ABSURD_WITHIN_DEG


def mean_place(places: Iterable[Place]) -> Place:
    """The middle of some places, also round a pole or over the antimeridian.

    Its altitude is their mean altitude. ValueError where there are none, or no middle.
    """
    at = list(places)
    if not at:
        raise ValueError("the mean of no places is not defined")
    latitude = np.radians([p.latitude_deg for p in at])
    longitude = np.radians([p.longitude_deg for p in at])
    x = float(np.mean(np.cos(latitude) * np.cos(longitude)))
    y = float(np.mean(np.cos(latitude) * np.sin(longitude)))
    z = float(np.mean(np.sin(latitude)))
    if not math.hypot(x, y, z) > 1e-9:
        raise ValueError(f"{len(at)} places round the whole Earth (or not finite) have no middle")
    return Place(
        latitude_deg=math.degrees(math.atan2(z, math.hypot(x, y))),
        longitude_deg=math.degrees(math.atan2(y, x)),
        altitude_m=float(np.mean([p.altitude_m for p in at])),
    )


def distance_m(lat1: ArrayLike, lon1: ArrayLike, lat2: ArrayLike, lon2: ArrayLike) -> Float64:
    """Length of the shortest path between places on the ellipsoid, metres."""
    return inverse(lat1, lon1, lat2, lon2).distance_m


def inverse(lat1: ArrayLike, lon1: ArrayLike, lat2: ArrayLike, lon2: ArrayLike) -> Geodesic:
    """The shortest path from place 1 to place 2; within 0.1 µm, near antipodes too.

    Solves ω by fixed point, as Vincenty does; where that does not settle, by bisection.
    """
    lat1, lat2, east = np.broadcast_arrays(
        np.asarray(lat1, np.float64),
        np.asarray(lat2, np.float64),
        np.asarray(lon2, np.float64) - np.asarray(lon1, np.float64),
    )
    _check_places(lat1, lat2, east)
    beta1, beta2 = _reduced_latitude(lat1.ravel()), _reduced_latitude(lat2.ravel())
    lam = np.radians(np.remainder(east.ravel() + 180, 360) - 180)
    omega = lam
    for _ in range(_FIXED_POINT_STEPS):
        path, alpha1 = _spherical(beta1, beta2, omega)
        improved = lam + path.longitude_lag()
        settled = np.abs(improved - omega) <= _TOLERANCE_RAD
        omega = improved
        if settled.all():
            break
    distance = path.length_m()
    hard = ~settled | (np.abs(omega) > np.pi)
    if hard.any():
        distance[hard], alpha1[hard] = _near_antipode(beta1[hard], beta2[hard], lam[hard])
    return Geodesic(distance.reshape(east.shape), (np.degrees(alpha1) % 360).reshape(east.shape))


def direct(
    latitude_deg: ArrayLike, longitude_deg: ArrayLike, azimuth_deg: ArrayLike, distance_m: ArrayLike
) -> tuple[Float64, Float64]:
    """Where one arrives after a distance in a direction: latitude, longitude [-180, 180)."""
    beta1 = _reduced_latitude(np.asarray(latitude_deg, np.float64))
    alpha1 = np.radians(np.asarray(azimuth_deg, np.float64))
    distance = np.asarray(distance_m, np.float64)
    along, across = np.cos(alpha1) * np.cos(beta1), np.sin(alpha1) * np.cos(beta1)
    cos_alpha0 = np.hypot(along, np.sin(beta1))
    start = np.arctan2(np.sin(beta1), along)
    arc = distance / POLAR_RADIUS_M
    for _ in range(_NEWTON_STEPS):
        path = _Path(start, arc, across)
        arc = arc - (path.length_m() - distance) / (POLAR_RADIUS_M * path.stretch(start + arc))
    path = _Path(start, arc, across)
    end = start + arc
    beta2 = np.arctan2(cos_alpha0 * np.sin(end), np.hypot(cos_alpha0 * np.cos(end), across))
    omega1 = np.arctan2(across * np.sin(beta1), along)
    omega2 = np.arctan2(across * np.sin(end), np.cos(end))
    east = np.degrees(omega2 - omega1 - path.longitude_lag())
    latitude = np.degrees(np.arctan2(np.sin(beta2), (1 - FLATTENING) * np.cos(beta2)))
    return latitude, np.remainder(np.asarray(longitude_deg, np.float64) + east + 180, 360) - 180


@dataclass(frozen=True, slots=True)
class LocalFrame:
    """East and north of an origin, metres: the azimuthal equidistant map of the ellipsoid.

    Distance and direction from the origin are exact, so that a network of any size keeps them;
    away from the origin lengths across them grow (0.1 % at 500 km).
    """

    origin: Place

    def to_enu_m(
        self, latitude_deg: ArrayLike, longitude_deg: ArrayLike
    ) -> tuple[Float64, Float64]:
        """East, north (m) of places."""
        path = inverse(
            self.origin.latitude_deg, self.origin.longitude_deg, latitude_deg, longitude_deg
        )
        azimuth = np.radians(path.azimuth_deg)
        return path.distance_m * np.sin(azimuth), path.distance_m * np.cos(azimuth)

    def from_enu_m(self, east_m: ArrayLike, north_m: ArrayLike) -> tuple[Float64, Float64]:
        """Latitude, longitude (degrees) of points in the frame."""
        east, north = np.asarray(east_m, np.float64), np.asarray(north_m, np.float64)
        return direct(
            self.origin.latitude_deg,
            self.origin.longitude_deg,
            np.degrees(np.arctan2(east, north)),
            np.hypot(east, north),
        )


@dataclass(frozen=True, slots=True)
class _Path:
    """A stretch of a geodesic on the auxiliary sphere."""

    start: Float64
    """σ1, from the geodesic's northward crossing of the equator."""
    arc: Float64
    """σ2 − σ1."""
    sin_alpha0: Float64
    """Sine of the azimuth at the equator."""

    def length_m(self) -> Float64:
        return np.asarray(POLAR_RADIUS_M * self.arc * (self._stretch_at_nodes() @ _WEIGHTS))

    def longitude_lag(self) -> Float64:
        """ω12 − λ12: by how much the ellipsoid's longitude stays behind the sphere's."""
        slope = (2 - FLATTENING) / (1 + (1 - FLATTENING) * self._stretch_at_nodes())
        return np.asarray(FLATTENING * self.sin_alpha0 * self.arc * (slope @ _WEIGHTS))

    def stretch(self, sigma: Float64) -> Float64:
        """ds/dσ over the polar radius: √(1 + k² sin²σ)."""
        k_squared = _SECOND_ECCENTRICITY_SQUARED * (1 - self.sin_alpha0**2)
        return np.asarray(np.sqrt(1 + k_squared * np.sin(sigma) ** 2))

    def _stretch_at_nodes(self) -> Float64:
        """float64 [..., 16]."""
        k_squared = _SECOND_ECCENTRICITY_SQUARED * (1 - self.sin_alpha0**2)
        sigma = self.start[..., None] + self.arc[..., None] * _NODES
        return np.asarray(np.sqrt(1 + k_squared[..., None] * np.sin(sigma) ** 2))


def _check_places(lat1: Float64, lat2: Float64, lon_difference: Float64) -> None:
    for latitude in (lat1, lat2):
        if not (np.abs(latitude) <= 90).all():
            worst = latitude[~(np.abs(latitude) <= 90)].flat[0]
            raise ValueError(f"latitude is {worst}°, expected -90…90")
    if not np.isfinite(lon_difference).all():
        raise ValueError("a longitude is not finite")


def _reduced_latitude(latitude_deg: Float64) -> Float64:
    """β, radians: the latitude on the auxiliary sphere."""
    phi = np.radians(latitude_deg)
    return np.asarray(np.arctan2((1 - FLATTENING) * np.sin(phi), np.cos(phi)))


def _spherical(beta1: Float64, beta2: Float64, omega: Float64) -> tuple[_Path, Float64]:
    """The great circle between two points of the auxiliary sphere, and its azimuth at the first."""
    half = 2 * np.sin(omega / 2) ** 2  # 1 − cos ω without the loss of digits
    north = np.sin(beta2 - beta1) + np.sin(beta1) * np.cos(beta2) * half
    east = np.cos(beta2) * np.sin(omega)
    up = np.cos(beta2 - beta1) - np.cos(beta1) * np.cos(beta2) * half
    alpha1 = np.arctan2(east, north)
    path = _Path(
        start=np.arctan2(np.sin(beta1), np.cos(alpha1) * np.cos(beta1)),
        arc=np.arctan2(np.hypot(east, north), up),
        sin_alpha0=np.sin(alpha1) * np.cos(beta1),
    )
    return path, alpha1


def _near_antipode(beta1: Float64, beta2: Float64, lam: Float64) -> tuple[Float64, Float64]:
    """Distance (m) and azimuth (rad) where the fixed point does not settle; all float64 [n].

    With point 1 the farther from the equator, on its south, and point 2 to the east, λ12 grows
    with α1 all the way from 0 to π (Karney, section 4): bisection cannot miss the one root.
    """
    swapped = np.abs(beta1) < np.abs(beta2)
    far, near = np.where(swapped, beta2, beta1), np.where(swapped, beta1, beta2)
    southward = np.where(far < 0, 1.0, -1.0)
    far, near = -np.abs(far), near * southward
    low, high = np.zeros_like(lam), np.full_like(lam, np.pi)
    for _ in range(_BISECTION_STEPS):
        middle = (low + high) / 2
        short = _reach(far, near, middle)[0] < np.abs(lam)
        low, high = np.where(short, middle, low), np.where(short, high, middle)
    _, path, alpha2 = _reach(far, near, low)
    # The figure turned back to where the points are; swapped, one leaves against the arrival.
    alpha1 = np.where(swapped, alpha2, low)
    northward = southward * np.where(swapped, -1.0, 1.0)
    eastward = np.where(lam < 0, -1.0, 1.0)
    return path.length_m(), np.arctan2(eastward * np.sin(alpha1), northward * np.cos(alpha1))


def _reach(beta1: Float64, beta2: Float64, alpha1: Float64) -> tuple[Float64, _Path, Float64]:
    """λ12, the path and α2, when one leaves β1 in the direction α1 and goes on to β2."""
    along1, across = np.cos(alpha1) * np.cos(beta1), np.sin(alpha1) * np.cos(beta1)
    s1, s2 = np.sin(beta1), np.sin(beta2)
    along2 = np.sqrt(np.maximum(along1**2 + (s1 - s2) * (s1 + s2), 0))
    start = np.arctan2(s1, along1)
    path = _Path(start, np.arctan2(s2, along2) - start, across)
    omega = np.arctan2(across * s2, along2) - np.arctan2(across * s1, along1)
    return omega - path.longitude_lag(), path, np.arctan2(across, along2)

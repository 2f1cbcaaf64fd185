"""From a transmitter's antenna to a receiver's: how late, and how strong.

::

    Track ─place at t─▶ Path ─▶ delay (s), level (dBm)
    Shadowing ─────────▶┘

level = power − loss at 1 m − 10 n log10(d / 1 m) + σ(d) · G(transmitter, receiver), where d is
the slant distance and G a field that is frozen in place: Gaussian, mean 0, with the covariance

    cov(G(t, r), G(t′, r′)) = exp(−|t − t′| / L) · exp(−|r − r′| / L)

(M. Gudmundson, Electronics Letters 27, 1991, at both ends of the link; L is
``shadowing_correlation_m``). σ(d) = σ₃₀₀ (300 m / max(d, 30 m))^e, within its limits.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from heimdall_edge.config_simulation import Propagation, Transmitter
from heimdall_edge.geodesy import SPEED_OF_LIGHT_M_S, LocalFrame, distance_m
from heimdall_edge.sources.seeds import generator
from heimdall_edge.types import Float64, Place

NEAREST_M = 1.0
"""Nearer than this, level does not rise."""

SHADOWING_REFERENCE_M = 300.0
SHADOWING_NEAREST_M = 30.0
LEAST_CORRELATION_M = 1.0
"""Stands for "no correlation": G must still be a field."""
WAVES = 1_024
"""Plane waves that G is summed of: its kurtosis is 3 − 1.5 / 1024."""

TRACK_STEP_M = 500.0
"""A leg is straight in latitude and longitude, and is cut this fine to be straight in metres."""


def free_space_loss_db(frequency_hz: float, distance_m: float = 1.0) -> float:
    """Friis: 20 log10(4π d f / c)."""
    return 20 * math.log10(4 * math.pi * distance_m * frequency_hz / SPEED_OF_LIGHT_M_S)


def shadowing_sigma_db(propagation: Propagation, distance_m: Float64) -> Float64:
    """Standard deviation of shadowing at a distance, dB."""
    ratio = SHADOWING_REFERENCE_M / np.maximum(distance_m, SHADOWING_NEAREST_M)
    sigma_db = propagation.shadowing_sigma_db * ratio**propagation.shadowing_near_exponent
    return np.clip(sigma_db, propagation.shadowing_min_db, propagation.shadowing_max_db)


@dataclass(frozen=True, slots=True)
class Track:
    """Where a transmitter is at each instant; before and after its track it stands still."""

    at_s: Float64
    """float64 [n], rising; one place only for a transmitter that stands still."""
    latitude_deg: Float64
    longitude_deg: Float64
    """float64 [n], without jumps at the antimeridian."""
    repeats: bool = False

    @classmethod
    def of(cls, transmitter: Transmitter) -> Track:
        points = transmitter.track
        if not points:
            at = np.array([[transmitter.latitude_deg], [transmitter.longitude_deg]], np.float64)
            return cls(np.zeros(1), *at)
        at_s = np.array([p.at_s for p in points])
        latitude_deg = np.array([p.latitude_deg for p in points])
        longitude_deg = np.unwrap([p.longitude_deg for p in points], period=360)
        fine_s = _cut_fine(at_s, latitude_deg, longitude_deg)
        return cls(
            fine_s,
            np.interp(fine_s, at_s, latitude_deg),
            np.interp(fine_s, at_s, longitude_deg),
            repeats=transmitter.track_repeats,
        )

    @property
    def moves(self) -> bool:
        return len(self.at_s) > 1

    def track_time_s(self, time_s: Float64) -> Float64:
        """Time within the track, which may start over."""
        return time_s % self.at_s[-1] if self.repeats and self.at_s[-1] > 0 else time_s

    def place_at(self, time_s: float) -> tuple[float, float]:
        """Latitude, longitude [-180, 180), degrees."""
        at_s = self.track_time_s(np.array(time_s))
        latitude_deg = float(np.interp(at_s, self.at_s, self.latitude_deg))
        longitude_deg = float(np.interp(at_s, self.at_s, self.longitude_deg))
        return latitude_deg, (longitude_deg + 180) % 360 - 180


def _cut_fine(at_s: Float64, latitude_deg: Float64, longitude_deg: Float64) -> Float64:
    """The instants of a track's points, and of so many between that no step is long."""
    lengths_m = distance_m(
        latitude_deg[:-1], longitude_deg[:-1], latitude_deg[1:], longitude_deg[1:]
    )
    steps = np.maximum(1, np.ceil(lengths_m / TRACK_STEP_M)).astype(int)
    legs = [
        np.linspace(a, b, n, endpoint=False) for a, b, n in zip(at_s, at_s[1:], steps, strict=False)
    ]
    return np.concatenate([*legs, at_s[-1:]])


class Shadowing:
    """The field G over (transmitter, receiver): a sum of random plane waves.

    The wave numbers at each end are drawn from the spectrum of exp(−|x| / L) in the plane, which
    is the Cauchy distribution of two dimensions (bivariate normal over an independent |normal|),
    so that the covariance is exact in the mean over seeds.
    """

    def __init__(self, *, seed: int, correlation_m: float, frame: LocalFrame) -> None:
        random = generator(seed, "shadowing")
        length_m = max(correlation_m, LEAST_CORRELATION_M)
        normal = random.standard_normal((2, 2, WAVES))
        wave_numbers = normal / np.abs(random.standard_normal((2, 1, WAVES))) / length_m
        self._transmitter_waves, self._receiver_waves = wave_numbers  # rad/m [2, WAVES] each
        self._phases = random.uniform(0, 2 * np.pi, WAVES)
        self.frame = frame
        """In which both ends' places are east and north, metres."""

    def seen_from(self, receiver: Place) -> ShadowingAtReceiver:
        """The field with one end held."""
        at_m = self.frame.to_enu_m(receiver.latitude_deg, receiver.longitude_deg)
        phases = self._phases + np.array(at_m) @ self._receiver_waves
        return ShadowingAtReceiver(self._transmitter_waves, phases)


@dataclass(frozen=True, slots=True)
class ShadowingAtReceiver:
    """G for one receiver, over the transmitter's place."""

    waves_rad_m: Float64
    """float64 [2, WAVES]."""
    phases_rad: Float64
    """float64 [WAVES]."""

    def at(self, east_m: Float64, north_m: Float64) -> Float64:
        """G, float64 [n], for transmitters at places [n] in the field's frame."""
        phases_rad = self.phases_rad + np.stack([east_m, north_m], axis=-1) @ self.waves_rad_m
        return np.asarray(math.sqrt(2 / WAVES) * np.cos(phases_rad).sum(axis=-1))


class Path:
    """The air between one transmitter and one receiver.

    Distance is exact on the ellipsoid: the track is kept east and north of the receiver.
    """

    def __init__(
        self,
        *,
        transmitter: Transmitter,
        track: Track,
        receiver: Place,
        propagation: Propagation,
        shadowing: Shadowing,
    ) -> None:
        self._transmitter = transmitter
        self._track = track
        self._propagation = propagation
        self._shadowing = shadowing.seen_from(receiver)
        at = (track.latitude_deg, track.longitude_deg)
        self._from_receiver_m = LocalFrame(receiver).to_enu_m(*at)
        self._in_field_m = shadowing.frame.to_enu_m(*at)
        self._rise_m = (transmitter.altitude_m + transmitter.antenna_height_m) - (
            receiver.altitude_m + receiver.antenna_height_m
        )

    @property
    def changes(self) -> bool:
        """Whether delay and level depend on time."""
        return self._track.moves

    def distance_m(self, time_s: Float64) -> Float64:
        """Slant distance at instants, float64 [n]."""
        east_m, north_m = self._along(self._from_receiver_m, time_s)
        return np.asarray(np.sqrt(east_m**2 + north_m**2 + self._rise_m**2))

    def delay_s(self, time_s: Float64) -> Float64:
        """How long the signal is under way, float64 [n]."""
        distance_m = self.distance_m(time_s)
        return distance_m / SPEED_OF_LIGHT_M_S if self._propagation.delay else 0 * distance_m

    def level_dbm(self, time_s: Float64) -> Float64:
        """Level between isotropic antennas while the transmitter is on, float64 [n]."""
        air = self._propagation
        distance_m = np.maximum(self.distance_m(time_s), NEAREST_M)
        loss_db = air.reference_loss_db
        if loss_db is None:
            loss_db = free_space_loss_db(self._transmitter.frequency_hz)
        field = self._shadowing.at(*self._along(self._in_field_m, time_s))
        return np.asarray(
            self._transmitter.power_dbm
            - loss_db
            - 10 * air.exponent * np.log10(distance_m)
            + shadowing_sigma_db(air, distance_m) * field
        )

    def _along(
        self, east_north_m: tuple[Float64, Float64], time_s: Float64
    ) -> tuple[Float64, Float64]:
        at_s = self._track.track_time_s(time_s)
        east_m, north_m = (np.interp(at_s, self._track.at_s, axis) for axis in east_north_m)
        return east_m, north_m

"""Scene → the inputs of a ``locator/1`` model.

::

    Scene ─▶ locator_inputs ─▶ LocatorInputs ─▶ LocatorModel.infer ─▶ Estimate
                                    ▲                    │ first answer, wide networks only
                                    └─ with_geodesic_arrivals

Geometry is float64 outside the model; the model sees kilometres east and north of the receivers'
middle, never a latitude. The columns are those of the locator contract, section 3.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

import numpy as np

from heimdall_edge.errors import BurstError
from heimdall_edge.geodesy import SPEED_OF_LIGHT_M_S, LocalFrame, distance_m, is_absurd, mean_place
from heimdall_edge.locate.level_columns import (
    FEATURES,
    has_level,
    has_limit,
    log10_or_nan,
    rx_feat,
)
from heimdall_edge.types import (
    ArrivalTime,
    Float32,
    Float64,
    Method,
    Observation,
    Place,
    ReceiverInfo,
    Scene,
    frozen_array,
)

ABSENT, HEARD, NOT_HEARD = 0.0, 1.0, 2.0
"""The values of ``rx_state``."""

_ARRIVAL_LIMIT_US = 1e8
_SAME_SITE_KM = 0.02
_MEL_RANGE_DB = (-10.0, 60.0)


@dataclass(frozen=True, slots=True, eq=False)
class LocatorInputs:
    """What a model is fed for one scene, and how to read its answer."""

    feeds: Mapping[str, Float32]
    """Input name → float32 [1, n_receivers, …]; read-only."""
    origin: Place
    """The zero of ``rx_enu``: the middle of the receivers."""
    receivers: tuple[ReceiverInfo, ...]
    """In the order of the receiver axis."""
    n_levels: int
    """Receivers that heard it and gave a level."""
    n_arrivals: int
    """Receivers whose arrival time is used."""
    n_sites: int
    """Places with such receivers, antennas on one mast counted once."""
    left_out: Mapping[str, int]
    """Reason → observations that could not be used."""

    @property
    def method(self) -> Method | None:
        """What a fix would rest on; ``None`` where neither levels nor times suffice."""
        if self.n_levels >= 3:
            return "rss+tdoa" if self.n_arrivals >= 2 else "rss"
        return "tdoa" if self.n_arrivals >= 3 else None

    @property
    def span_km(self) -> float:
        """Greatest distance of a receiver from the origin, doubled."""
        return 2.0 * float(np.hypot(*self.feeds["rx_enu"][0, :, :2].T).max())

    def refusal(self, *, min_receivers: int = 3) -> str | None:
        """Why this scene can have no fix, as ``reason`` is published; ``None`` if it can."""
        if self.method is None or max(self.n_levels, self.n_arrivals) < min_receivers:
            return "too_few_receivers"
        return "no_geometry" if self.n_sites < 3 else None


def locator_inputs(scene: Scene, *, mel_shape: tuple[int, int] | None = None) -> LocatorInputs:
    """Build a model's inputs for a scene.

    Parameters
    ----------
    scene
        Observations in receiver order; those of receivers with absurd places, and silent ones
        whose limit nobody knows, are left out and counted.
    mel_shape
        (n_mels, n_frames) where the model wants ``mel``.

    Raises
    ------
    BurstError
        ``non_finite``: a number is NaN or infinite; ``no_geometry``: no receiver is usable.
    """
    arrivals = scene.arrivals or (None,) * len(scene.observations)
    usable, left_out = [], dict[str, int]()
    for pair in zip(scene.observations, arrivals, strict=True):
        reason = _unusable(pair[0])
        if reason is None:
            usable.append(pair)
        else:
            left_out[reason] = left_out.get(reason, 0) + 1
    observations = [observation for observation, _ in usable]
    origin = _origin(observations)
    rx_enu = _rx_enu(observations, origin)
    toa_us, toa_w = _arrival_columns([arrival for _, arrival in usable])
    feeds = {
        "rx_enu": rx_enu,
        "rx_feat": rx_feat(observations),
        "rx_state": np.array([HEARD if o.heard else NOT_HEARD for o in observations]),
        "freq": np.array([log10_or_nan(scene.frequency_hz / 1e6)]),
        "toa_us": toa_us,
        "toa_w": toa_w,
    }
    if mel_shape is not None:
        feeds["mel"] = np.stack([_mel(o, mel_shape) for o in observations])
    gives_level = np.array([has_level(o) for o in observations])
    return LocatorInputs(
        feeds=_checked(feeds, observations),
        origin=origin,
        receivers=tuple(o.receiver for o in observations),
        n_levels=int(gives_level.sum()),
        n_arrivals=int(np.count_nonzero(toa_w)),
        n_sites=_count_sites(rx_enu[gives_level | (toa_w > 0), :2]),
        left_out=MappingProxyType(left_out),
    )


def with_geodesic_arrivals(inputs: LocatorInputs, mean_enu_km: Float64) -> LocatorInputs:
    """The same inputs, arrival times corrected for the Earth's curvature near an estimate.

    A model measures distances on a plane; over 600 km that is wrong by up to 0.9 km away from
    the origin. Taking (geodesic − planar)/c at a first estimate out of the arrival times leaves
    an error of second order.
    """
    frame = LocalFrame(inputs.origin)
    east_m, north_m = (float(v) * 1e3 for v in mean_enu_km)
    at = np.array([(r.place.latitude_deg, r.place.longitude_deg) for r in inputs.receivers])
    rx_east_m, rx_north_m = frame.to_enu_m(at[:, 0], at[:, 1])
    planar_m = np.hypot(rx_east_m - east_m, rx_north_m - north_m)
    geodesic_m = distance_m(*frame.from_enu_m(east_m, north_m), at[:, 0], at[:, 1])
    excess_us = (geodesic_m - planar_m) / SPEED_OF_LIGHT_M_S * 1e6
    used = inputs.feeds["toa_w"] > 0
    toa_us = np.where(used, inputs.feeds["toa_us"] - excess_us, 0.0).astype(np.float32)
    feeds = {**inputs.feeds, "toa_us": frozen_array(toa_us)}
    return replace(inputs, feeds=MappingProxyType(feeds))


def _unusable(observation: Observation) -> str | None:
    if is_absurd(observation.receiver.place):
        return "absurd_place"
    if not observation.heard and not has_limit(observation):
        return "unknown_limit"
    return None


def _origin(observations: Sequence[Observation]) -> Place:
    try:
        return mean_place(o.receiver.place for o in observations)
    except ValueError as error:
        raise BurstError("no_geometry", f"the receivers have no middle: {error}") from error


def _rx_enu(observations: Sequence[Observation], origin: Place) -> Float64:
    """float64 [n_receivers, 3]: east, north, antenna height above ground, km."""
    places = [o.receiver.place for o in observations]
    east_m, north_m = LocalFrame(origin).to_enu_m(
        [p.latitude_deg for p in places], [p.longitude_deg for p in places]
    )
    return np.stack([east_m, north_m, [p.antenna_height_m for p in places]], axis=1) / 1e3


# ── times, spectrograms ───────────────────────────────────────────────────────────────────


def _arrival_columns(arrivals: Sequence[ArrivalTime | None]) -> tuple[Float64, Float64]:
    """toa_us and toa_w, float64 [n_receivers]; outliers weigh nothing."""
    toa_us, weight = np.zeros(len(arrivals)), np.zeros(len(arrivals))
    for i, arrival in enumerate(arrivals):
        if arrival is not None and not arrival.is_outlier:
            toa_us[i] = arrival.toa_us
            weight[i] = 1.0 / arrival.sigma_us if arrival.sigma_us > 0 else math.nan
    used = weight != 0
    if used.any():  # float32 keeps nanoseconds only near zero
        toa_us[used] -= np.median(toa_us[used])
    return np.clip(toa_us, -_ARRIVAL_LIMIT_US, _ARRIVAL_LIMIT_US), weight


def _mel(observation: Observation, shape: tuple[int, int]) -> Float32:
    """float32 [n_mels, n_frames], cut or filled with zeros at its end."""
    out = np.zeros(shape, dtype=np.float32)
    if observation.mel is not None and len(observation.mel.db_over_floor) == shape[0]:
        frames = observation.mel.db_over_floor[:, : shape[1]]
        out[:, : frames.shape[1]] = np.clip(frames, *_MEL_RANGE_DB)
    return out


# ── checks ────────────────────────────────────────────────────────────────────────────────


def _checked(
    feeds: Mapping[str, Float64 | Float32], observations: Sequence[Observation]
) -> Mapping[str, Float32]:
    """The feeds as float32 with a batch axis; BurstError names what is not finite."""
    checked = {}
    for name, array in feeds.items():
        with np.errstate(over="ignore"):
            narrow = array.astype(np.float32)
        if not np.isfinite(narrow).all():
            where = np.argwhere(~np.isfinite(narrow))[0]
            raise BurstError("non_finite", _complaint(name, where, observations))
        checked[name] = frozen_array(narrow[np.newaxis])
    return MappingProxyType(checked)


def _complaint(name: str, where: Sequence[int], observations: Sequence[Observation]) -> str:
    if name == "freq":
        return "frequency_hz of the scene is not a finite positive number"
    column = f" {FEATURES[where[1]]}" if name == "rx_feat" else ""
    station, receiver = observations[where[0]].receiver.key
    return f"{name}{column} of receiver {station}/{receiver} is not a finite number"


def _count_sites(enu_km: Float64) -> int:
    """How many of the places [n, 2] differ by more than a mast's width."""
    sites: list[Float64] = []
    for place in enu_km:
        if all(math.dist(place, site) > _SAME_SITE_KM for site in sites):
            sites.append(place)
    return len(sites)

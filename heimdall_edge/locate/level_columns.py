"""The levels of a scene, as the columns of ``rx_feat`` (locator contract, section 3)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from heimdall_edge.types import Float64, Observation

FEATURES = (
    "level_dbm",
    "is_calibrated",
    "relative_level_db",
    "snr_db",
    "noise_floor_db",
    "offset_db",
    "offset_sd_db",
    "log10_bandwidth_hz",
    "clipped_fraction",
    "antenna_amsl_km",
)
"""The columns of ``rx_feat``, in order."""

UNKNOWN_OFFSET_SD_DB = 8.0
UNKNOWN_LEVEL_SD_DB = 200.0
"""Offset prior of a receiver that heard something but gave no level: it says nothing by level."""
OTHER_SCALE_SD_DB = 12.0
"""A level in dBm beside levels in dBFS: how far the two zeros may lie apart."""

_LEVEL_LIMIT_DB = 300.0  # beyond this a level is a fault; the model's arithmetic stays finite


def rx_feat(observations: Sequence[Observation]) -> Float64:
    """float64 [n_receivers, 10], columns as FEATURES.

    Receivers that know dBm only share the column of relative levels: where they are the lesser
    part of those that heard it, their unknown zero widens their offset prior.
    """
    in_dbm = [_is_dbm_only(o) for o in observations]
    heard_in_dbm = sum(dbm for o, dbm in zip(observations, in_dbm, strict=True) if o.heard)
    dbm_rules = 2 * heard_in_dbm > sum(o.heard for o in observations)
    rows = [
        _row(o, other_scale=dbm is not dbm_rules)
        for o, dbm in zip(observations, in_dbm, strict=True)
    ]
    return np.array(rows, dtype=np.float64).reshape(len(rows), len(FEATURES))


def _row(observation: Observation, *, other_scale: bool) -> tuple[float, ...]:
    receiver = observation.receiver
    level, floor = level_db(observation), noise_floor_db(observation)
    sd_db = receiver.level_offset_sd_db
    sd_db = UNKNOWN_OFFSET_SD_DB if sd_db is None else sd_db
    if observation.heard and level is None:
        sd_db = UNKNOWN_LEVEL_SD_DB
    elif other_scale:
        sd_db = math.hypot(sd_db, OTHER_SCALE_SD_DB)
    return (
        observation.level_dbm or 0.0,
        0.0 if observation.level_dbm is None else 1.0,
        _clip(level or 0.0),
        observation.snr_db or 0.0,
        _clip(floor or 0.0),
        receiver.level_offset_db,
        sd_db,
        log10_or_nan(observation.bandwidth_hz) if observation.bandwidth_hz else 0.0,
        observation.clipped_fraction,
        (receiver.place.altitude_m + receiver.place.antenna_height_m) / 1e3,
    )


def _is_dbm_only(observation: Observation) -> bool:
    if observation.heard:
        return observation.level_dbfs is None and observation.level_dbm is not None
    return observation.noise_floor_dbfs is None


def level_db(observation: Observation) -> float | None:
    """Level relative to the receiver's input: dBFS less gain, or dBm where only that is known."""
    if observation.level_dbfs is None:
        return observation.level_dbm
    return observation.level_dbfs - (observation.gain_db or 0.0)


def noise_floor_db(observation: Observation) -> float | None:
    """Noise floor, or what a silent receiver would not have heard, on the scale of the level."""
    if observation.noise_floor_dbfs is None or _is_dbm_only(observation):
        return observation.noise_floor_dbm
    return observation.noise_floor_dbfs - (observation.gain_db or 0.0)


def _clip(level: float) -> float:
    if not math.isfinite(level):
        return level  # refused by name further down
    return min(max(level, -_LEVEL_LIMIT_DB), _LEVEL_LIMIT_DB)


def log10_or_nan(value: float) -> float:
    """A logarithm that is NaN, and so refused by name, where there is none."""
    return math.log10(value) if value > 0 else math.nan

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

    The column of relative levels is on one scale: dBm at the antenna where at least as many of
    those that heard it know that, dBFS less gain otherwise. Who knows the other scale only shares
    the column, and the unknown distance of the two zeros widens its offset prior.
    """
    in_dbm = _rules_dbm(observations)
    rows = [_row(observation, in_dbm=in_dbm) for observation in observations]
    return np.array(rows, dtype=np.float64).reshape(len(rows), len(FEATURES))


def _rules_dbm(observations: Sequence[Observation]) -> bool:
    known = [_scales(o) for o in observations if o.heard]
    return sum(dbm for dbm, _ in known) >= max(1, sum(dbfs for _, dbfs in known))


def _scales(observation: Observation) -> tuple[bool, bool]:
    """Whether its level, or what it would have heard, is known in dBm, and in dBFS."""
    if observation.heard:
        return observation.level_dbm is not None, observation.level_dbfs is not None
    return observation.noise_floor_dbm is not None, observation.noise_floor_dbfs is not None


def _row(observation: Observation, *, in_dbm: bool) -> tuple[float, ...]:
    receiver = observation.receiver
    knows_dbm, knows_dbfs = _scales(observation)
    level, floor = _levels(observation, in_dbm=knows_dbm and (in_dbm or not knows_dbfs))
    sd_db = receiver.level_offset_sd_db
    sd_db = UNKNOWN_OFFSET_SD_DB if sd_db is None else sd_db
    if observation.heard and level is None:
        sd_db = UNKNOWN_LEVEL_SD_DB
    elif not (knows_dbm if in_dbm else knows_dbfs):
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


def _levels(observation: Observation, *, in_dbm: bool) -> tuple[float | None, float | None]:
    """Level and noise floor on one scale; neither where one heard without a level.

    Such a receiver's gain is automatic, and its floor says as little as its level does.
    """
    level_dbfs, floor_dbfs = observation.level_dbfs, observation.noise_floor_dbfs
    if in_dbm:
        level_dbm, floor_dbm = observation.level_dbm, observation.noise_floor_dbm
        if floor_dbm is None and floor_dbfs is not None:
            floor_dbm = _on_the_scale_of(level_dbm, level_dbfs, floor_dbfs)
        return level_dbm, floor_dbm
    if observation.heard and level_dbfs is None:
        return None, None
    gain_db = observation.gain_db or 0.0
    return (
        None if level_dbfs is None else level_dbfs - gain_db,
        None if floor_dbfs is None else floor_dbfs - gain_db,
    )


def _on_the_scale_of(
    level_dbm: float | None, level_dbfs: float | None, floor_dbfs: float
) -> float | None:
    """A floor in dBm, by a level that is known both ways."""
    if level_dbm is None or level_dbfs is None:
        return None
    return floor_dbfs + level_dbm - level_dbfs


def has_level(observation: Observation) -> bool:
    """Whether it heard something, and its level compares with others."""
    return observation.heard and any(_scales(observation))


def has_limit(observation: Observation) -> bool:
    """Whether it is known below which level a receiver's silence says nothing."""
    return any(_scales(observation))


def _clip(level: float) -> float:
    if not math.isfinite(level):
        return level  # refused by name further down
    return min(max(level, -_LEVEL_LIMIT_DB), _LEVEL_LIMIT_DB)


def log10_or_nan(value: float) -> float:
    """A logarithm that is NaN, and so refused by name, where there is none."""
    return math.log10(value) if value > 0 else math.nan

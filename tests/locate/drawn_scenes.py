"""Scenes for the tests of features and models: built by hand, or drawn from a seed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from heimdall_edge.types import ArrivalTime, Observation, Place, ReceiverInfo, Scene

C_KM_PER_US = 0.299792458


def observation(
    receiver_id: str = "a",
    *,
    at: tuple[float, float] = (45.0, 9.0),
    info: Mapping[str, Any] | None = None,
    **fields: Any,
) -> Observation:
    """One observation with plain defaults; ``info`` goes to its ReceiverInfo."""
    plain = {
        "channel": "frs1",
        "frequency_hz": 446e6,
        "start_utc_ns": 0,
        "duration_s": 1.0,
        "noise_floor_dbfs": -100.0,
        "level_dbfs": -60.0 if fields.get("heard", True) else None,
    }
    return Observation(
        observation_id=receiver_id,
        receiver=ReceiverInfo("s", receiver_id, Place(*at), **(info or {})),
        **plain | fields,
    )


def scene(*observations: Observation, arrivals: tuple[ArrivalTime | None, ...] = ()) -> Scene:
    """A scene of these observations."""
    return Scene("frs1", 446e6, 0, 1.0, observations, arrivals=arrivals)


def triangle(**fields: Any) -> Scene:
    """Three receivers some kilometres apart that heard the same level."""
    corners = ((45.0, 9.0), (45.05, 9.0), (45.0, 9.07))
    return scene(*(observation(f"r{i}", at=at, **fields) for i, at in enumerate(corners)))


@dataclass(frozen=True)
class Drawn:
    """A random network in a plane, what it measures, and the truth; [n_receivers]."""

    enu_km: NDArray[np.float64]
    reading_db: NDArray[np.float64]
    """Level where heard, limit where not."""
    heard: NDArray[np.bool_]
    offset_sd_db: NDArray[np.float64]
    toa_us: NDArray[np.float64]
    toa_w: NDArray[np.float64]
    transmitter_km: NDArray[np.float64]

    def feeds(self) -> dict[str, NDArray[np.float32]]:
        """As a model is fed, without the runtime's features."""
        n = len(self.heard)
        feat = np.zeros((1, n, 10))
        feat[0, :, 2] = np.where(self.heard, self.reading_db, 0.0)
        feat[0, :, 4] = np.where(self.heard, -200.0, self.reading_db)
        feat[0, :, 6] = self.offset_sd_db
        feeds = {
            "rx_enu": np.column_stack([self.enu_km, np.zeros(n)])[None],
            "rx_feat": feat,
            "rx_state": np.where(self.heard, 1, 2)[None],
            "freq": np.full((1, 1), 2.65),
            "toa_us": self.toa_us[None],
            "toa_w": self.toa_w[None],
        }
        return {name: array.astype(np.float32) for name, array in feeds.items()}


def draw(
    rng: np.random.Generator,
    n: int,
    scale_km: float,
    *,
    toa_sigma_us: float = 0.0,
    offset_sd_db: float = 2.0,
) -> Drawn:
    """n receivers in a square of 2·scale_km, some of them too far away to hear."""
    enu = rng.uniform(-1, 1, (n, 2)) * scale_km
    transmitter = rng.uniform(-0.8, 0.8, 2) * scale_km
    distance = np.maximum(np.hypot(*(enu - transmitter).T), 0.03)
    exponent = rng.uniform(2.4, 4.2)
    level = -60 - 10 * exponent * np.log10(distance / scale_km)
    level += rng.normal(0, np.hypot(8.0, offset_sd_db), n)
    limit = np.quantile(level, rng.uniform(0, 0.4)) + rng.normal(0, 3, n)
    heard = level > limit
    heard[np.argsort(limit - level)[:3]] = True
    weight, toa = np.zeros(n), np.zeros(n)
    if toa_sigma_us:
        sigma = toa_sigma_us * rng.uniform(0.5, 2, n)
        weight = 1 / sigma
        toa = distance / C_KM_PER_US + rng.normal(0, sigma)
        toa -= toa.mean()
    return Drawn(
        enu_km=enu,
        reading_db=np.where(heard, level, limit),
        heard=heard,
        offset_sd_db=np.full(n, offset_sd_db),
        toa_us=toa,
        toa_w=weight,
        transmitter_km=transmitter,
    )

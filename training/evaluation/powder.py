"""The POWDER samples: reading them, and saying them as observations in the published format.

A sample is the received level of every receiver while a handheld transmits (or none does). A
daemon would have known each receiver's noise floor; here it is a low percentile of that
receiver's levels in that campaign. A receiver heard a sample if its level stood ``open_db`` over
that floor, as the detector decides; else it says that it listened, and its limit.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np

FREQUENCY_HZ = 462_700_000.0
GAIN_DB = 35.0
BANDWIDTH_HZ = 6_000.0
DURATION_S = 10_000 / 2e6
FLOOR_PERCENTILE = 10.0
OPEN_DB = 8.0
"""The daemon's default opening threshold. Each level is a mean over some 30 independent values
(6 kHz for 5 ms), so noise alone stays within ±3 dB of its floor."""

_LOCAL_TIME = ZoneInfo("America/Denver")

BLOCK_KM = 0.25
_BLOCK_ORIGIN_DEG = (40.766, -111.842)
_KM_PER_DEG = (111.05, 111.32 * math.cos(math.radians(_BLOCK_ORIGIN_DEG[0])))


@dataclass(frozen=True, slots=True)
class Reading:
    """What one receiver measured in one sample."""

    receiver: str
    latitude_deg: float
    longitude_deg: float
    level_dbfs: float


@dataclass(frozen=True, slots=True)
class Sample:
    """One line of the recordings."""

    scene_id: str
    time: datetime
    """UTC."""
    transmitters: tuple[tuple[float, float], ...]
    """Latitude, longitude; none, one or two."""
    readings: tuple[Reading, ...]


def read_samples(path: Path) -> list[Sample]:
    """Every sample of a file, in its order."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return [_sample(f"{path.stem}-{i:05d}", json.loads(line)) for i, line in enumerate(lines)]


def _sample(scene_id: str, line: Mapping[str, Any]) -> Sample:
    local = datetime.fromisoformat(line["time"]).replace(tzinfo=_LOCAL_TIME)
    return Sample(
        scene_id=scene_id,
        time=local.astimezone(UTC),
        transmitters=tuple((float(lat), float(lon)) for lat, lon in line["tx"]),
        readings=tuple(Reading(*reading) for reading in line["rx"]),
    )


def tracked_floors_dbfs(samples: Iterable[Sample]) -> dict[str, float]:
    """Each receiver's noise floor in a campaign, as a daemon would have tracked it."""
    levels: dict[str, list[float]] = {}
    for sample in samples:
        for reading in sample.readings:
            levels.setdefault(reading.receiver, []).append(reading.level_dbfs)
    return {name: float(np.percentile(v, FLOOR_PERCENTILE)) for name, v in levels.items()}


def is_fit_block(place: tuple[float, float]) -> bool:
    """Whether constants may be derived from a place; the others are only ever judged on.

    The rule: 250 m squares counted from 40.766 N 111.842 W; fit where the first byte of SHA-256
    of "east,north" (the square's whole numbers) is even.
    """
    return hashlib.sha256("{},{}".format(*block_of(place)).encode()).digest()[0] % 2 == 0


def block_of(place: tuple[float, float]) -> tuple[int, int]:
    """East and north index of the 250 m square that a latitude, longitude lies in."""
    (lat, lon), (lat0, lon0) = place, _BLOCK_ORIGIN_DEG
    north, east = (lat - lat0) * _KM_PER_DEG[0], (lon - lon0) * _KM_PER_DEG[1]
    return math.floor(east / BLOCK_KM), math.floor(north / BLOCK_KM)


def observation_lines(
    samples: Sequence[Sample], floors_dbfs: Mapping[str, float], *, open_db: float = OPEN_DB
) -> Iterator[dict[str, Any]]:
    """The samples as ``heimdall.observation/1``, one receiver of one sample after another."""
    for sample in samples:
        for reading in sample.readings:
            yield _observation(sample, reading, floors_dbfs[reading.receiver], open_db)


def _observation(sample: Sample, reading: Reading, floor: float, open_db: float) -> dict[str, Any]:
    over_floor_db = reading.level_dbfs - floor
    heard = over_floor_db >= open_db
    line = {
        "schema": "heimdall.observation/1",
        "observation_id": f"{sample.scene_id}-{reading.receiver}",
        "scene_id": sample.scene_id,
        "station": "powder",
        "receiver": {
            "id": reading.receiver,
            "latitude": reading.latitude_deg,
            "longitude": reading.longitude_deg,
            "altitude_m": 0.0,
            "antenna_height_m": 0.0,
        },
        "channel": "frs1",
        "frequency_hz": FREQUENCY_HZ,
        "started_at": f"{sample.time:%Y-%m-%dT%H:%M:%S.%f}Z",
        "duration_s": DURATION_S,
        "heard": heard,
        "noise_floor_dbfs": round(floor if heard else floor + open_db, 2),
        "gain_db": GAIN_DB,
    }
    if not heard:
        return line
    signal = 10.0 ** (over_floor_db / 10.0) - 1.0
    return line | {
        "level_dbfs": reading.level_dbfs,
        "snr_db": round(10.0 * math.log10(signal), 2),
        "bandwidth_hz": BANDWIDTH_HZ,
    }


def truth_line(sample: Sample, group: str) -> dict[str, Any]:
    """Where the transmitters truly were, for the scoring only."""
    return {
        "scene_id": sample.scene_id,
        "group": group,
        "transmitters": [{"latitude": lat, "longitude": lon} for lat, lon in sample.transmitters],
    }


def write_campaigns(data_dir: Path, out_dir: Path) -> tuple[Path, Path]:
    """Convert every campaign; the paths of the observations and of the truth.

    Samples with none and with two transmitters were taken on one day: one campaign.
    """
    july, november, two, none = (
        read_samples(data_dir / "powder_rss" / f"{name}.jsonl")
        for name in ("single_tx_july", "single_tx_november", "two_tx", "no_tx")
    )
    observations, truth = out_dir / "powder.observations.jsonl", out_dir / "powder.truth.jsonl"
    with observations.open("w", encoding="utf-8") as lines:
        for campaign in (july, november, two + none):
            floors = tracked_floors_dbfs(campaign)
            for line in observation_lines(campaign, floors):
                lines.write(json.dumps(line) + "\n")
    with truth.open("w", encoding="utf-8") as lines:
        for name, samples in (
            ("July, ", july),
            ("November", november),
            ("two transmitters", two),
            ("no transmitter", none),
        ):
            for sample in samples:
                group = name + (_july_part(sample) if samples is july else "")
                lines.write(json.dumps(truth_line(sample, group)) + "\n")
    return observations, truth


def _july_part(sample: Sample) -> str:
    return "fit blocks" if is_fit_block(sample.transmitters[0]) else "held-out blocks"

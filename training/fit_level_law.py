"""Derive the shadowing law from the 'fit' blocks of the July campaign; print, change nothing.

    python training/fit_level_law.py [DATA_DIR]

A censored maximum-likelihood fit of level = intercept(receiver) - 10 n log10(distance), with one
standard deviation for each decade-part of distance, and then a power law through those.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from physics import MIN_DISTANCE_KM
from scipy.optimize import minimize
from scipy.special import log_ndtr

sys.path.insert(0, str(Path(__file__).resolve().parent / "evaluation"))
from powder import OPEN_DB, is_fit_block, read_samples, tracked_floors_dbfs

Array = NDArray[np.float64]

BIN_EDGES_KM = (0.0, 0.06, 0.1, 0.17, 0.28, 0.45, 0.7, 1.1, 1.7, 5.0)
EVERY_NTH = 2
KM_PER_DEG = 111.2
SHADOWING_ROW = "  {:5.0f} m {:7d} links {:6.2f} dB, law {:5.2f} dB"


def read_links(data_dir: Path) -> tuple[Array, Array, NDArray[np.bool_], NDArray[np.int64]]:
    """Distance (km), level or limit (dB), heard, receiver's number; [n_links]."""
    samples = read_samples(data_dir / "powder_rss" / "single_tx_july.jsonl")
    floors = tracked_floors_dbfs(samples)
    number = {name: i for i, name in enumerate(sorted(floors))}
    rows = []
    for sample in [s for s in samples if is_fit_block(s.transmitters[0])][::EVERY_NTH]:
        lat, lon = sample.transmitters[0]
        for r in sample.readings:
            if abs(r.latitude_deg) < 0.01:
                continue
            east = (r.longitude_deg - lon) * KM_PER_DEG * np.cos(np.radians(lat))
            distance = max(np.hypot(east, (r.latitude_deg - lat) * KM_PER_DEG), MIN_DISTANCE_KM)
            limit = floors[r.receiver] + OPEN_DB
            heard = r.level_dbfs >= limit
            rows.append((distance, r.level_dbfs if heard else limit, heard, number[r.receiver]))
    distance, level, heard, receiver = map(np.array, zip(*rows, strict=True))
    return distance, level, heard, receiver


def fit(
    distance: Array, level: Array, heard: NDArray[np.bool_], receiver: NDArray[np.int64]
) -> tuple[float, Array, Array]:
    """Exponent, intercepts [n_receivers], standard deviation by distance bin [n_bins]."""
    n_receivers = int(receiver.max()) + 1
    bins = np.digitize(distance, BIN_EDGES_KM[1:-1])
    loss = 10.0 * np.log10(distance)

    def loss_and_slope(p: Array) -> tuple[float, Array]:
        n, log_sd = p[0], p[1 + n_receivers :]
        sd = np.exp(log_sd)[bins]
        v = (level - p[1 : 1 + n_receivers][receiver] + n * loss) / sd
        hazard = np.exp(-0.5 * v**2 - 0.5 * np.log(2 * np.pi) - log_ndtr(v))
        likelihood = np.where(heard, -0.5 * v**2 - np.log(sd), log_ndtr(v))
        by_v = np.where(heard, -v, hazard)
        by_log_sd = np.where(heard, v**2 - 1.0, -hazard * v)
        slope = np.concatenate(
            [
                [(by_v * loss / sd).sum()],
                np.bincount(receiver, -by_v / sd, n_receivers),
                np.bincount(bins, by_log_sd, len(log_sd)),
            ]
        )
        return -likelihood.sum(), -slope

    start = np.concatenate([[3.0], np.full(n_receivers, -80.0), np.full(9, np.log(8.0))])
    best = minimize(loss_and_slope, start, jac=True, method="L-BFGS-B", options={"maxiter": 500})
    return float(best.x[0]), best.x[1 : 1 + n_receivers], np.exp(best.x[1 + n_receivers :])


def main() -> None:
    """Print the fit."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    default = os.environ.get("HEIMDALL_EDGE_DATA", "../shared/data")
    parser.add_argument("data_dir", type=Path, nargs="?", default=Path(default))
    distance, level, heard, receiver = read_links(parser.parse_args().data_dir)
    exponent, intercept, sd = fit(distance, level, heard, receiver)
    bins = np.digitize(distance, BIN_EDGES_KM[1:-1])
    middle = np.array([np.exp(np.log(distance[bins == b]).mean()) for b in range(len(sd))])
    count = np.bincount(bins)
    slope, log_sd_300 = np.polyfit(np.log(middle / 0.3), np.log(sd), 1, w=np.sqrt(count))
    print(f"{len(distance)} links of fit blocks, {heard.mean():.0%} heard, exponent {exponent:.2f}")
    print(f"receivers' offsets: sd {np.std(intercept):.1f} dB")
    for b, deviation in enumerate(sd):
        law = np.exp(log_sd_300) * (middle[b] / 0.3) ** slope
        print(SHADOWING_ROW.format(1e3 * middle[b], count[b], deviation, law))
    print(f"law: {np.exp(log_sd_300):.2f} dB at 300 m, exponent {-slope:.2f}")


if __name__ == "__main__":
    main()

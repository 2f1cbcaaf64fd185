"""Writes SigMF recordings for tests, well-formed ones and others."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

START = "2026-01-31T12:00:00Z"
START_UTC_NS = 1_769_860_800_000_000_000  # `date -d 2026-01-31T12:00:00Z +%s`
FREQUENCY_HZ = 433.92e6
RATE_HZ = 1_000.0
CAPTURE = {"core:sample_start": 0, "core:frequency": FREQUENCY_HZ, "core:datetime": START}


def counting(n_samples: int) -> NDArray[np.uint8]:
    """uint8 [2 * n_samples]: no two samples within 65,536 are the same."""
    index = np.arange(n_samples)
    return np.stack([index % 256, index // 256 % 256], axis=1).astype(np.uint8).ravel()


def metadata(*captures: dict[str, object], **values: object) -> dict[str, object]:
    """``core:`` goes before the names of ``values``; None leaves a key out."""
    values = {"datatype": "cu8", "version": "1.2.5", "sample_rate": RATE_HZ} | values
    shared = {f"core:{name}": value for name, value in values.items() if value is not None}
    return {"global": shared, "captures": list(captures or [CAPTURE]), "annotations": []}


def write(
    folder: Path, document: object, samples: NDArray[np.generic] | bytes | None = None
) -> Path:
    """Write ``rx.sigmf-meta`` and ``rx.sigmf-data``; returns the path of the first.

    The data are a thousand counting samples where none are given.
    """
    samples = counting(1_000) if samples is None else samples
    content = samples if isinstance(samples, bytes) else samples.tobytes()
    (folder / "rx.sigmf-data").write_bytes(content)
    path = folder / "rx.sigmf-meta"
    path.write_bytes(document if isinstance(document, bytes) else json.dumps(document).encode())
    return path

"""What goes into a ``locator/1`` model and what comes out: names, shapes, and a scene to try.

The tables are sections 3 and 4 of the locator contract.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from heimdall_edge.errors import ModelError
from heimdall_edge.locate.features import HEARD, NOT_HEARD
from heimdall_edge.locate.level_columns import FEATURES
from heimdall_edge.locate.manifest import Manifest
from heimdall_edge.types import Float32

INPUT_AXES: Mapping[str, tuple[int | None, ...]] = {
    "rx_enu": (None, None, 3),
    "rx_feat": (None, None, len(FEATURES)),
    "rx_state": (None, None),
    "freq": (None, 1),
    "toa_us": (None, None),
    "toa_w": (None, None),
    "mel": (None, None, None, None),
}
"""``None`` is a dynamic axis; the last two of ``mel`` may be fixed."""

OUTPUT_AXES: Mapping[str, tuple[int | None, ...]] = {
    "mean_enu": (None, 2),
    "chol": (None, 3),
    "ood": (None, 1),
    "weights": (None, None),
    "means": (None, None, 2),
    "chols": (None, None, 3),
}
"""``None`` may be dynamic or fixed, but for the first axis: scenes."""

REQUIRED_INPUTS = ("rx_enu", "rx_state")
REQUIRED_OUTPUTS = ("mean_enu", "chol")


class Value(Protocol):
    """An input or output as onnxruntime declares it."""

    @property
    def name(self) -> str: ...
    @property
    def type(self) -> str: ...
    @property
    def shape(self) -> Sequence[Any]: ...


def check_signature(inputs: Sequence[Value], outputs: Sequence[Value], manifest: Manifest) -> None:
    """Hold names, types and shapes against the contract; ModelError names the first fault."""
    for kind, declared, known, required in (
        ("input", inputs, INPUT_AXES, REQUIRED_INPUTS),
        ("output", outputs, OUTPUT_AXES, REQUIRED_OUTPUTS),
    ):
        names = [value.name for value in declared]
        for name in required:
            if name not in names:
                raise ModelError(f"{kind} {name} is missing: the model has {', '.join(names)}")
        for value in declared:
            if value.name not in known:
                raise ModelError(f"{kind} {value.name} is unknown: expected {', '.join(known)}")
            _check_value(kind, value, known[value.name])
    _check_mel({value.name: value.shape for value in inputs}, manifest)


def _check_value(kind: str, value: Value, axes: Sequence[int | None]) -> None:
    if value.type != "tensor(float)":
        raise ModelError(f"{kind} {value.name} is {value.type}: expected tensor(float)")
    dynamic = 1 if kind == "output" else len(axes) if value.name != "mel" else 2
    matches = len(value.shape) == len(axes) and all(
        not isinstance(has, int) or (has == wants if wants is not None else axis >= dynamic)
        for axis, (has, wants) in enumerate(zip(value.shape, axes, strict=True))
    )
    if not matches:
        raise ModelError(
            f"{kind} {value.name} has shape {_shape(value.shape)}: expected {_shape(axes)}"
        )


def _check_mel(shapes: Mapping[str, Sequence[Any]], manifest: Manifest) -> None:
    if "mel" not in shapes:
        return
    if manifest.mel is None:
        raise ModelError("input mel has no parameters: metadata heimdall.mel is missing")
    wanted = (manifest.mel["n_mels"], manifest.mel["n_frames"])
    for has, wants in zip(shapes["mel"][2:], wanted, strict=True):
        if isinstance(has, int) and has != wants:
            raise ModelError(
                f"input mel has shape {_shape(shapes['mel'])}: heimdall.mel says "
                f"n_mels {wanted[0]}, n_frames {wanted[1]}"
            )


def _shape(axes: Sequence[Any]) -> str:
    return "[" + ", ".join(str(a) if isinstance(a, int) else "dynamic" for a in axes) + "]"


def self_test_feeds(
    *, n_absent: int, n_scenes: int, mel_shape: tuple[int, int] | None
) -> Mapping[str, Float32]:
    """Five receivers on a ring of 1 km that hear a transmitter near its middle, a sixth silent."""
    angle = np.arange(6) * np.pi / 3
    place = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    distance_km = np.hypot(*(place - [0.3, 0.1]).T)
    n = 6 + n_absent
    feeds = {name: np.zeros((n_scenes, n)) for name in ("rx_state", "toa_us", "toa_w")}
    feeds["rx_enu"], feeds["rx_feat"] = np.zeros((n_scenes, n, 3)), np.zeros((n_scenes, n, 10))
    feeds["freq"] = np.full((n_scenes, 1), math.log10(446.0))
    feeds["rx_enu"][:, :6, :2] = place
    feeds["rx_state"][:, :6] = [HEARD] * 5 + [NOT_HEARD]
    feeds["rx_feat"][:, :6, FEATURES.index("relative_level_db")] = -80 - 32 * np.log10(distance_km)
    feeds["rx_feat"][:, :6, FEATURES.index("noise_floor_db")] = -100.0
    feeds["rx_feat"][:, :6, FEATURES.index("snr_db")] = 20.0
    feeds["rx_feat"][:, :6, FEATURES.index("offset_sd_db")] = 2.0
    if mel_shape is not None:
        feeds["mel"] = np.zeros((n_scenes, n, *mel_shape))
    return {name: array.astype(np.float32) for name, array in feeds.items()}

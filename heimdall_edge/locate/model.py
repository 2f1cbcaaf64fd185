"""A ``locator/1`` model: an ONNX file that was checked, warmed, and answers scene by scene.

::

    file ─▶ size, SHA-256 ─▶ session ─▶ manifest ─▶ inputs, outputs ─▶ self-test ─▶ LocatorModel
                └──────────────┴────────── ModelError ──┴───────────────────┘

The session is built from bytes that were hashed, so that nothing outside the file has a say:
external weights and unknown operators are refused by onnxruntime itself.
"""

from __future__ import annotations

import hashlib
import importlib.resources
import math
import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from heimdall_edge.errors import ModelError
from heimdall_edge.locate.features import LocatorInputs, with_geodesic_arrivals
from heimdall_edge.locate.manifest import Manifest, parse_manifest
from heimdall_edge.locate.signature import (
    OUTPUT_AXES,
    REQUIRED_OUTPUTS,
    check_signature,
    self_test_feeds,
)
from heimdall_edge.types import Estimate, Float32, Float64, ModelIdentity, frozen_array

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
import onnxruntime  # only now: its wheel uploads usage unless told not to

MAX_FILE_BYTES = 128 * 2**20

WIDE_NETWORK_KM = 100.0
"""Beyond this span a plane misplaces arrival times by more than a few metres."""

LEAST_EIGENVALUE_RATIO = 1e-12
"""An ellipse a million times longer than wide is a fault, and close to what float64 can hold."""

_FATAL_ONLY = 4  # onnxruntime prints what it also raises


def reference_model_path() -> Path:
    """The built-in physics model."""
    return Path(str(importlib.resources.files("heimdall_edge") / "data" / "reference.onnx"))


class LocatorModel:
    """A model that is ready to answer; immutable, and safe to share between threads."""

    def __init__(
        self, *, session: onnxruntime.InferenceSession, manifest: Manifest, identity: ModelIdentity
    ) -> None:
        self._session = session
        self.manifest = manifest
        self.identity = identity
        self.input_names = tuple(value.name for value in session.get_inputs())
        self.output_names = tuple(value.name for value in session.get_outputs())

    @classmethod
    def load(cls, path: Path, *, sha256: str | None = None) -> LocatorModel:
        """Read, check, warm and try a model file.

        Parameters
        ----------
        path
            The ONNX file.
        sha256
            The hash it must have, in hexadecimal digits; ``None`` takes any.

        Raises
        ------
        ModelError
            Naming the file, the field that is wrong, and what was expected.
        """
        content = _read(path)
        digest = hashlib.sha256(content).hexdigest()
        if sha256 is not None and digest != sha256.lower():
            raise ModelError(f"{path}: its SHA-256 is {digest}: expected {sha256}")
        try:
            session = _session(content)
            manifest = parse_manifest(session.get_modelmeta().custom_metadata_map)
            check_signature(session.get_inputs(), session.get_outputs(), manifest)
            model = cls(
                session=session,
                manifest=manifest,
                identity=ModelIdentity(manifest.name, manifest.version, digest),
            )
            model._self_test()
        except ModelError as error:
            raise ModelError(f"{path}: {error}") from error
        return model

    @property
    def mel_shape(self) -> tuple[int, int] | None:
        """(n_mels, n_frames) where the model takes ``mel``; ``None`` where it does not."""
        mel = self.manifest.mel
        return (mel["n_mels"], mel["n_frames"]) if mel and "mel" in self.input_names else None

    def infer(self, inputs: LocatorInputs) -> Estimate:
        """Where the transmitter is.

        Over a wide network the arrival times are corrected at the first answer, and it is asked
        once more (see :func:`~heimdall_edge.locate.features.with_geodesic_arrivals`).

        Raises
        ------
        ModelError
            It wants an input that the scene lacks, or its answer is no position and covariance.
        """
        estimate = self._ask(inputs)
        if inputs.n_arrivals >= 2 and inputs.span_km > WIDE_NETWORK_KM:
            estimate = self._ask(with_geodesic_arrivals(inputs, estimate.mean_enu_km))
        return estimate

    def _ask(self, inputs: LocatorInputs) -> Estimate:
        answer = self._run(inputs.feeds)
        covariance = _covariance(answer["chol"][0]) * self.manifest.calibration.cov_scale
        return Estimate(
            origin=inputs.origin,
            mean_enu_km=frozen_array(answer["mean_enu"][0].astype(np.float64)),
            covariance_km2=frozen_array(covariance),
            ood=float(np.clip(answer["ood"][0, 0], 0.0, 1.0)) if "ood" in answer else None,
        )

    def _run(self, feeds: Mapping[str, Float32]) -> Mapping[str, Float32]:
        """The outputs by name, checked: finite, of the right shape, positive definite."""
        missing = set(self.input_names) - feeds.keys()
        if missing:
            raise ModelError(f"the model wants {', '.join(sorted(missing))}: the scene has none")
        try:
            wanted = {name: feeds[name] for name in self.input_names}
            values = self._session.run(self.output_names, wanted)
        except Exception as error:  # onnxruntime's errors have no base of their own
            raise ModelError(f"onnxruntime: {_first_line(error)}") from error
        answer = dict(zip(self.output_names, values, strict=True))
        for name in (*REQUIRED_OUTPUTS, "ood"):
            if name in answer:
                _check_answer(name, answer[name], len(feeds["rx_enu"]))
        _covariance(answer["chol"][0])
        return answer

    def _self_test(self) -> None:
        """Run a small scene, alone and in a batch of two with absent receivers, and compare."""
        alone = self._run(self_test_feeds(n_absent=0, n_scenes=1, mel_shape=self.mel_shape))
        padded = self._run(self_test_feeds(n_absent=3, n_scenes=2, mel_shape=self.mel_shape))
        shift_km = float(np.abs(alone["mean_enu"][0] - padded["mean_enu"]).max())
        if shift_km > 1e-3:
            raise ModelError(
                f"self-test: absent receivers moved the mean by {shift_km:.3g} km: expected none"
            )


def describe_model(model: LocatorModel) -> str:
    """A model on one screen, for a person."""
    manifest, domain, calibration = (
        model.manifest,
        model.manifest.domain,
        model.manifest.calibration,
    )
    lines = [
        f"{manifest.name} {manifest.version} ({manifest.schema})",
        f"sha256       {model.identity.sha256}",
        f"inputs       {', '.join(model.input_names)}",
        f"outputs      {', '.join(model.output_names)}",
        f"receivers    {domain.min_receivers} to {domain.max_receivers}",
        f"band         {domain.band_mhz[0]:g} to {domain.band_mhz[1]:g} MHz",
        f"range        {domain.max_range_km:g} km",
        f"trained on   {domain.trained_on}",
        f"covariance   scaled by {calibration.cov_scale:g}",
    ]
    if calibration.coverage_68 is not None and calibration.coverage_95 is not None:
        lines.append(
            f"coverage     {calibration.coverage_68:.3f} of 0.68, {calibration.coverage_95:.3f} "
            f"of 0.95 ({calibration.n} positions, {calibration.data})"
        )
    else:
        lines.append("coverage     not measured")
    return "\n".join(lines)


# ── loading ───────────────────────────────────────────────────────────────────────────────


def _read(path: Path) -> bytes:
    try:
        size = path.stat().st_size
        if size > MAX_FILE_BYTES:
            raise ModelError(
                f"{path}: {size} bytes: expected an ONNX file of {MAX_FILE_BYTES} at most"
            )
        return path.read_bytes()
    except OSError as error:
        raise ModelError(f"{path}: {error.strerror}: expected an ONNX file") from error


def _session(content: bytes) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1  # the answer takes milliseconds; threads cost more
    options.inter_op_num_threads = 1
    options.log_severity_level = _FATAL_ONLY
    try:
        return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's errors have no base of their own
        raise ModelError(f"onnxruntime cannot load it: {_first_line(error)}") from error


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0][:300]


# ── answers ───────────────────────────────────────────────────────────────────────────────


def _check_answer(name: str, value: Float32, n_scenes: int) -> None:
    expected = (n_scenes, OUTPUT_AXES[name][1])
    if value.shape != expected:
        raise ModelError(f"output {name} has shape {value.shape}: expected {expected}")
    if not np.isfinite(value).all():
        raise ModelError(f"output {name} holds NaN or infinity: expected finite numbers")


def _covariance(chol: Float32) -> Float64:
    """Σ = L Lᵀ of [a, c, b], km²; ModelError where it is no covariance."""
    a, c, b = (float(value) for value in chol)
    if max(abs(a), abs(b)) > 50 or abs(c) > 1e15:
        raise ModelError(f"output chol is [{a:g}, {c:g}, {b:g}]: expected logs of kilometres")
    factor = np.array([[math.exp(a), 0.0], [c, math.exp(b)]])
    covariance = factor @ factor.T
    least, greatest = np.linalg.eigvalsh(covariance)
    if not least > LEAST_EIGENVALUE_RATIO * greatest:
        raise ModelError(f"output chol [{a:g}, {c:g}, {b:g}] gives no positive definite covariance")
    return np.asarray(covariance)

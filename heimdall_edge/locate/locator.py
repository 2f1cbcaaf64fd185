"""Scene → fix: a position with its covariance, or a refusal with its reason.

::

    Scene ─▶ arrival times ─▶ inputs ─▶ may it be? ─▶ model ─▶ Estimate ─▶ Position ─▶ Fix
                                            └───────── no: reason ─────────────────────▶┘

``reason`` of a refusal is one of :data:`REASONS`:

``no_evidence``
    No receiver heard it.
``too_few_receivers``
    Fewer than ``min_receivers`` heard it, and no more arrival times are there to make up for it.
``no_geometry``
    The receivers stand at fewer than three places, or in a line: what lies left of it can't be
    told from what lies right of it.
``non_finite``
    An observation holds a number that is not finite, or that no receiver can measure.
``out_of_domain``
    The model is not made for this: too few or too many receivers, another band, a network or a
    position farther out than its range, or by its own word (``ood``).
``model_error``
    The model failed, or its answer is no position with a covariance; so did the fallback.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final, Literal, Protocol

import numpy as np

from heimdall_edge.ellipse import CovarianceM2, error_circle, error_ellipse, probability_within
from heimdall_edge.errors import BurstError, ModelError
from heimdall_edge.geodesy import LocalFrame
from heimdall_edge.locate.associate import fix_id
from heimdall_edge.locate.features import LocatorInputs
from heimdall_edge.types import (
    ArrivalTime,
    Estimate,
    Fix,
    ModelIdentity,
    Place,
    Position,
    Scene,
)

REASONS: Final = (
    "no_evidence",
    "too_few_receivers",
    "no_geometry",
    "non_finite",
    "out_of_domain",
    "model_error",
)

LINE_WIDTH_RATIO = 0.01
"""A network this many times narrower than it is long is a line."""

Variant = Literal["active", "fallback"]

_STEP_M = 100.0  # of the difference quotient between two maps


class Domain(Protocol):
    """What a model is made for; ``None`` is no bound."""

    @property
    def min_receivers(self) -> int: ...
    @property
    def max_receivers(self) -> int: ...
    @property
    def band_mhz(self) -> tuple[float, float]: ...
    @property
    def max_range_km(self) -> float: ...


class Manifest(Protocol):
    """The part of a model's manifest that the locator holds scenes against."""

    @property
    def domain(self) -> Domain: ...


class Model(Protocol):
    """What answers for a scene; raises ModelError where it cannot."""

    @property
    def identity(self) -> ModelIdentity: ...
    @property
    def manifest(self) -> Manifest: ...
    def infer(self, inputs: LocatorInputs) -> Estimate: ...


class Locator:
    """Locates one scene after another; holds nothing between them.

    Parameters
    ----------
    station
        Whose fixes these are.
    model
        What is asked first.
    inputs_of
        Builds a model's inputs; raises BurstError for a scene that holds impossible numbers.
    arrival
        Measures one arrival time an observation, ``None`` where there is none; without it those
        that the scene carries already are used.
    fallback
        What is asked where ``model`` fails.
    min_receivers
        How many must have heard it, or have an arrival time.
    service_radius_m
        ``confidence`` is the probability that the truth lies within it.
    systematic_sigma_m
        Added to every covariance, in each direction: receiver places that are not exact.
    max_ood
        A position is refused where the model says that it is farther out of its domain, 0…1.
    probability
        What the published ellipse and circle hold.
    on_problem
        Is told what was wrong with an observation or a model, where the reason alone is terse.
    monotonic
        Seconds, on the clock of ``Observation.detected_monotonic_s``.
    """

    def __init__(
        self,
        *,
        station: str,
        model: Model,
        inputs_of: Callable[[Scene], LocatorInputs],
        arrival: Callable[[Scene], tuple[ArrivalTime | None, ...]] | None = None,
        fallback: Model | None = None,
        min_receivers: int = 3,
        service_radius_m: float = 1_000.0,
        systematic_sigma_m: float = 0.0,
        max_ood: float = 0.5,
        probability: float = 0.95,
        on_problem: Callable[[Exception], object] = lambda _: None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._station = station
        self._models: list[tuple[Variant, Model]] = [("active", model)]
        if fallback is not None:
            self._models.append(("fallback", fallback))
        self._inputs_of, self._arrival = inputs_of, arrival
        self._min_receivers = min_receivers
        self._service_radius_m = service_radius_m
        self._systematic_sigma_m = systematic_sigma_m
        self._max_ood = max_ood
        self._probability = probability
        self._on_problem = on_problem
        self._monotonic = monotonic

    def locate(self, scene: Scene) -> Fix:
        """Say where a scene's transmitter is, or why that cannot be said."""
        begun_s = self._monotonic()
        fix = Fix(
            fix_id=fix_id(scene, self._station),
            station=self._station,
            scene=scene,
            position=None,
            reason="no_evidence",
            method=None,
            model=self._models[0][1].identity,
            latency_s=_since_detected(scene, begun_s),
        )
        if not scene.heard:
            return fix
        if self._arrival is not None:
            scene = replace(scene, arrivals=self._arrival(scene))
        try:
            inputs = self._inputs_of(scene)
        except BurstError as error:
            self._on_problem(error)
            return replace(fix, scene=scene, reason=error.reason)
        left_out = Counter(scene.left_out) + Counter(inputs.left_out)
        fix = replace(
            fix,
            scene=replace(scene, left_out=dict(left_out)),
            reason=self._refusal(inputs),
            latency_s={**fix.latency_s, "features": self._monotonic() - begun_s},
        )
        return fix if fix.reason else self._ask_all(inputs, fix)

    def _refusal(self, inputs: LocatorInputs) -> str | None:
        """Why no model can locate this."""
        reason = inputs.refusal(min_receivers=self._min_receivers)
        return reason or ("no_geometry" if _is_a_line(inputs) else None)

    def _ask_all(self, inputs: LocatorInputs, fix: Fix) -> Fix:
        """The first model's position, else the fallback's, else why the first gave none."""
        refused = None
        for variant, model in self._models:
            answer = self._ask(model, inputs, replace(fix, model=model.identity, variant=variant))
            if answer.position is not None:
                return answer
            refused = refused or answer
        assert refused is not None
        return refused

    def _ask(self, model: Model, inputs: LocatorInputs, fix: Fix) -> Fix:
        domain = model.manifest.domain
        if not _admits(domain, inputs, fix.scene.frequency_hz):
            return replace(fix, reason="out_of_domain")
        begun_s = self._monotonic()
        try:
            estimate = model.infer(inputs)
            took_s = self._monotonic() - begun_s
            position = self._position(estimate)
        except (ModelError, ValueError) as error:
            self._on_problem(error)
            return replace(fix, reason="model_error")
        fix = replace(
            fix,
            ood=estimate.ood,
            inference_time_s=took_s,
            latency_s={**fix.latency_s, "infer": took_s},
        )
        is_outside = estimate.ood is not None and estimate.ood > self._max_ood
        if is_outside or _nearest_km(inputs, estimate) > domain.max_range_km:
            return replace(fix, reason="out_of_domain")
        return replace(fix, position=position, reason=None, method=inputs.method)

    def _position(self, estimate: Estimate) -> Position:
        """What is published of an estimate; ValueError if it is none."""
        latitude_deg, longitude_deg, covariance = on_the_ground(estimate)
        ee, en, nn = covariance
        systematic_m2 = self._systematic_sigma_m**2
        covariance = (ee + systematic_m2, en, nn + systematic_m2)
        return Position(
            latitude_deg=latitude_deg,
            longitude_deg=longitude_deg,
            covariance_enu_m2=covariance,
            ellipse=error_ellipse(covariance, self._probability),
            circle=error_circle(covariance, self._probability),
            confidence=probability_within(self._service_radius_m, covariance),
        )


def on_the_ground(estimate: Estimate) -> tuple[float, float, CovarianceM2]:
    """Latitude, longitude, and covariance (m²) along east and north *there*.

    North at the position is not north at the scene's origin, and away from it the map's scale
    across is not 1: 100 km off at 45° latitude they differ by 0.9°. The covariance follows the
    map's derivative, so that the published ellipse lies on the ground as the model meant it.
    """
    frame = LocalFrame(estimate.origin)
    east_m, north_m = 1e3 * estimate.mean_enu_km
    steps = _STEP_M * np.array([[0, 0], [1, 0], [-1, 0], [0, 1], [0, -1]])
    latitude, longitude = frame.from_enu_m(east_m + steps[:, 0], north_m + steps[:, 1])
    if not np.isfinite([latitude, longitude]).all():
        raise ValueError(f"the estimate is no position: {estimate.mean_enu_km} km from the origin")
    here = LocalFrame(Place(float(latitude[0]), float(longitude[0])))
    near = np.stack(here.to_enu_m(latitude[1:], longitude[1:]))
    derivative = (near[:, ::2] - near[:, 1::2]) / (2 * _STEP_M)
    covariance = 1e6 * derivative @ estimate.covariance_km2 @ derivative.T
    ee, en, nn = covariance[0, 0], covariance[0, 1], covariance[1, 1]
    return float(latitude[0]), float(longitude[0]), (float(ee), float(en), float(nn))


def _since_detected(scene: Scene, now_s: float) -> Mapping[str, float]:
    """How long ago the last receiver's detector closed its burst, if it was one of ours."""
    detected_s = [o.detected_monotonic_s for o in scene.heard if o.detected_monotonic_s is not None]
    return {"detect": now_s - max(detected_s)} if detected_s else {}


def _is_a_line(inputs: LocatorInputs) -> bool:
    """Whether all receivers, also silent ones, stand in a line or at one place."""
    sites = inputs.feeds["rx_enu"][0, :, :2].astype(np.float64)
    length, width = np.linalg.svd(sites - sites.mean(axis=0), compute_uv=False)
    return bool(width <= LINE_WIDTH_RATIO * length)


def _admits(domain: Domain, inputs: LocatorInputs, frequency_hz: float) -> bool:
    low_mhz, high_mhz = domain.band_mhz
    is_in_band = low_mhz <= frequency_hz / 1e6 <= high_mhz
    return is_in_band and domain.min_receivers <= len(inputs.receivers) <= domain.max_receivers


def _nearest_km(inputs: LocatorInputs, estimate: Estimate) -> float:
    """Distance of the estimate from the nearest receiver."""
    sites = inputs.feeds["rx_enu"][0, :, :2]
    return float(np.hypot(*(sites - estimate.mean_enu_km).T).min())

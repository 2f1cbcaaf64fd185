"""Scene → fix: positions, refusals, and what is said of both."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heimdall_edge.ellipse import principal_axes
from heimdall_edge.errors import BurstError, ModelError
from heimdall_edge.geodesy import LocalFrame, direct, distance_m, inverse
from heimdall_edge.locate.associate import fix_id
from heimdall_edge.locate.features import LocatorInputs, locator_inputs
from heimdall_edge.locate.locator import REASONS, Locator, on_the_ground
from heimdall_edge.types import (
    NS_PER_S,
    ArrivalTime,
    Estimate,
    ModelIdentity,
    Observation,
    Place,
    ReceiverInfo,
    Scene,
    frozen_array,
)

PLACES = {
    "a": Place(45.00, 7.00),
    "b": Place(45.02, 7.00),
    "c": Place(45.00, 7.03),
    "d": Place(45.03, 7.04),
}


@dataclass(frozen=True)
class Domain:
    min_receivers: int = 3
    max_receivers: int = 32
    band_mhz: tuple[float, float] = (50.0, 1000.0)
    max_range_km: float = 50.0


@dataclass(frozen=True)
class Manifest:
    domain: Domain = Domain()


@dataclass
class FakeModel:
    """Answers with a fixed mean and covariance, and remembers what it was asked."""

    mean_km: tuple[float, float] = (0.5, -0.25)
    covariance_km2: tuple[tuple[float, float], tuple[float, float]] = ((0.04, 0.01), (0.01, 0.02))
    ood: float | None = None
    error: Exception | None = None
    name: str = "fake"
    manifest: Manifest = Manifest()
    asked: list[LocatorInputs] = field(default_factory=list)

    @property
    def identity(self) -> ModelIdentity:
        return ModelIdentity(self.name, "1", "0" * 64)

    def infer(self, inputs: LocatorInputs) -> Estimate:
        self.asked.append(inputs)
        if self.error is not None:
            raise self.error
        return Estimate(
            origin=inputs.origin,
            mean_enu_km=frozen_array(np.array(self.mean_km, np.float64)),
            covariance_km2=frozen_array(np.array(self.covariance_km2, np.float64)),
            ood=self.ood,
        )


def observed(receiver: str, *, heard: bool = True, **fields) -> Observation:
    fields.setdefault("level_dbfs", -30.0 if heard else None)
    place = fields.pop("place", None) or PLACES[receiver]
    return Observation(
        observation_id=f"{receiver}1",
        receiver=ReceiverInfo("s", receiver, place),
        channel="c",
        frequency_hz=150e6,
        start_utc_ns=NS_PER_S,
        duration_s=1.0,
        noise_floor_dbfs=-60.0,
        heard=heard,
        **fields,
    )


def scene_of(*observations: Observation, **fields) -> Scene:
    return Scene("c", fields.pop("frequency_hz", 150e6), NS_PER_S, 1.0, observations, **fields)


def three(**fields) -> Scene:
    return scene_of(*(observed(r) for r in "abc"), **fields)


def locator(model: FakeModel | None = None, **keywords) -> Locator:
    return Locator(station="s", model=model or FakeModel(), inputs_of=locator_inputs, **keywords)


# ── a position ────────────────────────────────────────────────────────────────────────────


def test_a_scene_of_three_receivers_gets_a_position_where_the_model_says():
    model = FakeModel()
    scene = three()
    fix = locator(model).locate(scene)
    assert fix.reason is None
    assert fix.position is not None
    origin = model.asked[0].origin
    at = LocalFrame(origin).from_enu_m(500, -250)
    here = (fix.position.latitude_deg, fix.position.longitude_deg)
    assert distance_m(*here, *at) < 1e-6
    np.testing.assert_allclose(fix.position.covariance_enu_m2, (4e4, 1e4, 2e4), rtol=1e-3)
    assert fix.fix_id == fix_id(scene, "s")
    assert fix.station == "s"
    assert fix.method == "rss"
    assert fix.model == model.identity
    assert fix.variant == "active"
    assert fix.scene.observations == scene.observations


def test_ellipse_circle_and_confidence_are_of_the_published_covariance():
    position = locator(service_radius_m=300.0).locate(three()).position
    assert position is not None
    axes = principal_axes(position.covariance_enu_m2)
    assert position.ellipse.semi_major_m == pytest.approx(2.4477 * axes.sigma_x_m, rel=1e-4)
    assert position.ellipse.probability == position.circle.probability == 0.95
    samples = np.random.default_rng(1).multivariate_normal(
        [0, 0], [[4e4, 1e4], [1e4, 2e4]], size=100_000
    )
    radii = np.hypot(*samples.T)
    assert position.confidence == pytest.approx(np.mean(radii < 300), abs=0.01)
    assert np.mean(radii < position.circle.radius_m) == pytest.approx(0.95, abs=0.005)


def test_the_systematic_error_is_added_before_any_axis_is_drawn():
    plain = locator().locate(three()).position
    widened = locator(systematic_sigma_m=100.0).locate(three()).position
    assert plain is not None
    assert widened is not None
    ee, en, nn = plain.covariance_enu_m2
    np.testing.assert_allclose(widened.covariance_enu_m2, (ee + 1e4, en, nn + 1e4))
    assert widened.ellipse.semi_minor_m > plain.ellipse.semi_minor_m
    assert widened.confidence < plain.confidence


@settings(max_examples=30, deadline=None)
@given(st.floats(-80, 80), st.floats(0, 360), st.floats(0, 800), st.floats(0, math.pi))
def test_the_ellipse_points_on_the_ground_where_it_points_on_the_map(lat, azimuth, away_km, turn):
    """A short step along the major axis on the map arrives along the azimuth on the ground."""
    origin = Place(lat, 10.0)
    along = np.array([math.cos(turn), math.sin(turn)])
    across = np.array([-along[1], along[0]])
    mean_km = away_km * np.array([math.sin(math.radians(azimuth)), math.cos(math.radians(azimuth))])
    covariance = 1.0 * np.outer(along, along) + 1e-6 * np.outer(across, across)
    estimate = Estimate(origin, mean_km, covariance)
    latitude, longitude, published = on_the_ground(estimate)
    step_m = 1e3 * mean_km + 10.0 * along
    path = inverse(latitude, longitude, *LocalFrame(origin).from_enu_m(*step_m))
    axes = principal_axes(published)
    turned = (90 - axes.theta_deg - float(path.azimuth_deg) + 90) % 180 - 90
    assert abs(turned) < 0.2
    assert axes.sigma_x_m == pytest.approx(1e3 * float(path.distance_m) / 10, rel=1e-3)


def test_far_from_the_origin_north_is_turned():
    estimate = Estimate(Place(45, 7), np.array([100.0, 0.0]), np.diag([1.0, 1e-6]))
    latitude, longitude, covariance = on_the_ground(estimate)
    back = inverse(latitude, longitude, 45, 7).azimuth_deg
    expected = (90 - float(back) + 90) % 180 - 90
    assert principal_axes(covariance).theta_deg == pytest.approx(expected, abs=0.01)
    assert abs(expected) == pytest.approx(0.9, abs=0.02)


# ── times and methods ─────────────────────────────────────────────────────────────────────


def test_arrival_times_are_measured_once_and_name_the_method():
    def arrival(scene: Scene) -> tuple[ArrivalTime | None, ...]:
        assert scene.arrivals == ()
        return tuple(ArrivalTime(float(i), 1.0) for i in range(len(scene.observations)))

    model = FakeModel()
    fix = locator(model, arrival=arrival).locate(three())
    assert fix.method == "rss+tdoa"
    assert [a.toa_us for a in fix.scene.arrivals if a] == [0.0, 1.0, 2.0]
    assert model.asked[0].n_arrivals == 3


def test_arrival_times_that_a_scene_carries_are_used_where_none_are_measured():
    arrivals = (ArrivalTime(0.0, 1.0), ArrivalTime(5.0, 1.0), ArrivalTime(9.0, 1.0))
    without_levels = [observed(r, level_dbfs=None) for r in "abc"]
    fix = locator().locate(scene_of(*without_levels, arrivals=arrivals))
    assert fix.method == "tdoa"
    assert fix.position is not None


def test_each_stage_is_timed_by_the_clock_that_was_given():
    ticks = iter([10.0, 10.25, 11.0, 13.0])
    heard = [observed("a", detected_monotonic_s=9.0), observed("b", detected_monotonic_s=9.5)]
    fix = locator(monotonic=lambda: next(ticks)).locate(scene_of(*heard, observed("c")))
    assert fix.latency_s == {"detect": 0.5, "features": 0.25, "infer": 2.0}
    assert fix.inference_time_s == 2.0


def test_what_nobody_here_detected_has_no_time_of_detection():
    assert "detect" not in locator().locate(three()).latency_s


# ── refusals ──────────────────────────────────────────────────────────────────────────────


def line(*eastings_m: float) -> Scene:
    frame = LocalFrame(Place(45, 7))
    places = [Place(*map(float, frame.from_enu_m(e, 2 * e))) for e in eastings_m]
    return scene_of(*(observed("abcd"[i], place=p) for i, p in enumerate(places)))


def with_level(level_dbfs: float) -> Scene:
    return scene_of(observed("a", level_dbfs=level_dbfs), observed("b"), observed("c"))


REFUSED: list[tuple[str, Scene]] = [
    ("no_evidence", scene_of()),
    ("no_evidence", scene_of(*(observed(r, heard=False) for r in "abc"))),
    ("too_few_receivers", scene_of(observed("a"))),
    ("too_few_receivers", scene_of(observed("a"), observed("b"), observed("c", heard=False))),
    ("no_geometry", line(0, 0, 0)),
    ("no_geometry", line(0, 5, 9000)),
    ("no_geometry", line(0, 3000, 9000)),
    ("no_geometry", line(0, 1000, 2000, 7000)),
    ("non_finite", with_level(math.nan)),
    ("out_of_domain", three(frequency_hz=20e6)),
    ("out_of_domain", three(frequency_hz=2e9)),
]


@pytest.mark.parametrize(("reason", "scene"), REFUSED)
def test_what_cannot_be_located_is_refused_with_its_reason(reason, scene):
    model = FakeModel()
    fix = locator(model).locate(scene)
    assert fix.reason == reason
    assert fix.reason in REASONS
    assert fix.position is None
    assert fix.method is None
    assert fix.fix_id == fix_id(scene, "s")
    assert not model.asked, "the model was asked all the same"


def test_a_silent_receiver_beside_the_line_gives_it_geometry():
    in_line = line(0, 3000, 9000)
    beside = observed("d", heard=False, place=Place(45.05, 7.0))
    scene = replace(in_line, observations=(*in_line.observations, beside))
    assert locator().locate(scene).position is not None


def test_more_receivers_can_be_asked_for():
    assert locator(min_receivers=4).locate(three()).reason == "too_few_receivers"
    four = scene_of(*(observed(r) for r in "abcd"))
    assert locator(min_receivers=4).locate(four).position is not None


@pytest.mark.parametrize("domain", [Domain(min_receivers=4), Domain(max_receivers=2)])
def test_a_model_is_asked_only_with_as_many_receivers_as_it_takes(domain):
    fix = locator(FakeModel(manifest=Manifest(domain))).locate(three())
    assert fix.reason == "out_of_domain"


def test_a_position_beyond_the_models_range_is_refused():
    assert locator(FakeModel(mean_km=(60.0, 0.0))).locate(three()).reason == "out_of_domain"
    near = FakeModel(mean_km=(40.0, 0.0))
    assert locator(near).locate(three()).position is not None


def test_a_model_that_calls_itself_out_of_its_domain_is_believed():
    fix = locator(FakeModel(ood=0.7), max_ood=0.5).locate(three())
    assert fix.reason == "out_of_domain"
    assert fix.ood == 0.7
    fix = locator(FakeModel(ood=0.3), max_ood=0.5).locate(three())
    assert fix.position is not None
    assert fix.ood == 0.3


BROKEN = [
    FakeModel(error=ModelError("the session failed")),
    FakeModel(mean_km=(math.nan, 0.0)),
    FakeModel(covariance_km2=((1.0, 2.0), (2.0, 1.0))),
    FakeModel(covariance_km2=((math.nan, 0.0), (0.0, 1.0))),
]


@pytest.mark.parametrize("model", BROKEN)
def test_a_broken_model_is_a_refusal_and_its_fault_is_told(model):
    told: list[Exception] = []
    fix = locator(model, on_problem=told.append).locate(three())
    assert fix.reason == "model_error"
    assert fix.position is None
    assert len(told) == 1


def test_what_is_no_expected_error_of_a_model_ends_the_process():
    with pytest.raises(ZeroDivisionError):
        locator(FakeModel(error=ZeroDivisionError())).locate(three())


def test_a_fault_in_the_observations_is_told():
    told: list[Exception] = []
    locator(on_problem=told.append).locate(with_level(math.inf))
    assert isinstance(told[0], BurstError)


# ── the fallback ──────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "first", [*BROKEN, FakeModel(ood=1.0), FakeModel(manifest=Manifest(Domain(9)))]
)
def test_the_fallback_answers_where_the_model_cannot(first):
    fallback = FakeModel(name="reference")
    fix = locator(first, fallback=fallback).locate(three())
    assert fix.position is not None
    assert fix.variant == "fallback"
    assert fix.model.name == "reference"
    assert fix.ood is None


def test_the_fallback_is_not_asked_without_need():
    fallback = FakeModel(name="reference")
    assert locator(FakeModel(), fallback=fallback).locate(three()).variant == "active"
    assert not fallback.asked


def test_where_the_fallback_fails_too_the_first_models_reason_stands():
    broken = FakeModel(error=ModelError("broken"), name="reference")
    fix = locator(FakeModel(ood=1.0), fallback=broken).locate(three())
    assert fix.reason == "out_of_domain"
    assert fix.variant == "active"
    assert fix.model.name == "fake"


def test_what_the_inputs_leave_out_is_counted_with_the_rest():
    unknown_limit = replace(observed("d", heard=False), noise_floor_dbfs=None)
    scene = scene_of(*(observed(r) for r in "abc"), unknown_limit, left_out={"far_place": 1})
    assert locator().locate(scene).scene.left_out == {"far_place": 1, "unknown_limit": 1}


def test_a_position_is_where_its_ellipse_is_drawn_round_the_pole():
    places = [Place(*map(float, direct(89.99, 0, azimuth, 3000))) for azimuth in (0, 120, 240)]
    scene = scene_of(*(observed("abc"[i], place=p) for i, p in enumerate(places)))
    position = locator().locate(scene).position
    assert position is not None
    ee, en, nn = position.covariance_enu_m2
    assert ee + nn == pytest.approx(6e4, rel=1e-3)
    assert ee * nn - en * en == pytest.approx(7e8, rel=1e-3)

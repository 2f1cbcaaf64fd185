"""Scene → model inputs: every column, what is left out, and what is refused."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from heimdall_edge.errors import BurstError
from heimdall_edge.geodesy import LocalFrame, distance_m
from heimdall_edge.locate.features import (
    locator_inputs,
    with_geodesic_arrivals,
)
from heimdall_edge.locate.level_columns import FEATURES
from heimdall_edge.types import ArrivalTime, Mel
from tests.locate.drawn_scenes import observation, scene, triangle


def column(inputs, name: str) -> np.ndarray:
    return inputs.feeds["rx_feat"][0, :, FEATURES.index(name)]


def test_receivers_are_east_and_north_of_their_middle_in_kilometres():
    inputs = locator_inputs(triangle())
    east, north, height = inputs.feeds["rx_enu"][0].T
    frame = LocalFrame(inputs.origin)
    assert east.sum() == pytest.approx(0, abs=1e-3)
    assert north.sum() == pytest.approx(0, abs=1e-3)
    assert frame.from_enu_m(east[1] * 1e3, north[1] * 1e3)[0] == pytest.approx(45.05, abs=1e-7)
    assert np.hypot(east[0] - east[1], north[0] - north[1]) == pytest.approx(
        float(distance_m(45.0, 9.0, 45.05, 9.0)) / 1e3, rel=1e-5
    )
    assert not height.any()


def test_a_silent_receiver_is_censored_at_its_limit():
    silent = observation("q", heard=False, noise_floor_dbfs=-92.0, gain_db=10.0)
    inputs = locator_inputs(scene(observation("a"), silent))
    assert inputs.feeds["rx_state"].tolist() == [[1.0, 2.0]]
    assert column(inputs, "noise_floor_db")[1] == -102.0
    assert column(inputs, "relative_level_db")[1] == 0.0


def test_receivers_at_absurd_places_are_left_out_and_move_nothing():
    lost = observation("z", at=(0.0, 0.0))
    clean = triangle()
    dirty = replace(clean, observations=(*clean.observations, lost))
    assert locator_inputs(dirty).left_out == {"absurd_place": 1}
    for name, feed in locator_inputs(clean).feeds.items():
        assert np.array_equal(feed, locator_inputs(dirty).feeds[name])


def test_a_silent_receiver_whose_limit_nobody_knows_is_left_out():
    deaf = observation("z", heard=False, noise_floor_dbfs=None)
    inputs = locator_inputs(scene(observation("a"), deaf))
    assert inputs.left_out == {"unknown_limit": 1}
    assert [r.receiver_id for r in inputs.receivers] == ["a"]


def test_a_scene_without_a_usable_receiver_is_refused():
    with pytest.raises(BurstError) as refused:
        locator_inputs(scene(observation(at=(0.0, 0.0))))
    assert refused.value.reason == "no_geometry"


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("field", ["level_dbfs", "snr_db", "noise_floor_dbfs", "gain_db"])
def test_a_number_that_is_not_finite_is_refused_by_name(field, value):
    with pytest.raises(BurstError, match="receiver s/b ") as refused:
        locator_inputs(scene(observation("a"), observation("b", **{field: value})))
    assert refused.value.reason == "non_finite"


def test_a_frequency_that_is_not_positive_is_refused():
    with pytest.raises(BurstError, match="frequency_hz"):
        locator_inputs(replace(triangle(), frequency_hz=0.0))


def test_arrival_times_keep_nanoseconds_however_late_their_zero():
    late = 3.6e9  # an hour
    arrivals = tuple(ArrivalTime(late + t, sigma_us=0.5) for t in (0.0, 0.001, 10.0))
    inputs = locator_inputs(replace(triangle(), arrivals=arrivals))
    toa = inputs.feeds["toa_us"][0]
    assert toa[1] - toa[0] == pytest.approx(0.001, abs=1e-6)
    assert toa[2] - toa[0] == pytest.approx(10.0, abs=1e-6)
    assert inputs.feeds["toa_w"].tolist() == [[2.0, 2.0, 2.0]]
    assert inputs.method == "rss+tdoa"


def test_an_outlier_or_absent_arrival_weighs_nothing():
    arrivals = (ArrivalTime(1.0, 0.5), ArrivalTime(900.0, 0.5, is_outlier=True), None)
    inputs = locator_inputs(replace(triangle(), arrivals=arrivals))
    assert inputs.feeds["toa_w"].tolist() == [[2.0, 0.0, 0.0]]
    assert inputs.feeds["toa_us"].tolist() == [[0.0, 0.0, 0.0]]
    assert inputs.method == "rss"


@pytest.mark.parametrize("sigma_us", [0.0, -1.0, math.nan])
def test_an_arrival_time_without_a_sigma_is_refused(sigma_us):
    arrivals = (ArrivalTime(1.0, sigma_us), None, None)
    with pytest.raises(BurstError, match="toa_w of receiver s/r0"):
        locator_inputs(replace(triangle(), arrivals=arrivals))


def test_too_few_receivers_have_their_reason():
    two = locator_inputs(scene(observation("a"), observation("b", at=(45.1, 9.0))))
    assert two.method is None
    assert two.refusal() == "too_few_receivers"
    assert locator_inputs(triangle()).refusal() is None
    assert locator_inputs(triangle()).refusal(min_receivers=4) == "too_few_receivers"


def test_three_antennas_on_two_masts_are_no_geometry():
    twins = scene(observation("a"), observation("b"), observation("c", at=(45.1, 9.0)))
    assert locator_inputs(twins).refusal() == "no_geometry"


def test_mel_is_cut_filled_and_clipped_to_the_model_s_shape():
    long = Mel(np.full((4, 9), 99.0, dtype=np.float32))
    short = Mel(np.full((4, 2), -99.0, dtype=np.float32))
    other = Mel(np.full((5, 2), 1.0, dtype=np.float32))
    inputs = locator_inputs(
        scene(
            *(
                observation(n, mel=m)
                for n, m in zip("abcd", (long, short, other, None), strict=True)
            )
        ),
        mel_shape=(4, 5),
    )
    mel = inputs.feeds["mel"][0]
    assert mel.shape == (4, 4, 5)
    assert (mel[0] == 60).all()
    assert mel[1, 0].tolist() == [-10, -10, 0, 0, 0]
    assert not mel[2:].any()


def test_feeds_are_read_only_float32_of_one_batch():
    for feed in locator_inputs(triangle()).feeds.values():
        assert feed.dtype == np.float32
        assert len(feed) == 1
        assert not feed.flags.writeable


def test_geodesic_arrivals_lie_on_the_plane_of_the_estimate():
    places = ((53.7, 7.3), (45.8, 0.6), (47.2, 8.4))
    mast = (54.5, 14.0)
    toa = [float(distance_m(*mast, *p)) / 299.792458 for p in places]
    observations = (observation(f"k{i}", at=p) for i, p in enumerate(places))
    arrivals = tuple(ArrivalTime(t, 20.0) for t in toa)
    inputs = locator_inputs(scene(*observations, arrivals=arrivals))
    at_km = np.array(LocalFrame(inputs.origin).to_enu_m(*mast)) / 1e3

    def misfit_us(feeds) -> float:
        off = feeds["rx_enu"][0, :, :2] - at_km
        zero = feeds["toa_us"][0] - np.hypot(*off.T) * 1e3 / 299.792458
        return float(np.ptp(zero))

    corrected = with_geodesic_arrivals(inputs, at_km)
    assert misfit_us(inputs.feeds) > 0.5
    assert misfit_us(corrected.feeds) < 0.001
    assert inputs.span_km > 1000


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(st.floats(-89.9, 89.9), st.floats(-180, 180), st.floats(-200, 20), st.booleans()),
        min_size=1,
        max_size=12,
    )
)
def test_whatever_is_finite_gives_finite_feeds_in_the_receivers_order(rows):
    observations = [
        observation(f"{i:02d}", at=(lat, lon), heard=heard, level_dbfs=level if heard else None)
        for i, (lat, lon, level, heard) in enumerate(rows)
    ]
    try:
        inputs = locator_inputs(scene(*observations))
    except BurstError as error:
        event(error.reason)
        return
    assert all(np.isfinite(feed).all() for feed in inputs.feeds.values())
    kept = {r.receiver_id for r in inputs.receivers}
    heard = [o.heard for o in observations if o.receiver.receiver_id in kept]
    assert (inputs.feeds["rx_state"][0] == 1).tolist() == heard

"""The levels of a scene as columns of ``rx_feat``."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from heimdall_edge.locate.features import locator_inputs
from heimdall_edge.locate.level_columns import FEATURES
from heimdall_edge.types import Place
from tests.locate.drawn_scenes import observation, scene, triangle


def column(inputs, name: str) -> np.ndarray:
    return inputs.feeds["rx_feat"][0, :, FEATURES.index(name)]


def test_columns_are_the_contract_s():
    heard = observation(
        level_dbfs=-50.0,
        gain_db=30.0,
        snr_db=25.0,
        noise_floor_dbfs=-75.0,
        bandwidth_hz=10_000.0,
        clipped_fraction=0.25,
        level_dbm=-90.0,
        info={"level_offset_db": 1.5, "level_offset_sd_db": 2.0},
    )
    tall = replace(heard.receiver, place=Place(45.0, 9.0, altitude_m=200.0, antenna_height_m=50.0))
    inputs = locator_inputs(scene(replace(heard, receiver=tall)))
    row = dict(zip(FEATURES, inputs.feeds["rx_feat"][0, 0], strict=True))
    assert row == pytest.approx(
        {
            "level_dbm": -90.0,
            "is_calibrated": 1.0,
            "relative_level_db": -90.0,
            "snr_db": 25.0,
            "noise_floor_db": -115.0,
            "offset_db": 1.5,
            "offset_sd_db": 2.0,
            "log10_bandwidth_hz": 4.0,
            "clipped_fraction": 0.25,
            "antenna_amsl_km": 0.25,
        }
    )
    assert inputs.feeds["rx_enu"][0, 0, 2] == pytest.approx(0.05)
    assert inputs.feeds["freq"] == pytest.approx(np.array([[math.log10(446)]]))


def test_without_dbm_the_level_is_that_of_full_scale_less_the_gain():
    inputs = locator_inputs(triangle(level_dbfs=-50.0, gain_db=30.0, noise_floor_dbfs=-75.0))
    assert column(inputs, "relative_level_db").tolist() == [-80.0] * 3
    assert column(inputs, "noise_floor_db").tolist() == [-105.0] * 3
    assert column(inputs, "is_calibrated").tolist() == [0.0] * 3


def test_where_all_know_dbm_levels_are_absolute_whatever_their_gain_labels_say():
    known = {"level_dbm": -90.0, "noise_floor_dbm": -120.0}
    inputs = locator_inputs(
        scene(
            observation("a", level_dbfs=-50.0, gain_db=10.0, **known),
            observation("b", level_dbfs=-20.0, gain_db=49.6, **known),
            observation("k", level_dbfs=None, noise_floor_dbfs=None, **known),
        )
    )
    assert column(inputs, "relative_level_db").tolist() == [-90.0] * 3
    assert column(inputs, "noise_floor_db").tolist() == [-120.0] * 3
    assert column(inputs, "offset_sd_db").tolist() == [8.0] * 3


def test_where_one_of_three_knows_no_dbm_all_share_the_scale_that_all_know():
    both = {"level_dbfs": -50.0, "gain_db": 10.0, "level_dbm": -95.0}
    inputs = locator_inputs(
        scene(observation("a", **both), observation("b", **both), observation("c"))
    )
    assert column(inputs, "relative_level_db").tolist() == [-60.0] * 3
    assert column(inputs, "offset_sd_db").tolist() == [8.0] * 3
    assert column(inputs, "level_dbm").tolist() == [-95.0, -95.0, 0.0]


def test_a_silent_receiver_s_limit_is_on_the_scale_of_the_levels():
    both = {"level_dbfs": -50.0, "level_dbm": -90.0}
    silent = {"heard": False, "gain_db": 20.0}
    inputs = locator_inputs(
        scene(
            observation("a", **both),
            observation("b", **both),
            observation("c", **silent, noise_floor_dbfs=-80.0, noise_floor_dbm=-118.0),
            observation("d", **silent, noise_floor_dbfs=-80.0),
        )
    )
    assert column(inputs, "noise_floor_db")[2:].tolist() == [-118.0, -100.0]
    assert column(inputs, "offset_sd_db")[2:].tolist() == [8.0, pytest.approx(math.hypot(8, 12))]


def test_a_floor_under_automatic_gain_says_as_little_as_its_level():
    inputs = locator_inputs(scene(observation("a", level_dbfs=None, noise_floor_dbfs=-40.0)))
    assert column(inputs, "noise_floor_db").tolist() == [0.0]


def test_an_unknown_offset_has_8_db():
    assert column(locator_inputs(triangle()), "offset_sd_db").tolist() == [8.0, 8.0, 8.0]


def test_a_receiver_that_heard_but_gave_no_level_says_nothing_by_level():
    inputs = locator_inputs(scene(observation("a", level_dbfs=None)))
    assert column(inputs, "offset_sd_db")[0] >= 100
    assert inputs.n_levels == 0


def test_levels_in_dbm_alone_rule_where_they_are_the_most():
    in_dbm = {"level_dbfs": None, "level_dbm": -90.0, "noise_floor_dbm": -120.0}
    all_dbm = locator_inputs(triangle(**in_dbm))
    assert column(all_dbm, "relative_level_db").tolist() == [-90.0] * 3
    assert column(all_dbm, "offset_sd_db").tolist() == [8.0] * 3


def test_a_lone_level_in_dbm_beside_dbfs_gets_a_wider_prior():
    dbm = observation(
        "k", level_dbfs=None, level_dbm=-90.0, noise_floor_dbfs=None, noise_floor_dbm=-120.0
    )
    inputs = locator_inputs(scene(observation("a"), observation("b"), dbm))
    assert column(inputs, "offset_sd_db")[2] == pytest.approx(math.hypot(8, 12))
    assert column(inputs, "offset_sd_db")[:2].tolist() == [8.0, 8.0]


def test_an_absurd_level_stays_a_number_that_a_model_can_square():
    inputs = locator_inputs(scene(observation(level_dbfs=1e30)))
    assert column(inputs, "relative_level_db")[0] == 300.0

"""The true gain of a set one, and full scale at the antenna."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from heimdall_edge.config_receivers import Calibration, GainStep
from heimdall_edge.signal.calibration import Calibrator, true_gain_db
from heimdall_edge.types import IQBlock, frozen_array

STEPS = (
    GainStep(set_db=0.0, true_db=1.5),
    GainStep(set_db=20.7, true_db=19.0),
    GainStep(set_db=49.6, true_db=43.0),
)


def block(**said):
    samples = frozen_array(np.zeros(8, np.uint8))
    return IQBlock(samples, "cu8", 2.4e6, 145e6, 0, 0, **said)


def calibrator(*, gain_db=None, is_automatic=False, **calibration):
    return Calibrator(Calibration(**calibration), gain_db=gain_db, is_automatic=is_automatic)


def test_a_measured_step_is_what_was_measured():
    assert [true_gain_db(STEPS, step.set_db) for step in STEPS] == [1.5, 19.0, 43.0]


def test_between_two_steps_it_goes_straight_and_beyond_them_it_stays():
    assert true_gain_db(STEPS, 35.15) == pytest.approx(31.0)
    assert true_gain_db(STEPS, -5.0) == 1.5
    assert true_gain_db(STEPS, 60.0) == 43.0


def test_where_nothing_was_measured_the_label_is_believed():
    assert true_gain_db((), 28.0) == 28.0


@given(st.lists(st.floats(-50, 100), min_size=2, max_size=30, unique=True), st.floats(-100, 150))
def test_it_is_numpy_s_interpolation(labels, set_db):
    labels = sorted(labels)
    measured = [np.sin(label) * 3 + label for label in labels]
    steps = [GainStep(set_db=s, true_db=t) for s, t in zip(labels, measured, strict=True)]
    assert true_gain_db(steps, set_db) == pytest.approx(np.interp(set_db, labels, measured))


def test_without_a_calibration_a_block_stays_as_it_is():
    plain = block(gain_db=20.7, full_scale_dbm=-30.0)
    assert calibrator(gain_db=40.0).applied(plain) is plain
    assert calibrator().applied(block()).gain_db is None


def test_the_gain_in_force_comes_before_the_configured_one():
    assert calibrator(gain_db=0.0, gain_steps=STEPS).applied(block(gain_db=49.6)).gain_db == 43.0
    assert calibrator(gain_db=49.6, gain_steps=STEPS).applied(block()).gain_db == 43.0


def test_full_scale_falls_with_the_true_gain():
    calibrated = calibrator(gain_steps=STEPS, full_scale_dbm=-5.0).applied(block(gain_db=20.7))
    assert calibrated.full_scale_dbm == -24.0
    assert calibrated.gain_db == 19.0


def test_a_receiver_that_has_no_gain_to_set_is_calibrated_as_it_is():
    assert calibrator(full_scale_dbm=-20.0).applied(block()).full_scale_dbm == -20.0


def test_the_source_s_own_full_scale_stands_where_the_configuration_gives_none():
    said = block(gain_db=20.7, full_scale_dbm=-61.0)
    assert calibrator(gain_steps=STEPS).applied(said).full_scale_dbm == -61.0
    assert calibrator(full_scale_dbm=-5.0).applied(said).full_scale_dbm == -25.7


def test_under_automatic_gain_no_level_is_absolute():
    said = block(gain_db=20.7, full_scale_dbm=-61.0)
    applied = calibrator(is_automatic=True, gain_steps=STEPS, full_scale_dbm=-5.0).applied(said)
    assert applied.full_scale_dbm is None
    assert applied.gain_db == 20.7


def test_all_else_of_a_block_is_kept():
    said = block(gain_db=0.0, lost_samples=3, discarded_samples=4)
    applied = calibrator(gain_steps=STEPS).applied(said)
    assert applied.samples is said.samples
    assert (applied.lost_samples, applied.discarded_samples) == (3, 4)

from __future__ import annotations

import numpy as np
import pytest

from heimdall_edge.sources.kiwi_level import LEAST_FRAMES, LevelConstant
from tests.emulators.kiwi_air import Noise
from tests.sources.kiwi_frames_by_hand import BEGUN_UTC_NS, FULL_SCALE_DBM, frame, metered


def learnt(frames):
    level = LevelConstant(sample_rate_hz=12_001.0)
    for one in frames:
        level.take(one)
    return level.full_scale_dbm


@pytest.mark.parametrize(
    "air",
    [
        Noise(begun_utc_ns=BEGUN_UTC_NS, carrier=0.0, noise_rms=600.0),
        Noise(begun_utc_ns=BEGUN_UTC_NS, carrier=5_000.0, noise_rms=50.0),
        Noise(begun_utc_ns=BEGUN_UTC_NS, carrier=400.0, noise_rms=300.0),
    ],
    ids=["noise", "a carrier", "both"],
)
def test_the_constant_is_found_to_a_tenth_of_a_db_whatever_is_on_the_air(air):
    frames = metered(lambda n: air.frame(n).samples, range(60))
    assert learnt(frames) == pytest.approx(FULL_SCALE_DBM, abs=0.1)


def test_a_signal_that_is_keyed_does_not_disturb_it():
    loud = Noise(begun_utc_ns=BEGUN_UTC_NS, carrier=8_000.0)
    quiet = Noise(begun_utc_ns=BEGUN_UTC_NS, carrier=0.0)
    frames = metered(lambda n: (loud if n // 5 % 2 else quiet).frame(n).samples, range(120))
    assert learnt(frames) == pytest.approx(FULL_SCALE_DBM, abs=0.1)


def test_nothing_is_said_before_enough_frames():
    air = Noise(begun_utc_ns=BEGUN_UTC_NS)
    assert learnt(metered(lambda n: air.frame(n).samples, range(LEAST_FRAMES - 1))) is None
    assert learnt(metered(lambda n: air.frame(n).samples, range(LEAST_FRAMES))) is not None


def test_frames_whose_meter_says_nothing_teach_nothing():
    air = Noise(begun_utc_ns=BEGUN_UTC_NS)
    at_the_floor = metered(lambda n: air.frame(n).samples, range(60), full_scale_dbm=-160.0)
    assert learnt(at_the_floor) is None


def test_samples_that_are_cut_or_nearly_nothing_teach_nothing():
    cut = np.full(1024, 32_767, np.int16)
    assert learnt(metered(lambda _: cut, range(60))) is None
    faint = np.ones(1024, np.int16)
    assert learnt(metered(lambda _: faint, range(60), full_scale_dbm=-10.0)) is None


def test_a_wrong_reading_now_and_then_does_not_move_it():
    air = Noise(begun_utc_ns=BEGUN_UTC_NS)
    frames = list(metered(lambda n: air.frame(n).samples, range(60)))
    wrong = [frame(n, level_dbm=-30.0, payload=frames[0].payload) for n in range(10)]
    assert learnt([*wrong, *frames]) == pytest.approx(FULL_SCALE_DBM, abs=0.1)

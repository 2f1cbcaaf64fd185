"""Delay, level and shadowing."""

import math

import numpy as np
import pytest

from heimdall_edge.config_simulation import Propagation, TrackPoint, Transmitter
from heimdall_edge.geodesy import LocalFrame, distance_m
from heimdall_edge.sources.propagation import (
    Path,
    Shadowing,
    Track,
    free_space_loss_db,
    shadowing_sigma_db,
)
from heimdall_edge.types import Place

ORIGIN = Place(45.0, 7.6)
FRAME = LocalFrame(ORIGIN)
NOW = np.zeros(1)


def transmitter(**settings):
    if "track" not in settings:
        settings = {"latitude_deg": 45.05, "longitude_deg": 7.7, **settings}
    return Transmitter(**{"name": "tx", "frequency_hz": 446e6, **settings})


def path(sender, receiver, *, seed=1, **air):
    propagation = Propagation(**air)
    return Path(
        transmitter=sender,
        track=Track.of(sender),
        receiver=receiver,
        propagation=propagation,
        shadowing=Shadowing(
            seed=seed, correlation_m=propagation.shadowing_correlation_m, frame=FRAME
        ),
    )


# ── delay and level ──


def test_delay_is_the_slant_distance_over_the_speed_of_light():
    sender = transmitter(altitude_m=300.0, antenna_height_m=2.0)
    receiver = Place(45.0, 7.6, altitude_m=1_000.0, antenna_height_m=10.0)
    ground_m = distance_m(45.0, 7.6, 45.05, 7.7)
    expected_s = math.hypot(float(ground_m), 708.0) / 299_792_458
    assert path(sender, receiver).delay_s(NOW)[0] == pytest.approx(expected_s, abs=1e-14)
    assert path(sender, receiver, delay=False).delay_s(NOW)[0] == 0


def test_free_space_loss_is_what_textbooks_print():
    # ITU-R P.525: 32.4 + 20 log10(f / MHz) + 20 log10(d / km).
    expected_db = 32.4 + 20 * math.log10(446) + 20 * math.log10(5)
    assert free_space_loss_db(446e6, 5_000.0) == pytest.approx(expected_db, abs=0.06)


@pytest.mark.parametrize("exponent", [2.0, 3.5])
def test_level_without_shadowing_is_the_link_budget(exponent):
    sender = transmitter(power_dbm=37.0, antenna_height_m=0.0)
    link = path(sender, ORIGIN, exponent=exponent, shadowing_sigma_db=0.0)
    meters = float(distance_m(45.0, 7.6, 45.05, 7.7))
    expected_dbm = 37 - free_space_loss_db(446e6) - 10 * exponent * math.log10(meters)
    assert link.level_dbm(NOW)[0] == pytest.approx(expected_dbm, abs=1e-9)


def test_a_given_loss_at_one_metre_replaces_free_space():
    sender = transmitter(power_dbm=0.0, latitude_deg=45.0, longitude_deg=7.6, antenna_height_m=0.0)
    link = path(sender, ORIGIN, reference_loss_db=40.0, shadowing_sigma_db=0.0)
    assert link.level_dbm(NOW)[0] == pytest.approx(-40)


def test_sigma_grows_near_the_receiver_between_its_limits():
    air = Propagation(
        shadowing_sigma_db=8.5,
        shadowing_near_exponent=0.35,
        shadowing_min_db=5.0,
        shadowing_max_db=14.0,
    )
    meters = np.array([1.0, 30, 100, 300, 1_000, 100_000])
    expected = np.clip(8.5 * (300 / np.maximum(meters, 30)) ** 0.35, 5, 14)
    np.testing.assert_allclose(shadowing_sigma_db(air, meters), expected)
    assert shadowing_sigma_db(Propagation(), meters) == pytest.approx(6.0)


def test_shadowing_is_added_to_the_level_times_sigma():
    sender = transmitter()
    plain = path(sender, ORIGIN, shadowing_sigma_db=0.0).level_dbm(NOW)
    one, six = (path(sender, ORIGIN, shadowing_sigma_db=s).level_dbm(NOW) for s in (1.0, 6.0))
    assert (six - plain) == pytest.approx(6 * (one - plain))
    assert one != plain


# ── shadowing ──

SEEDS = 150
FAR_APART_M = 4_000.0 * np.arange(40)
N = SEEDS * len(FAR_APART_M)


def field_values(ends, correlation_m=100.0):
    """Independent draws of G at some (transmitter, receiver) places; float64 [N, place].

    Each end is an (east, north), m; a draw shifts the transmitter by a distance of its own.
    """
    receivers = [Place(*map(float, FRAME.from_enu_m(*receiver))) for _, receiver in ends]
    values = np.empty((SEEDS, len(FAR_APART_M), len(ends)))
    for seed in range(SEEDS):
        field = Shadowing(seed=seed, correlation_m=correlation_m, frame=FRAME)
        for i, (((east_m, north_m), _), receiver) in enumerate(zip(ends, receivers, strict=True)):
            at = (east_m + FAR_APART_M, north_m + 0 * FAR_APART_M)
            values[seed, :, i] = field.seen_from(receiver).at(*at)
    return values.reshape(N, len(ends))


def test_shadowing_is_gaussian_with_the_stated_covariance_at_both_ends():
    values = field_values(
        [
            ((0.0, 0.0), (3_000.0, 0.0)),
            ((50.0, 0.0), (3_000.0, 0.0)),  # the transmitter moved by L / 2
            ((0.0, 0.0), (3_000.0, 100.0)),  # a receiver L away
            ((0.0, 50.0), (3_000.0, 50.0)),  # both by L / 2
            ((2_000.0, 0.0), (3_000.0, 0.0)),  # far
        ]
    )
    expected = [1, math.exp(-0.5), math.exp(-1), math.exp(-1), 0]
    covariance = (values * values[:, :1]).mean(axis=0)
    assert covariance == pytest.approx(expected, abs=5 * math.sqrt(2 / N))
    assert values.mean(axis=0) == pytest.approx(0, abs=5 / math.sqrt(N))
    kurtosis = ((values / values.std(axis=0)) ** 4).mean(axis=0)
    assert kurtosis == pytest.approx(3, abs=5 * math.sqrt(24 / N))


def test_one_seed_alone_has_the_stated_correlation_over_a_long_drive():
    drive_m = np.arange(0, 100_000.0, 25.0)
    field = Shadowing(seed=1, correlation_m=100.0, frame=FRAME).seen_from(ORIGIN)
    values = field.at(drive_m, np.full_like(drive_m, 500.0))
    assert values.std() == pytest.approx(1, abs=0.1)
    for lag, expected in ((2, math.exp(-0.5)), (4, math.exp(-1)), (200, 0)):
        covariance = (values[lag:] * values[:-lag]).mean()
        assert covariance == pytest.approx(expected, abs=0.12)


def test_no_correlation_makes_the_receivers_independent():
    values = field_values([((0, 0), (0, 0)), ((0, 0), (30, 0)), ((30, 0), (0, 0))], 0.0)
    correlation = np.corrcoef(values.T) - np.eye(3)
    assert np.abs(correlation).max() < 4 / math.sqrt(SEEDS)


def test_shadowing_is_frozen_for_a_seed():
    field, again = (Shadowing(seed=4, correlation_m=100.0, frame=FRAME) for _ in range(2))
    east_m = np.array([10.0, 20.0])
    first = field.seen_from(ORIGIN).at(east_m, east_m)
    assert np.array_equal(first, again.seen_from(ORIGIN).at(east_m, east_m))
    other = Shadowing(seed=5, correlation_m=100.0, frame=FRAME)
    assert not np.allclose(first, other.seen_from(ORIGIN).at(east_m, east_m))


# ── movement ──


def track(*points, repeats=False):
    return Track.of(
        transmitter(
            track=tuple(
                TrackPoint(at_s=t, latitude_deg=lat, longitude_deg=lon) for t, lat, lon in points
            ),
            track_repeats=repeats,
        )
    )


def test_a_moving_transmitter_goes_straight_and_then_stands_still():
    way = track((10.0, 45.0, 7.0), (20.0, 45.2, 7.4))
    assert way.moves
    assert way.place_at(0.0) == pytest.approx((45.0, 7.0))
    assert way.place_at(12.5) == pytest.approx((45.05, 7.1))
    assert way.place_at(99.0) == pytest.approx((45.2, 7.4))


def test_a_track_may_repeat():
    way = track((0.0, 45.0, 7.0), (10.0, 45.2, 7.4), (20.0, 45.0, 7.0), repeats=True)
    assert way.place_at(2 * 20 + 12.0) == pytest.approx(way.place_at(12.0))


def test_a_track_crosses_the_antimeridian():
    way = track((0.0, 0.0, 179.9), (10.0, 0.0, -179.9))
    assert way.place_at(2.5) == pytest.approx((0.0, 179.95))
    assert way.place_at(7.5) == pytest.approx((0.0, -179.95))


def test_distance_along_a_track_is_exact_for_a_receiver_far_from_it():
    sender = transmitter(
        antenna_height_m=0.0,
        track=(
            TrackPoint(at_s=0.0, latitude_deg=46.0, longitude_deg=9.0),
            TrackPoint(at_s=1_000.0, latitude_deg=46.3, longitude_deg=9.4),
        ),
    )
    link = path(sender, ORIGIN)
    time_s = np.array([0.0, 333.3, 512.7, 1_000.0])
    expected_m = distance_m(45.0, 7.6, 46 + 0.3e-3 * time_s, 9 + 0.4e-3 * time_s)
    np.testing.assert_allclose(link.distance_m(time_s), expected_m, atol=1e-3)
    assert link.changes
    assert not path(transmitter(), ORIGIN).changes

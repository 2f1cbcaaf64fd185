"""Geodesics against published figures, closed forms and SciPy's quadrature."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad

from heimdall_edge.geodesy import (
    EQUATORIAL_RADIUS_M,
    FLATTENING,
    POLAR_RADIUS_M,
    LocalFrame,
    direct,
    distance_m,
    inverse,
    is_absurd,
    mean_place,
)
from heimdall_edge.types import Place

# lat1, lon1, azimuth1, lat2, lon2, s12: from the test set of Karney's GeographicLib, WGS-84.
PUBLISHED = [
    (35.60777, -139.44815, 111.098748429560326, -11.17491, -69.95921, 8935244.5604818305),
    (55.52454, 106.05087, 22.020059880982801, 77.03196, 197.18234, 4105086.1713924406),
    (-21.97856, 142.59065, -32.44456876433189, 41.84138, 98.56635, 8394328.894657671),
    (-66.99028, 112.2363, 173.73491240878403, -12.70631, 285.90344, 11150344.2312080241),
    (-17.42761, 173.34268, -159.033557661192928, -15.84784, 5.93557, 16076603.1631180673),
    (32.84994, 48.28919, 150.492927788121982, -56.28556, 202.29132, 16727068.9438164461),
    (-41.32, 174.81, 161.067669986160, 40.96, -5.50, 19959679.267353821),
]

# As above, near the antipode, to whole metres and 1e-5°.
ANTIPODAL = [
    (0, 0, 0, 179, 90.0, 19926189),
    (0, 0, 0, 179.5, 55.96650, 19980862),
    (0, 0, 0, 180, 0.0, 20003931),
    (0, 0, 1, 180, 0.0, 19893357),
]

latitudes = st.floats(-90, 90)
longitudes = st.floats(-180, 180)


@pytest.mark.parametrize(("lat1", "lon1", "azimuth", "lat2", "lon2", "s12"), PUBLISHED)
def test_the_inverse_problem_gives_the_published_figures(lat1, lon1, azimuth, lat2, lon2, s12):
    path = inverse(lat1, lon1, lat2, lon2)
    assert path.distance_m == pytest.approx(s12, abs=1e-7)
    assert path.azimuth_deg == pytest.approx(azimuth % 360, abs=1e-11)


@pytest.mark.parametrize(("lat1", "lon1", "azimuth", "lat2", "lon2", "s12"), PUBLISHED)
def test_the_direct_problem_gives_the_published_figures(lat1, lon1, azimuth, lat2, lon2, s12):
    latitude, longitude = direct(lat1, lon1, azimuth, s12)
    assert latitude == pytest.approx(lat2, abs=1e-12)
    assert (longitude - lon2 + 180) % 360 - 180 == pytest.approx(0, abs=1e-11)


@pytest.mark.parametrize(("lat1", "lon1", "lat2", "lon2", "azimuth", "s12"), ANTIPODAL)
def test_the_inverse_problem_is_solved_at_the_antipode(lat1, lon1, lat2, lon2, azimuth, s12):
    path = inverse(lat1, lon1, lat2, lon2)
    assert path.distance_m == pytest.approx(s12, abs=0.5)
    assert (path.azimuth_deg - azimuth + 180) % 360 == pytest.approx(180, abs=1e-5)


def test_a_meridian_is_as_long_as_its_integral():
    e2 = FLATTENING * (2 - FLATTENING)

    def radius(phi: float) -> float:
        return EQUATORIAL_RADIUS_M * (1 - e2) / (1 - e2 * math.sin(phi) ** 2) ** 1.5

    for lat1, lat2 in [(0, 90), (-33, 51.5), (89.9, 90), (45, 45.001)]:
        arc, _ = quad(radius, math.radians(lat1), math.radians(lat2), epsabs=1e-9)
        assert distance_m(lat1, 12, lat2, 12) == pytest.approx(arc, abs=1e-7)


def test_the_equator_is_a_circle_until_the_way_round_the_pole_is_shorter():
    degrees = np.array([1e-6, 1.0, 90.0, 179.3])
    arc = EQUATORIAL_RADIUS_M * np.radians(degrees)
    np.testing.assert_allclose(distance_m(0, 0, 0, degrees), arc, atol=1e-7)
    assert distance_m(0, 0, 0, 180) < EQUATORIAL_RADIUS_M * math.pi
    assert distance_m(90, 0, -90, 77) == pytest.approx(distance_m(0, 0, 0, 180), abs=1e-7)


def test_arrays_broadcast_and_scalars_stay_scalars():
    assert distance_m(0, 0, 1, 1).shape == ()
    assert distance_m([[0], [1]], 0, [1, 2, 3], 4).shape == (2, 3)
    assert inverse([], [], [], []).distance_m.shape == (0,)


@settings(max_examples=60, deadline=None)
@given(latitudes, longitudes, latitudes, longitudes)
def test_the_direct_problem_undoes_the_inverse_one(lat1, lon1, lat2, lon2):
    path = inverse(lat1, lon1, lat2, lon2)
    arrived = direct(lat1, lon1, path.azimuth_deg, path.distance_m)
    assert distance_m(*arrived, lat2, lon2) < 1e-6


@settings(max_examples=40, deadline=None)
@given(latitudes, longitudes, st.floats(-1, 1), st.floats(-1, 1))
def test_it_converges_wherever_the_antipode_is_near(lat1, lon1, north, east):
    lat2 = min(90.0, max(-90.0, -lat1 + north))
    there = inverse(lat1, lon1, lat2, lon1 + 180 + east)
    back = inverse(lat2, lon1 + 180 + east, lat1, lon1)
    arrived = direct(lat1, lon1, there.azimuth_deg, there.distance_m)
    assert there.distance_m == pytest.approx(back.distance_m, abs=1e-6)
    assert there.distance_m <= math.pi * EQUATORIAL_RADIUS_M
    assert distance_m(*arrived, lat2, lon1 + 180 + east) < 1e-6


@settings(max_examples=40, deadline=None)
@given(latitudes, longitudes, latitudes, longitudes, st.floats(-720, 720))
def test_distances_are_symmetric_and_turn_with_the_earth(lat1, lon1, lat2, lon2, turn):
    there = distance_m(lat1, lon1, lat2, lon2)
    assert there == pytest.approx(distance_m(lat2, lon2, lat1, lon1), abs=1e-6)
    assert there == pytest.approx(distance_m(lat1, lon1 + turn, lat2, lon2 + turn), abs=1e-5)
    assert 0 <= there <= math.pi * EQUATORIAL_RADIUS_M


@pytest.mark.parametrize("bad", [90.1, -91, math.nan, math.inf])
def test_an_impossible_latitude_is_refused_by_its_value(bad):
    with pytest.raises(ValueError, match=str(bad)):
        distance_m([1.0, bad], 0, 0, 0)


def test_an_infinite_longitude_is_refused():
    with pytest.raises(ValueError, match="longitude is not finite"):
        distance_m(0, math.inf, 0, 0)


# ── the local frame ───────────────────────────────────────────────────────────────────────


@settings(max_examples=60, deadline=None)
@given(latitudes, longitudes, st.floats(-9e6, 9e6), st.floats(-9e6, 9e6))
def test_a_frame_maps_there_and_back(lat, lon, east, north):
    frame = LocalFrame(Place(lat, lon))
    back_east, back_north = frame.to_enu_m(*frame.from_enu_m(east, north))
    assert back_east == pytest.approx(east, abs=1e-5)
    assert back_north == pytest.approx(north, abs=1e-5)


def test_a_frame_keeps_distance_and_direction_from_its_origin():
    frame = LocalFrame(Place(45.02, 7.29))
    latitude, longitude = np.array([45.234, 44.395, -10.0]), np.array([7.857, 8.956, 170.0])
    path = inverse(45.02, 7.29, latitude, longitude)
    east, north = frame.to_enu_m(latitude, longitude)
    np.testing.assert_allclose(np.hypot(east, north), path.distance_m, rtol=1e-13)
    np.testing.assert_allclose(np.degrees(np.arctan2(east, north)) % 360, path.azimuth_deg)


def test_close_to_the_origin_a_frame_is_east_and_north_by_the_radii_of_curvature():
    phi, step = math.radians(45), 1e-5
    e2 = FLATTENING * (2 - FLATTENING)
    w = 1 - e2 * math.sin(phi) ** 2
    east, north = LocalFrame(Place(45, 7)).to_enu_m([45 + step, 45], [7, 7 + step])
    meridian_m = EQUATORIAL_RADIUS_M * (1 - e2) / w**1.5 * math.radians(step)
    parallel_m = EQUATORIAL_RADIUS_M / math.sqrt(w) * math.cos(phi) * math.radians(step)
    assert north[0] == pytest.approx(meridian_m, rel=1e-6)
    assert east[1] == pytest.approx(parallel_m, rel=1e-6)


def test_at_the_pole_a_frame_still_maps():
    latitude, longitude = LocalFrame(Place(90, 0)).from_enu_m([1000, 0, -1000], [0, -1000, 0])
    np.testing.assert_allclose(latitude, 90 - np.degrees(1000 / 6399593.6), atol=1e-9)
    np.testing.assert_allclose(np.sort(longitude), [-90, 0, 90], atol=1e-9)


# ── places ────────────────────────────────────────────────────────────────────────────────


def test_the_mean_of_places_over_the_antimeridian_lies_on_it():
    mean = mean_place([Place(10, 179, 100), Place(10, -179, 300)])
    assert abs(mean.longitude_deg) == pytest.approx(180)
    assert mean.latitude_deg == pytest.approx(10, abs=0.01)
    assert mean.altitude_m == 200


def test_the_mean_of_places_round_a_pole_is_the_pole():
    assert mean_place([Place(89, lon) for lon in (0, 90, 180, -90)]).latitude_deg == pytest.approx(
        90
    )


@pytest.mark.parametrize(
    "places", [[], [Place(0, 0), Place(0, 180)], [Place(math.nan, 0)]], ids=str
)
def test_places_without_a_middle_are_refused(places):
    with pytest.raises(ValueError, match=r"mean of no places|no middle"):
        mean_place(places)


@pytest.mark.parametrize(
    ("place", "absurd"),
    [
        (Place(45, 7), False),
        (Place(-90, 180), False),
        (Place(0.0, 0.0), True),
        (Place(0.007, -0.007), True),
        (Place(0.0, 0.02), False),
        (Place(90.1, 0), True),
        (Place(1, -180.5), True),
        (Place(math.nan, 7), True),
        (Place(45, math.inf), True),
        (Place(45, 7, math.nan), True),
        (Place(45, 7, 0, math.inf), True),
    ],
)
def test_a_place_is_absurd_when_nobody_can_stand_there(place, absurd):
    assert is_absurd(place) is absurd


def test_the_polar_radius_is_the_standards():
    assert pytest.approx(6356752.314245, abs=1e-6) == POLAR_RADIUS_M

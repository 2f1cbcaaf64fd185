"""GeoJSON of ellipses: valid rings whose area and reach are the ellipse's own."""

from __future__ import annotations

import json
import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from heimdall_edge.geodesy import distance_m
from heimdall_edge.geojson import (
    MAX_REACH_M,
    ellipse_geometry,
    ellipse_ring,
    point_geometry,
    position_feature,
)
from heimdall_edge.types import ErrorCircle, ErrorEllipse, Position

AUTHALIC_RADIUS_M = 6_371_007.181


def position_at(latitude, longitude, semi_major, semi_minor, azimuth=0.0) -> Position:
    ellipse = ErrorEllipse(semi_major, semi_minor, azimuth, 0.95)
    return Position(latitude, longitude, (1, 0, 1), ellipse, ErrorCircle(semi_major, 0.95), 0.5)


def rings_of(geometry) -> list[np.ndarray]:
    """Exterior rings, float64 [n, 2] lon, lat."""
    if geometry["type"] == "Polygon":
        polygons = [geometry["coordinates"]]
    else:
        assert geometry["type"] == "MultiPolygon"
        polygons = geometry["coordinates"]
    assert all(len(polygon) == 1 for polygon in polygons)
    return [np.array(polygon[0]) for polygon in polygons]


def check_ring(ring: np.ndarray) -> None:
    """RFC 7946, 3.1.6: closed, four positions or more, counter-clockwise, on the map."""
    assert len(ring) >= 4
    assert (ring[0] == ring[-1]).all()
    assert (np.abs(ring) <= [180, 90]).all()
    middle = ring[:-1].mean(axis=0)  # the shoelace of a ring of millimetres needs it near 0
    (x1, y1), (x2, y2) = (ring[:-1] - middle).T, (ring[1:] - middle).T
    assert (x1 * y2 - x2 * y1).sum() > 0
    assert not any((a == b).all() for a, b in pairwise(ring)), "a point is there twice"


def area_m2(ring: np.ndarray) -> float:
    """On the sphere of the Earth's area, edges drawn on the map: −R² ∮ sin φ dλ."""
    lon, sin_lat = np.radians(ring[:, 0]), np.sin(np.radians(ring[:, 1]))
    return -(AUTHALIC_RADIUS_M**2) * float(((sin_lat[1:] + sin_lat[:-1]) / 2 * np.diff(lon)).sum())


def crosses_itself(ring: np.ndarray) -> bool:
    """Whether any two edges that are not neighbours cross."""

    def side(a, b, c):
        return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])

    edges = list(pairwise(ring.tolist()))
    for i, (a, b) in enumerate(edges):
        for c, d in edges[i + 2 : len(edges) - (i == 0)]:
            if side(a, b, c) * side(a, b, d) < 0 and side(c, d, a) * side(c, d, b) < 0:
                return True
    return False


places = st.tuples(
    st.one_of(st.floats(-90, 90), st.sampled_from([90.0, -90.0, 89.99, -89.99, 0.0])),
    st.one_of(st.floats(-180, 180), st.sampled_from([180.0, -180.0, 179.9999, 0.0])),
)


@settings(max_examples=150, deadline=None)
@given(places, st.floats(-3, 6.9), st.floats(-2, 0), st.floats(0, 179.99))
@example((10.0, 180.0), 4.0, -0.3, 30.0)
@example((90.0, 0.0), 5.0, -0.3, 30.0)
@example((-89.99, -180.0), 5.0, -0.3, 30.0)
def test_any_ellipse_anywhere_gives_valid_rings(place, log_major, log_ratio, azimuth):
    major = 10**log_major
    position = position_at(*place, major, major * 10**log_ratio, azimuth)
    rings = rings_of(ellipse_geometry(position, n_points=32))
    assert 1 <= len(rings) <= 2
    for ring in rings:
        check_ring(ring)
        assert not crosses_itself(ring)


@pytest.mark.parametrize("longitude", [8.0, 179.999, 180.0, -180.0, -179.9])
@pytest.mark.parametrize("latitude", [0.0, 45.0, 89.95, 90.0, -89.7, -90.0])
def test_the_area_is_the_ellipses_wherever_the_map_is_cut(latitude, longitude):
    position = position_at(latitude, longitude, 40_000, 25_000, 63.0)
    rings = rings_of(ellipse_geometry(position, n_points=512))
    expected = math.pi * 40_000 * 25_000
    # 1.5 %: the ellipsoid's own area scale at the place against the sphere's.
    assert sum(map(area_m2, rings)) == pytest.approx(expected, rel=0.015)


def test_points_lie_on_the_ellipse_in_metres():
    position = position_at(60.0, 25.0, 30_000, 10_000, 120.0)
    ring = ellipse_ring(60.0, 25.0, position.ellipse, n_points=64)
    away = distance_m(60.0, 25.0, ring[:, 1], ring[:, 0])
    assert away.max() == pytest.approx(30_000, rel=1e-9)
    assert away.min() == pytest.approx(10_000, rel=1e-9)
    east_end = ring[np.argmax(ring[:, 0])]
    assert east_end[1] < 60.0, "azimuth 120 points to the south-east"


def test_an_ellipse_of_a_millimetre_keeps_its_shape():
    ring = ellipse_ring(48.0, 11.0, ErrorEllipse(1e-3, 5e-4, 0.0, 0.95), n_points=64)
    away = distance_m(48.0, 11.0, ring[:, 1], ring[:, 0])
    assert away.max() == pytest.approx(1e-3, rel=1e-4)
    assert away.min() == pytest.approx(5e-4, rel=1e-4)


def test_an_ellipse_over_the_antimeridian_becomes_two_that_meet_there():
    geometry = ellipse_geometry(position_at(-17.0, 179.95, 20_000, 10_000, 90.0))
    assert geometry["type"] == "MultiPolygon"
    west, east = sorted(rings_of(geometry), key=lambda ring: ring[0, 0])
    assert west[:, 0].min() == -180
    assert west[:, 0].max() < -179.7
    assert east[:, 0].max() == 180
    assert east[:, 0].min() > 179.7
    seam_west, seam_east = west[west[:, 0] == -180, 1], east[east[:, 0] == 180, 1]
    assert set(seam_west) == set(seam_east)
    assert len(set(seam_west)) == 2


def test_a_bent_ring_that_crosses_the_antimeridian_four_times_is_cut_into_three():
    """Such a ring comes of no ellipse seen so far; the cut holds for any."""
    from heimdall_edge.geojson import _cut

    bent = [(179, 0), (182, 0), (182, 1), (179.5, 1), (179.5, 2), (182, 2), (182, 3), (179, 3)]
    pieces = [np.array([*piece, piece[0]]) for piece in _cut(bent)]
    assert len(pieces) == 3
    for piece in pieces:
        check_ring(piece)
    shoelace = [abs((p[:-1, 0] * p[1:, 1] - p[1:, 0] * p[:-1, 1]).sum()) / 2 for p in pieces]
    assert sorted(shoelace) == pytest.approx([2.0, 2.0, 2.5])


@pytest.mark.parametrize("pole", [90.0, -90.0])
def test_an_ellipse_round_a_pole_runs_along_the_edge_of_the_map(pole):
    (ring,) = rings_of(ellipse_geometry(position_at(pole, 20.0, 50_000, 30_000, 10.0)))
    at_pole = ring[ring[:, 1] == pole]
    assert {-180.0, 180.0} <= set(at_pole[:, 0])
    assert np.abs(ring[:, 1]).min() == pytest.approx(90 - 50_000 / 111_694, abs=2e-3)


def test_a_huge_ellipse_is_drawn_no_farther_than_a_quarter_of_the_earth():
    ring = ellipse_ring(30.0, 0.0, ErrorEllipse(5e7, 2e7, 40.0, 0.95))
    away = distance_m(30.0, 0.0, ring[:, 1], ring[:, 0])
    np.testing.assert_allclose(away, MAX_REACH_M, rtol=1e-9)


def test_a_feature_holds_point_and_ellipse_and_is_json():
    position = position_at(45.0, 7.0, 100, 50)
    feature = json.loads(json.dumps(position_feature(position, {"fix_id": "x"})))
    assert feature["type"] == "Feature"
    assert feature["properties"] == {"fix_id": "x"}
    point, polygon = feature["geometry"]["geometries"]
    assert point == point_geometry(position) == {"type": "Point", "coordinates": [7.0, 45.0]}
    assert polygon == ellipse_geometry(position)
    assert polygon["type"] == "Polygon"
    assert len(polygon["coordinates"][0]) == 65


def test_a_ring_needs_three_points():
    with pytest.raises(ValueError, match="ring of 2 points"):
        ellipse_ring(0, 0, ErrorEllipse(1, 1, 0, 0.95), n_points=2)

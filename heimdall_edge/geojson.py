"""A position as GeoJSON (RFC 7946): its point, and its error ellipse as a polygon.

The ellipse is drawn in metres on the ellipsoid, and only then turned to degrees: [longitude,
latitude], ring closed, exterior counter-clockwise. Over the antimeridian it is cut in two
(section 3.1.9); round a pole its ring runs along the pole's edge of the map.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from heimdall_edge.geodesy import LocalFrame
from heimdall_edge.types import ErrorEllipse, Float64, Place, Position

MAX_REACH_M = 10_000_000.0
"""An ellipse is drawn as far as this, a quarter of the way round the Earth: more says no more,
and this way it never holds both poles."""

_FAR_APART_DEG = 10.0
_REFINEMENTS = 12

_Point = tuple[float, float]
"""Longitude, latitude."""


def position_feature(
    position: Position, properties: Mapping[str, Any], *, n_points: int = 64
) -> dict[str, Any]:
    """A Feature whose GeometryCollection holds the point, and the ellipse round it."""
    geometries = [point_geometry(position), ellipse_geometry(position, n_points=n_points)]
    return {
        "type": "Feature",
        "geometry": {"type": "GeometryCollection", "geometries": geometries},
        "properties": dict(properties),
    }


def point_geometry(position: Position) -> dict[str, Any]:
    """The position as a Point."""
    return {"type": "Point", "coordinates": [position.longitude_deg, position.latitude_deg]}


def ellipse_geometry(position: Position, *, n_points: int = 64) -> dict[str, Any]:
    """The ellipse as a Polygon, or as a MultiPolygon where the antimeridian cuts it."""
    ring = ellipse_ring(
        position.latitude_deg, position.longitude_deg, position.ellipse, n_points=n_points
    )
    pieces = [[list(map(list, [*piece, piece[0]]))] for piece in _on_the_map(ring)]
    if len(pieces) == 1:
        return {"type": "Polygon", "coordinates": pieces[0]}
    return {"type": "MultiPolygon", "coordinates": pieces}


def ellipse_ring(
    latitude_deg: float, longitude_deg: float, ellipse: ErrorEllipse, *, n_points: int = 64
) -> Float64:
    """Points of an ellipse, counter-clockwise, not closed: float64 [n, 2] lon, lat.

    There are ``n_points`` of them, and more between neighbours whose longitudes lie far apart:
    close to a pole a short way on the ground is a long one on the map.
    """
    if n_points < 3:
        raise ValueError(f"a ring of {n_points} points, expected 3 or more")
    frame = LocalFrame(Place(latitude_deg, longitude_deg))
    turn = 2 * np.pi * np.arange(n_points) / n_points
    ring = _points_of(ellipse, frame, turn)
    for _ in range(_REFINEMENTS):
        far = np.abs(_short_way(np.roll(ring[:, 0], -1) - ring[:, 0])) > _FAR_APART_DEG
        if not far.any():
            break
        between = ((turn + np.append(turn[1:], 2 * np.pi)) / 2)[far]
        turn = np.sort(np.concatenate([turn, between]))
        ring = _points_of(ellipse, frame, turn)
    return ring


def _points_of(ellipse: ErrorEllipse, frame: LocalFrame, turn: Float64) -> Float64:
    """Points of an ellipse round the frame's origin; ``turn`` is the ellipse's own parameter."""
    major = ellipse.semi_major_m * np.cos(turn)
    minor = ellipse.semi_minor_m * np.sin(turn)
    shrink = MAX_REACH_M / np.maximum(MAX_REACH_M, np.hypot(major, minor))
    theta = np.radians(90 - ellipse.azimuth_deg)
    latitude, longitude = frame.from_enu_m(
        east_m=shrink * (major * np.cos(theta) - minor * np.sin(theta)),
        north_m=shrink * (major * np.sin(theta) + minor * np.cos(theta)),
    )
    return np.stack([longitude, latitude], axis=-1)


def _short_way(difference_deg: Float64) -> Float64:
    """A difference of longitudes, [-180, 180)."""
    return np.asarray(np.remainder(difference_deg + 180, 360) - 180)


def _on_the_map(ring: Float64) -> list[list[_Point]]:
    """A ring → rings whose longitudes lie within ±180; none is closed."""
    longitude = np.unwrap(ring[:, 0], period=360)
    # 1 round the north pole (eastward), -1 round the south pole (westward), or 0.
    turns = round((longitude[-1] - longitude[0] + _short_way(ring[0, 0] - ring[-1, 0])) / 360)
    if turns:
        return [_cap(ring, turns)]
    longitude -= 360 * np.floor((longitude.min() + 180) / 360)  # its west end comes on the map
    points: list[_Point] = list(zip(longitude.tolist(), ring[:, 1].tolist(), strict=True))
    return [points] if longitude.max() <= 180 else _cut(points)


def _cap(ring: Float64, turns: int) -> list[_Point]:
    """A ring round a pole → the ring on the map between itself and the pole's edge of the map."""
    pole, first = 90.0 * turns, -180.0 * turns
    start = int(np.argmin(ring[:, 0] * turns))
    points: list[_Point] = [(lon, lat) for lon, lat in np.roll(ring, -start, axis=0).tolist()]
    (lon_before, lat_before), (lon_after, lat_after) = points[-1], points[0]
    crossing = _latitude_at(first, (lon_before + 2 * first, lat_before), (lon_after, lat_after))
    return _without_repeats(
        [(first, crossing), *points, (-first, crossing), (-first, pole), (first, pole)]
    )


def _cut(points: list[_Point]) -> list[list[_Point]]:
    """A ring that crosses longitude 180 → its pieces on both sides, on the map.

    The ring is a row of chains from one crossing to the next. In the order of their latitudes,
    crossings 0–1, 2–3, … bound the stretches of the antimeridian within the ring, along which
    the chains of a side are joined.
    """
    chains = _chains(points)
    partner: dict[int, int] = {}  # chain k starts at crossing k, and ends at crossing k + 1
    in_order = sorted(range(len(chains)), key=lambda k: chains[k][0][1])
    for one, other in zip(in_order[::2], in_order[1::2], strict=True):
        partner[one], partner[other] = other, one
    pieces, waiting = [], set(range(len(chains)))
    while waiting:
        piece: list[_Point] = []
        k = min(waiting)
        while k in waiting:
            waiting.remove(k)
            piece += chains[k]
            k = partner[(k + 1) % len(chains)]
        back = 360.0 if max(lon for lon, _ in piece) > 180 else 0.0
        pieces.append(_without_repeats([(lon - back, lat) for lon, lat in piece]))
    return pieces


def _chains(points: list[_Point]) -> list[list[_Point]]:
    """A ring → its parts on either side of longitude 180, with the crossings at their ends."""
    beyond = [lon > 180 for lon, _ in points]
    first = next(i for i in range(len(points)) if beyond[i] != beyond[i - 1])
    chains: list[list[_Point]] = []
    for i in (*range(first, len(points)), *range(first)):
        if beyond[i] != beyond[i - 1]:
            crossing = (180.0, _latitude_at(180.0, points[i - 1], points[i]))
            if chains:
                chains[-1].append(crossing)
            chains.append([crossing])
        chains[-1].append(points[i])
    chains[-1].append(chains[0][0])
    return chains


def _latitude_at(longitude_deg: float, a: _Point, b: _Point) -> float:
    """Latitude at which the line from a to b, drawn on the map, meets a longitude."""
    return a[1] + (b[1] - a[1]) * (longitude_deg - a[0]) / (b[0] - a[0])


def _without_repeats(points: list[_Point]) -> list[_Point]:
    """Neighbours that are the same point (a corner on the antimeridian itself) become one."""
    return [p for i, p in enumerate(points) if p != points[i - 1]]

"""Where the posterior looks: receivers, the network's size, windows of cells, their moments.

Axes of every tensor here and in the likelihood, in this order: scene, receiver, node, cell. A
window is aligned with principal axes, so that the answer turns with the network.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from onnx_graph import Operand, Tensor
from physics import MIN_DISTANCE_KM, PRIOR_DECLINE, PRIOR_SCALE

RECEIVER, NODE, CELL = 1, 2, 3

FOCUS = 3.0
LEAST_VARIANCE_KM2 = 1e-6
"""Windows never shrink below a metre."""


@dataclass(frozen=True, slots=True)
class Receivers:
    """The receivers of each scene; tensors [scene, receiver, 1, 1]."""

    east: Tensor
    north: Tensor
    reading: Tensor
    """Level less the receiver's mean offset; of a silent receiver, its limit; dB."""
    offset_variance: Tensor
    heard: Tensor
    """Boolean."""
    present: Tensor
    """1 or 0."""
    toa: Tensor
    """µs, float64."""
    toa_weight: Tensor
    """1/µs; 0 where there is none."""


@dataclass(frozen=True, slots=True)
class Network:
    """Where the receivers are that have something to say; tensors [scene, 1, 1, 1]."""

    east: Tensor
    north: Tensor
    radius: Tensor
    """1.5 root mean square distances: the rim of a uniform disc."""
    mean_level: Tensor
    n_arrivals: Tensor


@dataclass(frozen=True, slots=True)
class Window:
    """A rectangle that is searched; tensors [scene, 1, 1, 1]."""

    east: Tensor
    north: Tensor
    cos: Tensor
    sin: Tensor
    """Direction of the first axis."""
    half_x: Tensor
    half_y: Tensor


@dataclass(frozen=True, slots=True)
class Mesh:
    """The cells of a window whose half widths are 1; float64 [1, 1, 1, n_cells]."""

    x: NDArray[np.float64]
    y: NDArray[np.float64]
    size_x: NDArray[np.float64]
    size_y: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Cells:
    """A window's cells, in its own axes, against the receivers; km."""

    x: Tensor
    y: Tensor
    variance_x: Tensor
    variance_y: Tensor
    """Of a uniform distribution over the cell."""
    size: Tensor
    """Area."""
    dx: Tensor
    dy: Tensor
    """From each receiver, [scene, receiver, 1, cell]."""
    dx_squared: Tensor
    dy_squared: Tensor
    distance_squared: Tensor
    network_distance_squared: Tensor
    """From the middle of the network, [scene, 1, 1, cell]."""


@dataclass(frozen=True, slots=True)
class Moments:
    """Mean and covariance of a posterior, in the axes of its window; tensors [scene, 1, 1, 1]."""

    x: Tensor
    y: Tensor
    xx: Tensor
    xy: Tensor
    yy: Tensor


def uniform_mesh(n: int) -> Mesh:
    """N × n equal cells."""
    return _mesh(np.linspace(-1.0, 1.0, n + 1))


def warped_mesh(n: int, stretch: float) -> Mesh:
    """N × n cells that grow outwards as sinh does."""
    return _mesh(np.sinh(stretch * np.linspace(-1.0, 1.0, n + 1)) / math.sinh(stretch))


def _mesh(edges: NDArray[np.float64]) -> Mesh:
    centre, size = (edges[1:] + edges[:-1]) / 2, np.diff(edges)
    grids = (*np.meshgrid(centre, centre), *np.meshgrid(size, size))
    return Mesh(*(grid.reshape(1, 1, 1, -1) for grid in grids))


def network(rx: Receivers) -> Network:
    """Middle and size of the network: those that heard it count, the silent ones a little."""
    timed = (rx.toa_weight > 0.0).where(rx.present, 0.0)
    weight = rx.heard.where(rx.present, rx.present * 0.1).at_least(timed)
    total = weight.sum(RECEIVER).at_least(1e-9)
    east = (weight * rx.east).sum(RECEIVER) / total
    north = (weight * rx.north).sum(RECEIVER) / total
    dx, dy = rx.east - east, rx.north - north
    mean_square = (weight * (dx * dx + dy * dy)).sum(RECEIVER) / total
    trust = rx.heard.where(rx.present, 0.0) / (rx.offset_variance + 50.0)
    return Network(
        east=east,
        north=north,
        radius=(mean_square.sqrt() * 1.5).at_least(2 * MIN_DISTANCE_KM),
        mean_level=(trust * rx.reading).sum(RECEIVER) / trust.sum(RECEIVER).at_least(1e-9),
        n_arrivals=timed.sum(RECEIVER),
    )


def first_window(rx: Receivers, net: Network, *, reach: float) -> Window:
    """The whole domain, aligned with the network's principal axes."""
    dx, dy = (rx.east - net.east) * rx.present, (rx.north - net.north) * rx.present
    cos, sin, _, _ = principal_axes(
        (dx * dx).sum(RECEIVER), (dx * dy).sum(RECEIVER), (dy * dy).sum(RECEIVER)
    )
    half = net.radius * reach
    return Window(net.east, net.north, cos, sin, half, half)


def next_window(window: Window, found: Moments, *, reach: Operand) -> Window:
    """``reach`` standard deviations round what was found, along its own principal axes."""
    cos, sin, major, minor = principal_axes(found.xx, found.xy, found.yy)
    east, north = to_east_north(window, found.x, found.y)
    return Window(
        east=window.east + east,
        north=window.north + north,
        cos=window.cos * cos - window.sin * sin,
        sin=window.sin * cos + window.cos * sin,
        half_x=major.at_least(LEAST_VARIANCE_KM2).sqrt() * reach,
        half_y=minor.at_least(LEAST_VARIANCE_KM2).sqrt() * reach,
    )


def principal_axes(xx: Tensor, xy: Tensor, yy: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Cosine and sine of the major axis, major and minor eigenvalue of [[xx, xy], [xy, yy]]."""
    half_difference, middle = (xx - yy) * 0.5, (xx + yy) * 0.5
    spread = (half_difference * half_difference + xy * xy).sqrt()
    is_long = spread * 1e6 > middle
    cos_double = is_long.where(half_difference / spread.at_least(1e-30), 1.0)
    cos = ((cos_double + 1.0) * 0.5).at_least(0.0).sqrt()
    sin = ((1.0 - cos_double) * 0.5).at_least(0.0).sqrt()
    return cos, (xy >= 0.0).where(sin, -sin), middle + spread, middle - spread


def to_axes(window: Window, east: Tensor, north: Tensor) -> tuple[Tensor, Tensor]:
    """A vector, east and north → along the window's axes."""
    return east * window.cos + north * window.sin, north * window.cos - east * window.sin


def to_east_north(window: Window, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """A vector along the window's axes → east and north."""
    return x * window.cos - y * window.sin, x * window.sin + y * window.cos


def cells(rx: Receivers, net: Network, window: Window, mesh: Mesh) -> Cells:
    """A window's cells against the receivers."""
    x, y = window.half_x * _lift(window, mesh.x), window.half_y * _lift(window, mesh.y)
    variance_x = _square(window.half_x) * _lift(window, mesh.size_x**2 / 12)
    variance_y = _square(window.half_y) * _lift(window, mesh.size_y**2 / 12)
    rx_x, rx_y = to_axes(window, rx.east - window.east, rx.north - window.north)
    net_x, net_y = to_axes(window, net.east - window.east, net.north - window.north)
    dx, dy = x - rx_x, y - rx_y
    dx_squared, dy_squared = _square(dx), _square(dy)
    return Cells(
        x=x,
        y=y,
        variance_x=variance_x,
        variance_y=variance_y,
        size=window.half_x * window.half_y * _lift(window, mesh.size_x * mesh.size_y),
        dx=dx,
        dy=dy,
        dx_squared=dx_squared,
        dy_squared=dy_squared,
        distance_squared=dx_squared + dy_squared,
        network_distance_squared=_square(x - net_x) + _square(y - net_y),
    )


def log_prior(net: Network, at: Cells) -> Tensor:
    """Log density of the place before anything is heard, up to a constant."""
    ratio = at.network_distance_squared / _square(net.radius * PRIOR_SCALE)
    return (ratio * ratio + 1.0).log() * (-PRIOR_DECLINE / 4.0)


def cell_weights(at: Cells, log_density: Tensor) -> Tensor:
    """The probability of each cell."""
    weight = (log_density - log_density.max(CELL)).exp() * at.size
    return weight / weight.sum(CELL)


def moments(at: Cells, weight: Tensor, *, spread: Operand = 1.0) -> Moments:
    """Mean and covariance over the cells, their own variance included.

    The covariance between the cells is multiplied by ``spread``.
    """
    x, y = (weight * at.x).sum(CELL), (weight * at.y).sum(CELL)
    dx, dy = at.x - x, at.y - y
    wide = weight * spread
    wide_dx = wide * dx
    return Moments(
        x=x,
        y=y,
        xx=(wide_dx * dx + weight * at.variance_x).sum(CELL),
        xy=(wide_dx * dy).sum(CELL),
        yy=(wide * dy * dy + weight * at.variance_y).sum(CELL),
    )


def focused_window(
    net: Network, window: Window, at: Cells, evidence: Tensor, *, reach: float, timed_reach: float
) -> Window:
    """Where to look more closely: so many standard deviations round the mean.

    Arrival times have narrow peaks that a coarse mesh blurs, and the blur lends weight to wide
    places that fit less well. So their evidence is raised to a power, which a Gaussian answers
    with a smaller covariance only (given back in the spread), and a blurred ghost by going away.
    Levels leave long tails instead, and want a longer reach.
    """
    is_timed, one = net.n_arrivals >= 3.0, net.n_arrivals * 0.0 + 1.0
    power = is_timed.where(one * FOCUS, 1.0)
    sharpened = (evidence - evidence.max(CELL)) * power
    weight = cell_weights(at, sharpened + log_prior(net, at))
    found = moments(at, weight, spread=power)
    return next_window(window, found, reach=is_timed.where(one * timed_reach, reach))


def _square(value: Tensor) -> Tensor:
    return value * value


def _lift(window: Window, values: NDArray[np.float64]) -> Tensor:
    """A mesh's numbers as a constant of the graph."""
    return window.cos.lift(values)

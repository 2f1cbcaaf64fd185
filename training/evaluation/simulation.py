"""The model's errors over random scenes, held against the Cramér–Rao bound."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scoring import CHI2_68, CHI2_95
from simulate_scenes import Family, SimulatedScene, draw_scene

from heimdall_edge.geodesy import LocalFrame
from heimdall_edge.locate.features import locator_inputs
from heimdall_edge.locate.model import LocatorModel

Array = NDArray[np.float64]

SEED = 20_251_017

HEADER = f"{'family':<10}{'scenes':<26}" + "".join(
    f"{column:>8}" for column in ("n", "ratio", "each", "cov68", "cov95", "NEES")
)


@dataclass(frozen=True, slots=True)
class Errors:
    """One row a scene."""

    error: Array
    """Distance from the truth over the network's span."""
    bound: Array
    """The bound over the network's span."""
    nees: Array
    regular: NDArray[np.bool_]


def simulate(model: LocatorModel, family: Family, n: int) -> Errors:
    """Draw n scenes, locate each, compare."""
    rng = np.random.default_rng([SEED, len(family)])
    rows = [_judge(model, draw_scene(rng, family)) for _ in range(n)]
    error, bound, nees, regular = map(np.array, zip(*rows, strict=True))
    return Errors(error, bound, nees, regular)


def _judge(model: LocatorModel, drawn: SimulatedScene) -> tuple[float, float, float, bool]:
    estimate = model.infer(locator_inputs(drawn.scene))
    frame = LocalFrame(estimate.origin)
    truth = np.array(
        frame.to_enu_m(drawn.transmitter.latitude_deg, drawn.transmitter.longitude_deg)
    )
    off = estimate.mean_enu_km - truth / 1e3
    nees = float(off @ np.linalg.solve(estimate.covariance_km2, off))
    span = drawn.span_km
    return float(np.hypot(*off)) / span, drawn.bound_km / span, nees, drawn.is_regular


def print_table(model: LocatorModel, n: int, show: Callable[[str], None] = print) -> None:
    """A table of all families; what ``ratio`` means is said beneath it."""
    show(HEADER)
    for family in ("rss", "tdoa", "rss+tdoa"):
        errors = simulate(model, family, n)
        for name, rows in (
            ("inside, bound < span/3", errors.regular),
            ("the others", ~errors.regular),
            ("all", np.ones(n, dtype=bool)),
        ):
            show(_line(family, name, errors, rows))
    show(
        "ratio: RMS error over RMS bound, both in units of the network's span; "
        "each: RMS of error over bound, scene by scene"
    )


def _line(family: str, name: str, errors: Errors, rows: NDArray[np.bool_]) -> str:
    error, bound, nees = errors.error[rows], errors.bound[rows], errors.nees[rows]
    ratio = np.sqrt((error**2).mean() / (bound**2).mean())
    each = np.sqrt(((error / bound) ** 2).mean())
    return (
        f"{family:<10}{name:<26}{rows.sum():>8}{ratio:>8.3f}{each:>8.3f}"
        f"{(nees < CHI2_68).mean():>8.3f}{(nees < CHI2_95).mean():>8.3f}{nees.mean():>8.2f}"
    )

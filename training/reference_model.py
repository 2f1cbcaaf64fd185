"""Write the reference model: the physics posterior as an ONNX file of contract ``locator/1``.

    python training/reference_model.py [--out heimdall_edge/data/reference.onnx]

It learns nothing: the constants are in ``physics.py``. The same source writes the same bytes.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from pathlib import Path

import onnx
from onnx_graph import Graph, Tensor
from posterior_arrivals import arrival_evidence
from posterior_geometry import (
    CELL,
    RECEIVER,
    Cells,
    Network,
    Receivers,
    Window,
    cell_weights,
    cells,
    first_window,
    focused_window,
    log_prior,
    moments,
    network,
    next_window,
    uniform_mesh,
    warped_mesh,
)
from posterior_levels import Care, level_evidence

DEFAULT_OUT = Path(__file__).resolve().parent.parent / "heimdall_edge" / "data" / "reference.onnx"

NAME, VERSION = "reference", "1.0.0"

CALIBRATION = {
    "cov_scale": 1.0,
    "n": 1698,
    "coverage_68": 0.822,
    "coverage_95": 0.975,
    "data": "POWDER July 2022, held-out 250 m blocks, receivers not calibrated",
}
"""As ``evaluation/run.py`` printed it; the scale was never fitted."""

FIRST_MESH = warped_mesh(24, 3.0)
FIRST_REACH = 4.0
"""Half width of the whole domain, in network radii."""
NEXT_MESHES = (uniform_mesh(16),) * 3
LAST_MESH = uniform_mesh(22)
NEXT_REACH = {"reach": 5.5, "timed_reach": 4.0}
LAST_REACH = {"reach": 5.5, "timed_reach": 5.0}
"""Half widths of the later windows, in standard deviations of what was found before."""
BRIEF = Care(newton_steps=2, nodes=(1, 1))
THOROUGH = Care(newton_steps=3, nodes=(3, 3))
DOMAIN_RADII = 3.5
"""``ood`` is the probability of a place farther out than this many network radii."""


def build() -> onnx.ModelProto:
    """The reference model."""
    graph = Graph("locator")
    rx = read_inputs(graph)
    net = network(rx)
    window = first_window(rx, net, reach=FIRST_REACH)
    at = cells(rx, net, window, FIRST_MESH)
    evidence = log_likelihood(rx, net, at, BRIEF)
    ood = share_outside(net, at, evidence)
    for mesh in NEXT_MESHES:
        window = focused_window(net, window, at, evidence, **NEXT_REACH)
        at = cells(rx, net, window, mesh)
        evidence = log_likelihood(rx, net, at, BRIEF)
    window = focused_window(net, window, at, evidence, **LAST_REACH)
    at = cells(rx, net, window, LAST_MESH)
    evidence = log_likelihood(rx, net, at, THOROUGH)
    found = moments(at, cell_weights(at, evidence + log_prior(net, at)))
    write_outputs(graph, next_window(window, found, reach=1.0), ood)
    return graph.model(manifest())


def log_likelihood(rx: Receivers, net: Network, at: Cells, care: Care) -> Tensor:
    """What all observations say of each cell, up to a constant."""
    return level_evidence(rx, net, at, care) + arrival_evidence(rx, net, at)


def read_inputs(graph: Graph) -> Receivers:
    """Declare the inputs; ``freq`` is declared and not used: physics here has no frequency."""
    rx_enu = graph.input("rx_enu", ["B", "R", 3])
    rx_feat = graph.input("rx_feat", ["B", "R", 10])
    rx_state = graph.input("rx_state", ["B", "R"]).expand(2, 3)
    graph.input("freq", ["B", 1])
    toa_us, toa_w = (graph.input(name, ["B", "R"]).expand(2, 3) for name in ("toa_us", "toa_w"))

    def column(index: int) -> Tensor:
        return rx_feat.pick(index, 2).expand(2, 3)

    heard, here = rx_state.equals(1.0), rx_state > 0.0
    present = here.where(rx_state * 0.0 + 1.0, 0.0)
    east, north = (rx_enu.pick(axis, 2).expand(2, 3) * present for axis in (0, 1))
    reading = (heard.where(column(2), column(4)) - column(5)) * present
    # Sums of float32 depend on their order; one order for all makes permutations exact.
    order = sorted_by(here.where(east + north * 0.618 + reading * 1e-3, -1e30))
    in_order = {
        name: tensor.apply("GatherElements", order, axis=RECEIVER)
        for name, tensor in {
            "east": east,
            "north": north,
            "reading": reading,
            "offset_variance": column(6) * column(6),
            "heard": heard.where(present, 0.0),
            "present": present,
            "toa": toa_us,
            "toa_weight": toa_w * present,
        }.items()
    }
    return Receivers(
        **in_order | {"heard": in_order["heard"] > 0.0, "toa": in_order["toa"].cast("float64")}
    )


def sorted_by(key: Tensor) -> Tensor:
    """Indices of the receivers, greatest key first."""
    count = key.apply("Shape", kind="int64", start=RECEIVER, end=RECEIVER + 1)
    return key.graph.nodes("TopK", [key, count], [key.kind, "int64"], axis=RECEIVER)[1]


def share_outside(net: Network, at: Cells, evidence: Tensor) -> Tensor:
    """Probability of a place beyond the domain, [scene, 1, 1, 1], under an open prior.

    The model's own prior would hide that the evidence leans outwards; this one falls as 1/r².
    """
    ratio = at.network_distance_squared / (net.radius * net.radius)
    weight = cell_weights(at, evidence - (ratio + 1.0).log())
    return (ratio > DOMAIN_RADII**2).where(weight, 0.0).sum(CELL)


def write_outputs(graph: Graph, final: Window, ood: Tensor) -> None:
    """Mean, Cholesky factor and ood from a window of one standard deviation."""
    east, north = final.east.squeeze(2, 3), final.north.squeeze(2, 3)
    cos, sin, major, minor = (
        value.squeeze(2, 3).cast("float64")
        for value in (final.cos, final.sin, final.half_x, final.half_y)
    )
    var_east = cos * cos * major * major + sin * sin * minor * minor
    both = cos * sin * (major * major - minor * minor)
    a = var_east.log() * 0.5
    b = (major * minor).log() - a  # √det Σ = eᵃ eᵇ
    graph.output(_join(east, north), "mean_enu", ["B", 2])
    graph.output(_join(a, both / a.exp(), b).cast("float32"), "chol", ["B", 3])
    graph.output(ood.squeeze(2, 3), "ood", ["B", 1])


def _join(first: Tensor, *others: Tensor) -> Tensor:
    return first.apply("Concat", *others, axis=1)


def manifest() -> dict[str, str]:
    """What travels in the file, contract section 5."""
    return {
        "heimdall.schema": "locator/1",
        "heimdall.name": NAME,
        "heimdall.version": VERSION,
        "heimdall.mel": json.dumps(
            {
                "sample_rate_hz": 16000,
                "n_fft": 256,
                "hop_length": 128,
                "window": "hann",
                "n_mels": 64,
                "n_frames": 32,
                "scale": "linear",
                "fmin_hz": -8000,
                "fmax_hz": 8000,
            }
        ),
        "heimdall.domain": json.dumps(
            {
                "receivers": {"min": 3, "max": 256},
                "band_mhz": [0.01, 6000],
                "max_range_km": 3000,
                "trained_on": "physics; shadowing law from POWDER July 2022, fit blocks",
            }
        ),
        "heimdall.calibration": json.dumps(CALIBRATION),
    }


def main() -> None:
    """Write the file and print its hash."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=DEFAULT_OUT)
    out: Path = parser.parse_args().out
    content = build().SerializeToString(deterministic=True)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_bytes(content)
    print(f"{out}: {len(content)} bytes, sha256 {hashlib.sha256(content).hexdigest()}")


if __name__ == "__main__":
    main()

"""Fixes against the truth: errors, and whether the stated uncertainty holds.

Both come as JSON lines: fixes in the published format (``heimdall.fix/1``), the truth as
``{"scene_id": …, "group": …, "transmitters": [{"latitude": …, "longitude": …}, …]}``; any data
set that is written so can be judged.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from heimdall_edge.geodesy import LocalFrame
from heimdall_edge.types import Place

CHI2_68, CHI2_95 = -2.0 * np.log(1.0 - np.array([0.68, 0.95]))

HEADER = (
    f"{'group':<26}{'scenes':>7}{'fixes':>7}{'median':>8}{'p90':>8}{'cov68':>7}{'cov95':>7}"
    f"{'NEES':>7}{'NLL':>8}{'sharp':>7}  refusals"
)
UNITS = (
    "errors and sharpness (median of det Σ to the power 1/4) in m; NLL in nats, density per m²; "
    "with two transmitters the nearer one counts"
)


@dataclass(slots=True)
class Group:
    """The scenes of one row of the table."""

    error_m: list[float] = field(default_factory=list)
    nees: list[float] = field(default_factory=list)
    log_det: list[float] = field(default_factory=list)
    """Of the covariance, m⁴."""
    refusals: Counter[str] = field(default_factory=Counter)
    n_false: int = 0
    """Fixes where nobody transmitted."""

    @property
    def n_scenes(self) -> int:
        return len(self.error_m) + self.n_false + self.refusals.total()


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The JSON objects of a file, one a line."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line]


def score(
    fixes: Iterable[Mapping[str, Any]], truth: Iterable[Mapping[str, Any]]
) -> dict[str, Group]:
    """Judge each scene of the truth; one that no fix speaks of is refused as ``no_answer``."""
    by_scene = {fix["scene_id"]: fix for fix in fixes if fix.get("scene_id")}
    groups: dict[str, Group] = {}
    for scene in truth:
        group = groups.setdefault(scene.get("group", "all"), Group())
        fix = by_scene.get(scene["scene_id"])
        if fix is None or fix.get("position") is None:
            group.refusals[fix["reason"] if fix else "no_answer"] += 1
        elif not scene["transmitters"]:
            group.n_false += 1
        else:
            _add(group, fix, scene["transmitters"])
    return groups


def _add(group: Group, fix: Mapping[str, Any], transmitters: list[Mapping[str, float]]) -> None:
    position = fix["position"]
    frame = LocalFrame(Place(position["latitude"], position["longitude"]))
    at = np.array([(t["latitude"], t["longitude"]) for t in transmitters])
    off_m = np.stack(frame.to_enu_m(at[:, 0], at[:, 1]), axis=1)
    off_m = off_m[np.hypot(*off_m.T).argmin()]
    ee, en, nn = fix["covariance_enu_m2"]
    covariance = np.array([[ee, en], [en, nn]])
    group.error_m.append(float(np.hypot(*off_m)))
    group.nees.append(float(off_m @ np.linalg.solve(covariance, off_m)))
    group.log_det.append(float(np.linalg.slogdet(covariance)[1]))


def print_table(groups: Mapping[str, Group], show: Callable[[str], None] = print) -> None:
    """One row a group."""
    show(HEADER)
    for name in sorted(groups):
        show(row(name, groups[name]))
    show(UNITS)


def row(name: str, group: Group) -> str:
    """A line of the table."""
    refused = ", ".join(f"{reason} {n}" for reason, n in group.refusals.most_common()) or "none"
    head = f"{name:<26}{group.n_scenes:>7}{len(group.error_m) + group.n_false:>7}"
    if not group.error_m:
        return f"{head}{'':>52}  {refused}"
    error, nees, log_det = map(np.array, (group.error_m, group.nees, group.log_det))
    nll = (0.5 * nees + 0.5 * log_det + np.log(2 * np.pi)).mean()
    return (
        f"{head}{np.median(error):>8.0f}{np.percentile(error, 90):>8.0f}"
        f"{(nees < CHI2_68).mean():>7.3f}{(nees < CHI2_95).mean():>7.3f}{nees.mean():>7.2f}"
        f"{nll:>8.3f}{np.median(np.exp(log_det / 4)):>7.0f}  {refused}"
    )

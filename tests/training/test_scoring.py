"""Scores of fixes whose errors are known beforehand."""

from __future__ import annotations

import numpy as np
import pytest
from scoring import print_table, row, score

from heimdall_edge.geodesy import LocalFrame
from heimdall_edge.types import Place

TRUTH = (45.0, 9.0)


def fix(scene_id: str, east_m: float, north_m: float, *, sigma_m: float = 100.0) -> dict:
    lat, lon = LocalFrame(Place(*TRUTH)).from_enu_m(east_m, north_m)
    return {
        "scene_id": scene_id,
        "position": {"latitude": float(lat), "longitude": float(lon)},
        "covariance_enu_m2": [sigma_m**2, 0.0, sigma_m**2],
        "reason": None,
    }


def truth(scene_id: str, *, group: str = "g", n: int = 1) -> dict:
    place = {"latitude": TRUTH[0], "longitude": TRUTH[1]}
    return {"scene_id": scene_id, "group": group, "transmitters": [place] * n}


def test_errors_and_their_squares_over_the_covariance_are_the_known_ones():
    group = score([fix("a", 300, 400), fix("b", 0, -100)], [truth("a"), truth("b")])["g"]
    assert group.error_m == pytest.approx([500, 100], rel=1e-4)
    assert group.nees == pytest.approx([25, 1], rel=1e-3)
    assert np.exp(np.array(group.log_det) / 4) == pytest.approx([100, 100])


def test_refusals_are_counted_by_reason_and_silence_is_one():
    refused = {"scene_id": "a", "position": None, "reason": "too_few_receivers"}
    group = score([refused], [truth("a"), truth("b")])["g"]
    assert group.refusals == {"too_few_receivers": 1, "no_answer": 1}
    assert group.n_scenes == 2


def test_a_fix_where_nobody_transmits_is_false():
    group = score([fix("a", 0, 0)], [truth("a", n=0)])["g"]
    assert (group.n_false, len(group.error_m)) == (1, 0)


def test_the_nearer_of_two_transmitters_counts():
    far = truth("a", n=2)
    far["transmitters"][1] = {"latitude": 46.0, "longitude": 9.0}
    assert score([fix("a", 30, 40)], [far])["g"].error_m == pytest.approx([50], rel=1e-3)


def test_the_table_has_a_line_a_group():
    lines: list[str] = []
    groups = score(
        [fix("a", 1, 1), fix("b", 2, 2)], [truth("a"), truth("b", group="h"), truth("c")]
    )
    print_table(groups, lines.append)
    assert [line.split()[0] for line in lines[1:3]] == ["g", "h"]
    assert "no_answer 1" in row("g", groups["g"])

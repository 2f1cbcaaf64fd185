"""From observations that may be of one transmission to scenes."""

from __future__ import annotations

from dataclasses import replace

import pytest

from heimdall_edge.locate.matching import Matcher
from heimdall_edge.locate.scenes import scenes_of
from heimdall_edge.types import NS_PER_S, Observation, Place, ReceiverInfo, Scene

MATCHER = Matcher(tolerance_s=0.25, min_overlap=0.5)


def observed(receiver: str, start_s: float, duration_s: float, **fields) -> Observation:
    place = fields.pop("place", Place(45, 7))
    return Observation(
        observation_id=f"{receiver}@{start_s}",
        receiver=ReceiverInfo("s", receiver, place),
        channel="c",
        frequency_hz=fields.pop("frequency_hz", 1e8),
        start_utc_ns=round(start_s * NS_PER_S),
        duration_s=duration_s,
        noise_floor_dbfs=-60,
        **fields,
    )


def scenes(*observations: Observation, silent=lambda _: [], max_span_m=3e6) -> list[Scene]:
    return scenes_of(observations, matcher=MATCHER, silent_during=silent, max_span_m=max_span_m)


def test_a_scene_lasts_as_long_as_anybody_heard_it():
    (scene,) = scenes(observed("b", 1.0, 2.0), observed("a", 1.5, 2.0, frequency_hz=1.001e8))
    assert scene.start_utc_ns == NS_PER_S
    assert scene.duration_s == pytest.approx(2.5)
    assert scene.end_utc_ns == 3_500_000_000
    assert [o.receiver.receiver_id for o in scene.observations] == ["a", "b"]
    assert scene.frequency_hz == 1.001e8, "of the first receiver that heard it"


def test_who_was_silent_is_asked_about_the_scene_as_it_is():
    asked = []

    def silent(scene: Scene) -> list[Observation]:
        asked.append(scene)
        return [replace(observed("c", 0, 9), heard=False)]

    (scene,) = scenes(observed("a", 1, 2), observed("b", 1, 3), silent=silent)
    assert [o.heard for o in scene.observations] == [True, True, False]
    assert asked[0].duration_s == 3


def test_silent_receivers_do_not_lengthen_a_scene_by_its_id():
    lines = [observed("a", 1, 2, scene_id="x"), observed("b", 0, 60, scene_id="x", heard=False)]
    (scene,) = scenes(*lines, silent=lambda _: pytest.fail("its lines say who was silent"))
    assert scene.start_utc_ns == NS_PER_S
    assert scene.duration_s == 2
    assert scene.scene_id == "x"


def test_a_far_place_is_judged_over_the_antimeridian_and_at_the_pole():
    near_fiji = [Place(-17, 179), Place(-17, -179), Place(-17, 180)]
    (scene,) = scenes(*at(near_fiji), max_span_m=300e3)
    assert len(scene.observations) == 3
    round_the_pole = [Place(89, 0), Place(89, 120), Place(89, -120)]
    (scene,) = scenes(*at([*round_the_pole, Place(70, 0)]), max_span_m=300e3)
    assert [o.receiver.receiver_id for o in scene.observations] == ["a", "b", "c"]
    assert scene.left_out == {"far_place": 1}


def at(places: list[Place]) -> list[Observation]:
    return [observed(r, 0, 1, place=place) for r, place in zip("abcd", places, strict=False)]

"""When scenes close, and with whom."""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heimdall_edge.locate import associate
from heimdall_edge.locate.associate import Associator, fix_id
from heimdall_edge.types import (
    NS_PER_S,
    IQSnippet,
    Listening,
    Observation,
    Place,
    ReceiverInfo,
    Scene,
)

PLACES = {
    "a": Place(45.00, 7.00),
    "b": Place(45.01, 7.00),
    "c": Place(45.00, 7.02),
    "d": Place(45.02, 7.02),
    "absurd": Place(0.0, 0.0),
    "sydney": Place(-33.9, 151.2),
}


def ns(seconds: float) -> int:
    return round(seconds * NS_PER_S)


def info(receiver: str, station: str = "s") -> ReceiverInfo:
    return ReceiverInfo(station, receiver, PLACES[receiver])


def observed(receiver, start_s, duration_s=1.0, *, channel="c1", **fields) -> Observation:
    fields.setdefault("observation_id", f"{receiver}{channel}{start_s}{fields.get('scene_id')}")
    return Observation(
        receiver=info(receiver),
        channel=channel,
        frequency_hz=1e8,
        start_utc_ns=ns(start_s),
        duration_s=duration_s,
        noise_floor_dbfs=-60.0,
        **fields,
    )


def listening(receiver, start_s, end_s, *, channel="c1") -> Listening:
    return Listening(info(receiver), ns(start_s), ns(end_s), {channel: -50.0})


def fill(associator: Associator, *said: Observation | Listening) -> Associator:
    for each in said:
        if isinstance(each, Observation):
            associator.add(each)
        else:
            associator.listened(each)
    return associator


def who(scene: Scene) -> dict[str, bool]:
    return {o.receiver.receiver_id: o.heard for o in scene.observations}


# ── when a scene closes ───────────────────────────────────────────────────────────────────


def test_a_scene_is_complete_when_all_who_listen_have_decided_past_its_end():
    associator = fill(
        Associator(),
        listening("a", 0, 5),
        listening("b", 0, 5),
        observed("a", 5),
        listening("a", 5, 6),
    )
    assert associator.ready(ns(6)) == [], "b may still have heard it"
    assert associator.open_scenes == 1
    fill(associator, observed("b", 5.001), listening("b", 5, 5.5))
    assert associator.ready(ns(6)) == [], "b has not come to the end of it"
    fill(associator, listening("b", 5.5, 6.01))
    (scene,) = associator.ready(ns(6.01))
    assert who(scene) == {"a": True, "b": True}
    assert scene.start_utc_ns == ns(5)
    assert scene.duration_s == pytest.approx(1.001)
    assert associator.open_scenes == 0


def test_windows_of_one_grid_need_not_end_on_the_same_sample():
    associator = fill(
        Associator(),
        observed("a", 5, 1.00002),
        listening("a", 5, 6.00002),
        observed("b", 5.00003, 0.99995),
        listening("b", 5, 5.99998),
    )
    (scene,) = associator.ready(ns(6))
    assert who(scene) == {"a": True, "b": True}


def test_silent_receivers_are_in_the_scene_with_their_limit():
    associator = fill(
        Associator(),
        observed("a", 5),
        observed("b", 5),
        *(listening(r, 0, 7) for r in "abc"),
    )
    (scene,) = associator.ready(ns(7))
    assert who(scene) == {"a": True, "b": True, "c": False}
    assert scene.observations[2].noise_floor_dbfs == -50
    assert [o.receiver.receiver_id for o in scene.heard] == ["a", "b"]


def test_a_deaf_receiver_is_in_no_scene():
    associator = fill(
        Associator(),
        observed("a", 5),
        listening("a", 0, 7),
        listening("b", 0, 5.4),
        listening("b", 5.8, 7),
    )
    (scene,) = associator.ready(ns(7))
    assert who(scene) == {"a": True}


def test_a_dead_receiver_is_waited_for_only_while_it_is_fresh():
    associator = fill(
        Associator(wait_s=2), listening("b", 0, 4.5), observed("a", 5), listening("a", 0, 6)
    )
    assert associator.ready(ns(6.1)) == []
    assert len(associator.ready(ns(6.6))) == 1, "b has said nothing for more than wait_s"


def test_a_receiver_that_ended_is_not_waited_for():
    associator = fill(Associator(), listening("b", 0, 5.5), observed("a", 5), listening("a", 0, 6))
    assert associator.ready(ns(6)) == []
    associator.ended(("s", "b"))
    assert len(associator.ready(ns(6))) == 1


def test_a_receiver_that_is_expected_is_waited_for_before_it_first_speaks():
    associator = fill(Associator(wait_s=60), observed("a", 5), listening("a", 0, 6))
    associator.expect(("s", "b"), ["c1", "c2"])
    assert associator.ready(ns(6)) == []
    fill(associator, observed("b", 5), listening("b", 0, 6))
    (scene,) = associator.ready(ns(6))
    assert who(scene) == {"a": True, "b": True}


def test_who_listens_to_other_channels_is_not_waited_for():
    associator = fill(
        Associator(), observed("a", 5), listening("a", 0, 6), listening("b", 0, 1, channel="c2")
    )
    assert len(associator.ready(ns(6))) == 1


def test_lines_whose_progress_nobody_tells_wait_their_time():
    associator = fill(Associator(wait_s=2), observed("a", 5), observed("b", 5.01))
    assert associator.ready(ns(6)) == []
    fill(associator, observed("c", 5.02))
    assert associator.ready(ns(8)) == []
    (scene,) = associator.ready(ns(8.1))
    assert who(scene) == {"a": True, "b": True, "c": True}


def test_old_lines_that_are_read_now_wait_from_when_they_came():
    associator = fill(Associator(wait_s=2), observed("a", 5))
    assert associator.ready(ns(1000)) == []
    fill(associator, observed("b", 5))
    assert associator.ready(ns(1001)) == []
    (scene,) = associator.ready(ns(1002))
    assert who(scene) == {"a": True, "b": True}


def test_a_feed_that_lately_spoke_is_waited_for_until_it_goes_on():
    associator = fill(
        Associator(wait_s=10), observed("b", 1), observed("a", 1), listening("a", 0, 2)
    )
    assert len(associator.ready(ns(2))) == 1
    fill(associator, observed("a", 5), listening("a", 2, 6))
    assert associator.ready(ns(6)) == [], "b is another station's: it may be late"
    fill(associator, observed("b", 7))
    (scene,) = associator.ready(ns(7))
    assert who(scene) == {"a": True}
    fill(associator, observed("a", 100), listening("a", 6, 101))
    assert len(associator.ready(ns(101))) == 2, "b has been quiet for long: not waited for"


def test_a_feed_on_another_channel_is_not_waited_for():
    associator = fill(
        Associator(), observed("b", 5, channel="c2"), observed("a", 5), listening("a", 0, 6)
    )
    assert [scene.channel for scene in associator.ready(ns(6))] == ["c1"]


def test_flush_gives_what_is_open_in_order_of_start_and_channel():
    associator = fill(
        Associator(),
        observed("a", 9),
        observed("a", 3, channel="c2"),
        observed("a", 3, channel="c1"),
    )
    scenes = associator.flush()
    assert [(s.start_utc_ns, s.channel) for s in scenes] == [
        (ns(3), "c1"),
        (ns(3), "c2"),
        (ns(9), "c1"),
    ]
    assert associator.flush() == []


# ── with whom ─────────────────────────────────────────────────────────────────────────────


def test_windows_of_a_grid_are_scenes_of_their_own():
    windows = [observed(r, 5 * i, 5.0) for i in range(4) for r in "abc"]
    scenes = fill(Associator(), *windows).flush()
    assert [s.start_utc_ns for s in scenes] == [ns(0), ns(5), ns(10), ns(15)]
    assert all(who(s) == {"a": True, "b": True, "c": True} for s in scenes)


def test_an_observation_between_two_clusters_joins_them():
    associator = fill(Associator(), observed("a", 0, 1), observed("b", 1.5, 1.5))
    assert associator.open_scenes == 2
    fill(associator, observed("c", 0, 3))
    assert associator.open_scenes == 1
    (scene,) = associator.flush()
    assert who(scene) == {"a": True, "b": True, "c": True}


def test_pieces_of_what_others_heard_whole_are_counted():
    associator = fill(
        Associator(),
        observed("a", 0, 5),
        *(observed("b", start, 0.9) for start in (0, 1.5, 3)),
    )
    (scene,) = associator.flush()
    assert who(scene) == {"a": True, "b": True}
    assert scene.left_out == {"second_burst": 2}
    assert associator.counts == {"second_burst": 2}


def test_who_heard_something_else_meanwhile_is_not_called_silent():
    associator = fill(
        Associator(),
        listening("c", 0, 1),
        observed("a", 5, 10),
        observed("b", 5, 10),
        observed("c", 3, 3),
        *(listening(r, 1, 16) for r in "abc"),
    )
    scenes = associator.ready(ns(16))
    assert [who(s) for s in scenes] == [{"c": True}, {"a": True, "b": True}]


@settings(max_examples=25, deadline=None)
@given(st.randoms(use_true_random=False))
def test_the_scenes_do_not_depend_on_the_order_of_arrival(rng: random.Random):
    said = [
        observed(r, round(start + jitter, 3), 0.8)
        for start in (1, 3, 5)
        for r, jitter in (("a", 0), ("b", 0.003), ("c", -0.002))
        if (r, start) != ("c", 3)
    ]
    heard_first = fill(Associator(), *said, *(listening(r, 0, 7) for r in "abcd")).ready(ns(7))
    rng.shuffle(said)
    shuffled = fill(Associator(), *said, *(listening(r, 0, 7) for r in "abcd")).ready(ns(7))
    assert [who(s) for s in heard_first] == [who(s) for s in shuffled]
    assert [fix_id(s, "s") for s in heard_first] == [fix_id(s, "s") for s in shuffled]
    assert who(heard_first[1]) == {"a": True, "b": True, "c": False, "d": False}


# ── lines of a file ───────────────────────────────────────────────────────────────────────


def test_lines_that_share_a_scene_id_belong_together_whatever_their_time():
    lines = [
        observed("a", 5, scene_id="x"),
        observed("b", 50, scene_id="x"),
        observed("c", 5, scene_id="y"),
        observed("d", 6, heard=False, scene_id="x"),
    ]
    scenes = fill(Associator(), *lines, listening("c", 0, 100)).flush()
    assert [(s.scene_id, who(s)) for s in scenes] == [
        ("x", {"a": True, "b": True, "d": False}),
        ("y", {"c": True}),
    ]


def test_a_scene_by_its_id_is_not_given_before_its_lines_can_be_there():
    associator = Associator(wait_s=2)
    given_out = []
    for i, start in enumerate((0, 4, 8)):
        for receiver in "abcd":
            fill(associator, observed(receiver, start, 1, scene_id=f"scene{i}"))
            given_out += associator.ready(ns(start))
    assert [len(s.observations) for s in given_out + associator.flush()] == [4, 4, 4]
    assert len(given_out) == 2, "a scene need not wait for the end of the file either"


def test_a_scene_that_nobody_heard_is_given_if_a_line_names_it():
    lines = [observed(r, 5, heard=False, scene_id="no_tx") for r in "abc"]
    (scene,) = fill(Associator(), *lines).flush()
    assert scene.heard == ()
    assert len(scene.observations) == 3
    assert scene.start_utc_ns == ns(5)


def test_of_two_lines_of_one_receiver_in_a_scene_the_one_that_heard_it_counts():
    lines = [
        observed("a", 5, 9.0, heard=False, scene_id="x", observation_id="silent"),
        observed("a", 5, 1.0, scene_id="x", observation_id="short"),
        observed("a", 5, 2.0, scene_id="x", observation_id="long"),
    ]
    (scene,) = fill(Associator(), *lines).flush()
    assert [o.observation_id for o in scene.observations] == ["long"]
    assert scene.left_out == {"second_burst": 2}


def test_a_line_that_says_silent_is_used_as_it_is():
    lines = [
        observed("a", 5),
        observed("b", 4, 3.0, heard=False, level_dbm=None, observation_id="b silent"),
        observed("c", 5.5, 3.0, heard=False, observation_id="c not all the while"),
        observed("d", 90, heard=False),
    ]
    (scene,) = fill(Associator(), *lines).flush()
    assert who(scene) == {"a": True, "b": False}
    assert scene.observations[1].observation_id == "b silent"


# ── what is left out ──────────────────────────────────────────────────────────────────────


def test_absurd_places_are_left_out_and_counted_and_nobody_else():
    associator = fill(Associator(), *(observed(r, 5) for r in ("a", "absurd", "b")))
    (scene,) = associator.flush()
    assert who(scene) == {"a": True, "b": True}
    assert scene.left_out == {"absurd_place": 1}
    assert associator.counts["absurd_place"] == 1


def test_a_silent_receiver_at_an_absurd_place_is_left_out_too():
    associator = fill(Associator(), observed("a", 5), listening("absurd", 0, 9))
    (scene,) = associator.flush()
    assert who(scene) == {"a": True}
    assert scene.left_out == {"absurd_place": 1}


def test_a_place_far_from_the_others_median_is_left_out():
    everybody = [observed(r, 5) for r in ("a", "b", "c", "sydney")]
    (scene,) = fill(Associator(max_span_m=3e6), *everybody).flush()
    assert who(scene) == {"a": True, "b": True, "c": True}
    assert scene.left_out == {"far_place": 1}


def test_of_two_far_apart_nobody_can_say_which_is_wrong():
    (scene,) = fill(Associator(), observed("a", 5), observed("sydney", 5)).flush()
    assert who(scene) == {"a": True, "sydney": True}


def test_a_scene_whose_receivers_are_all_absurd_is_still_given():
    (scene,) = fill(Associator(), observed("absurd", 5)).flush()
    assert scene.observations == ()
    assert scene.left_out == {"absurd_place": 1}
    assert scene.frequency_hz == 1e8


def test_a_repeat_is_counted_and_not_used():
    associator = fill(Associator(), observed("a", 5), observed("a", 5))
    (scene,) = associator.flush()
    assert len(scene.observations) == 1
    assert associator.counts == {"duplicate": 1}


def test_two_receivers_may_number_their_observations_alike():
    associator = fill(
        Associator(), observed("a", 5, observation_id="1"), observed("b", 5, observation_id="1")
    )
    assert len(associator.flush()[0].observations) == 2


def test_what_comes_after_its_scene_closed_is_counted_and_not_used():
    associator = fill(Associator(wait_s=1), observed("a", 5), observed("a", 50, scene_id="x"))
    assert len(associator.ready(ns(100)) + associator.ready(ns(101))) == 2
    fill(associator, observed("b", 5.1), observed("b", 50, scene_id="x"))
    assert associator.flush() == []
    assert associator.counts == {"late": 2}


def test_a_new_burst_right_after_a_closed_scene_is_not_late():
    associator = fill(Associator(tolerance_s=0.25), observed("a", 5, 0.05), listening("a", 0, 5.1))
    assert len(associator.ready(ns(5.1))) == 1
    fill(associator, observed("b", 5.2, 0.05))
    assert len(associator.flush()) == 1
    assert "late" not in associator.counts


# ── bounds ────────────────────────────────────────────────────────────────────────────────


def test_too_many_open_scenes_close_the_oldest():
    associator = Associator(max_open=3)
    for i in range(5):
        fill(associator, observed("a", 10 * i))
    assert associator.counts == {"evicted": 2}
    early = associator.ready(ns(40))
    assert [s.start_utc_ns for s in early] == [ns(0), ns(10)]
    assert len(associator.flush()) == 3


def test_too_many_observations_close_their_scene():
    associator = Associator(max_observations=4)
    for i in range(5):
        fill(associator, observed("a", 0.1 * i, 0.05), observed("b", 0.1 * i, 0.05))
    assert associator.counts["overfull"] >= 1
    scenes = associator.flush()
    assert sum(len(s.observations) for s in scenes) + associator.counts.get("late", 0) == 10


def test_what_is_remembered_of_the_past_is_bounded(monkeypatch):
    bounds = ("REMEMBERED_IDS", "REMEMBERED_CLUSTERS", "LISTENERS", "SILENT_LINES")
    for name in bounds:
        monkeypatch.setattr(associate, f"MAX_{name}", 3)
    associator = Associator(wait_s=1)
    for i in range(10):
        sender = ReceiverInfo("s", f"r{i}", PLACES["a"])
        fill(
            associator,
            replace(observed("a", 10 * i), receiver=sender),
            observed("a", 10 * i, scene_id=f"x{i}"),
            observed("b", 10 * i, heard=False),
        )
        associator.flush()
    assert len(associator._seen_ids) == 3
    channel = associator._channels["c1"]
    assert len(channel.closed) == 3
    assert len(associator._closed_ids) == 3
    assert len(channel.listeners) == 3
    assert len(channel.silent_lines) == 3


def test_channels_that_only_a_stranger_names_do_not_pile_up(monkeypatch):
    monkeypatch.setattr(associate, "MAX_CHANNELS", 3)
    associator = fill(Associator(), *(observed("a", 5, channel=f"c{i}") for i in range(10)))
    assert len(associator._channels) == 3
    assert len(associator.flush()) == 10


def test_samples_are_not_kept_once_their_scene_is_given():
    snippet = IQSnippet(np.zeros(4, np.complex64), 1e4, 0)
    associator = fill(Associator(), observed("a", 5, snippet=snippet))
    (scene,) = associator.flush()
    assert scene.observations[0].snippet is snippet
    assert associator._channels["c1"].closed[0].members[0].snippet is None


# ── the name of a fix ─────────────────────────────────────────────────────────────────────


def test_a_fix_is_named_by_who_heard_what_in_any_order():
    a, b, silent = observed("a", 5), observed("b", 5), observed("c", 5, heard=False)
    scene = Scene("c1", 1e8, ns(5), 1.0, (a, b))
    name = fix_id(scene, "s")
    assert len(name) == 20
    assert int(name, 16) >= 0
    assert fix_id(replace(scene, observations=(b, a)), "s") == name
    assert fix_id(replace(scene, observations=(a, b, silent)), "s") == name
    assert fix_id(replace(scene, start_utc_ns=ns(5) + 7), "s") == name
    others = [
        fix_id(scene, "t"),
        fix_id(replace(scene, channel="c2"), "s"),
        fix_id(replace(scene, observations=(a,)), "s"),
        fix_id(replace(scene, observations=(a, replace(b, observation_id="2"))), "s"),
    ]
    assert len({name, *others}) == 5


def test_scenes_that_nobody_heard_have_names_of_their_own():
    silent = Scene("c1", 1e8, ns(5), 1.0, (), scene_id="x")
    names = [
        fix_id(silent, "s"),
        fix_id(replace(silent, scene_id="y"), "s"),
        fix_id(replace(silent, start_utc_ns=ns(6)), "s"),
    ]
    assert len(set(names)) == 3


def test_after_the_clock_was_set_back_receivers_are_waited_for_and_heard_as_before():
    associator = fill(
        Associator(),
        observed("a", 3605),
        *(listening(r, 3600, 3607) for r in "abc"),
    )
    (open_then,) = associator.clock_was_set()
    assert who(open_then) == {"a": True, "b": False, "c": False}
    fill(associator, observed("a", 5), listening("a", 0, 7), listening("b", 0, 5.5))
    assert associator.ready(ns(6)) == [], "b has not decided yet"
    fill(associator, observed("b", 5), listening("b", 5.5, 7), listening("c", 0, 7))
    (scene,) = associator.ready(ns(7))
    assert who(scene) == {"a": True, "b": True, "c": False}

"""What a receiver's silence says."""

from __future__ import annotations

import math

from heimdall_edge.locate.listening import MAX_INTERVALS, Listener
from heimdall_edge.types import NS_PER_S, Listening, Observation, Place, ReceiverInfo, Scene

RECEIVER = ReceiverInfo("s", "r", Place(45, 7))


def listening(
    start_s: float, end_s: float, limit_dbfs=-50.0, gain_db=None, full_scale_dbm=None
) -> Listening:
    start, end = round(start_s * NS_PER_S), round(end_s * NS_PER_S)
    return Listening(RECEIVER, start, end, {"c": limit_dbfs}, gain_db, full_scale_dbm)


def scene(start_s: float, duration_s: float) -> Scene:
    return Scene("c", 1e8, round(start_s * NS_PER_S), duration_s, ())


def listener(*heard: Listening) -> Listener:
    result = Listener("c")
    for each in heard:
        result.listened(each)
    return result


def test_who_listened_all_through_was_silent_at_its_limit():
    silence = listener(listening(0, 10, -50, gain_db=30)).silence(scene(2, 3), min_share=0.9)
    assert silence is not None
    assert not silence.heard
    assert silence.noise_floor_dbfs == -50
    assert silence.gain_db == 30
    assert silence.receiver is RECEIVER
    assert silence.start_utc_ns == 2 * NS_PER_S
    assert silence.duration_s == 3
    assert silence.level_dbfs is None


def test_its_limit_is_in_dbm_too_where_the_full_scale_is_known():
    known = listener(listening(0, 10, -50, gain_db=30, full_scale_dbm=-40))
    silence = known.silence(scene(2, 3), min_share=0.9)
    assert (silence.noise_floor_dbfs, silence.noise_floor_dbm) == (-50, -90)
    unknown = listener(listening(0, 10, -50)).silence(scene(2, 3), min_share=0.9)
    assert unknown.noise_floor_dbm is None


def test_under_automatic_gain_silence_has_no_limit_in_either():
    deaf = listener(listening(0, 10, math.inf, full_scale_dbm=-40))
    silence = deaf.silence(scene(2, 3), min_share=0.9)
    assert (silence.noise_floor_dbfs, silence.noise_floor_dbm) == (None, None)


def test_a_calibration_that_changes_in_between_is_not_forgotten():
    changed = listener(
        listening(0, 1, -50, full_scale_dbm=-40), listening(1, 2, -50, full_scale_dbm=-30)
    )
    assert changed.silence(scene(0, 0.9), min_share=0.9).noise_floor_dbm == -90
    assert changed.silence(scene(1.1, 0.8), min_share=0.9).noise_floor_dbm == -80


def test_the_worst_limit_of_the_time_counts():
    quiet_then_loud = listener(listening(0, 1, -50), listening(1, 2, -40), listening(2, 3, -60))
    silence = quiet_then_loud.silence(scene(0.5, 2), min_share=0.9)
    assert silence is not None
    assert silence.noise_floor_dbfs == -40


def test_who_was_deaf_for_a_while_says_nothing():
    gap = listener(listening(0, 1), listening(2, 3))
    assert gap.silence(scene(0.5, 2), min_share=0.9) is None
    assert gap.silence(scene(0.5, 2), min_share=0.4) is not None
    assert gap.silence(scene(5, 1), min_share=0.9) is None


def test_who_said_twice_that_it_listened_did_not_listen_for_twice_as_long():
    stamped_again = listener(listening(0, 1), listening(0, 1), listening(0.5, 1))
    assert stamped_again.silence(scene(0, 2), min_share=0.9) is None
    assert stamped_again.silence(scene(0, 1), min_share=0.9) is not None


def test_a_short_transmission_must_be_listened_to_from_start_to_end():
    left = listener(listening(0, 5.046))
    assert left.silence(scene(5, 0.05), min_share=0.9) is None, "46 ms are too short to report"
    came_back = listener(listening(0, 5.1), listening(5.11, 9))
    assert came_back.silence(scene(5, 0.5), min_share=0.9) is None
    assert came_back.silence(scene(5, 2), min_share=0.9) is not None
    assert came_back.silence(scene(4.5, 0.6), min_share=0.9) is not None


def test_who_never_listened_says_nothing():
    assert Listener("c").silence(scene(0, 1), min_share=0.0) is None


def test_who_was_hearing_something_else_was_not_silent():
    busy = listener(listening(0, 10))
    busy.spoke(Observation("o", RECEIVER, "c", 1e8, 4 * NS_PER_S, 0.5, -60))
    assert busy.silence(scene(3, 1.1), min_share=0.9) is None
    assert busy.silence(scene(5, 1), min_share=0.9) is not None


def test_who_would_have_missed_something_so_short_was_not_silent():
    slow = listener(Listening(RECEIVER, 0, 10 * NS_PER_S, {"c": -50.0}, least_duration_s=0.5))
    assert slow.silence(scene(3, 0.4), min_share=0.9) is None
    assert slow.silence(scene(3, 0.6), min_share=0.9) is not None


def test_how_far_it_has_decided_never_goes_back():
    both = listener(listening(0, 5), listening(0, 3))
    assert both.decided_utc_ns == 5 * NS_PER_S


def test_adjoining_intervals_become_one_and_memory_stays_bounded():
    steady = listener(*(listening(i / 40, (i + 1) / 40) for i in range(4000)))
    assert len(steady._listened) <= 11
    assert steady.silence(scene(3, 90), min_share=1.0) is not None
    restless = listener(*(listening(i, i + 0.5) for i in range(MAX_INTERVALS + 10)))
    assert len(restless._listened) == MAX_INTERVALS


def test_a_change_of_gain_starts_another_interval():
    changed = listener(listening(0, 1, -50, 10), listening(1, 2, -50, 40))
    silence = changed.silence(scene(0.5, 1), min_share=0.9)
    assert silence is not None
    assert silence.gain_db == 10, "the less gain, the higher the limit at the antenna"

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from heimdall_edge.signal.coverage import Coverage
from heimdall_edge.signal.detect import Heed
from heimdall_edge.types import IQBlock, Place, ReceiverInfo

RECEIVER = ReceiverInfo("s", "rx", Place(45.0, 7.0))
BLOCK = IQBlock(np.zeros(2, np.uint8), "cu8", 1e6, 145e6, 0, 0)


def coverage(**changes: object) -> Coverage:
    return Coverage(**({"gain_db": 30.0, "has_level": True} | changes))  # type: ignore[arg-type]


def test_channels_of_the_same_stretch_share_a_line_and_others_have_their_own() -> None:
    heeds = [Heed("a", 100, 200, -90.0), Heed("b", 100, 150, -80.0), Heed("c", 100, 200, -70.0)]
    first, second = coverage().extend(heeds, BLOCK, RECEIVER)
    assert (first.start_utc_ns, first.end_utc_ns) == (100, 200)
    assert dict(first.limit_dbfs) == {"a": -90.0, "c": -70.0}
    assert (second.start_utc_ns, second.end_utc_ns) == (100, 150)
    assert dict(second.limit_dbfs) == {"b": -80.0}
    assert first.receiver == RECEIVER


def test_each_stretch_is_claimed_once_and_nothing_of_a_gap() -> None:
    under_test = coverage()
    stretches = [
        [
            (x.start_utc_ns, x.end_utc_ns)
            for x in under_test.extend([Heed("a", since_ns, until_ns, -90.0)], BLOCK, RECEIVER)
        ]
        for since_ns, until_ns in ((100, 200), (100, 200), (100, 250), (300, 340), (200, 330))
    ]
    assert stretches == [[(100, 200)], [], [(200, 250)], [(300, 340)], []]


def test_gain_place_and_full_scale_are_those_of_the_block() -> None:
    there = Place(44.0, 8.0)
    told = replace(BLOCK, gain_db=12.0, place=there, full_scale_dbm=-30.0)
    heeds = [Heed("a", 100, 200, -90.0)]
    (line,) = coverage().extend(heeds, told, RECEIVER)
    assert (line.gain_db, line.receiver.place, line.full_scale_dbm) == (12.0, there, -30.0)
    (line,) = coverage().extend(heeds, BLOCK, RECEIVER)
    assert (line.gain_db, line.receiver.place, line.full_scale_dbm) == (30.0, RECEIVER.place, None)


def test_silence_under_automatic_gain_says_nothing() -> None:
    told = replace(BLOCK, full_scale_dbm=-30.0)
    (line,) = coverage(has_level=False).extend([Heed("a", 1, 2, -90.0)], told, RECEIVER)
    assert dict(line.limit_dbfs) == {"a": math.inf}
    assert line.full_scale_dbm is None


def test_after_the_clock_was_set_back_listening_is_claimed_again_at_once() -> None:
    hour_ns = 3_600_000_000_000
    under_test = coverage()
    list(under_test.extend([Heed("a", hour_ns, 2 * hour_ns, -90.0)], BLOCK, RECEIVER))
    heed = Heed("a", hour_ns, hour_ns + 5, -90.0)
    (line,) = under_test.extend([heed], BLOCK, RECEIVER)
    assert (line.start_utc_ns, line.end_utc_ns) == (hour_ns, hour_ns + 5)

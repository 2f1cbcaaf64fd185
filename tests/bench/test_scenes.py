"""The made-up scenes: levels that fall with distance, arrival times that grow with it."""

from __future__ import annotations

import math

import numpy as np

from heimdall_edge.bench.scenes import DURATION_S, LIMIT_DBFS, at, heard_by, ring
from heimdall_edge.geodesy import distance_m
from heimdall_edge.signal.arrival import arrival_times

START_UTC_NS = 1_790_000_000_000_000_000


def test_the_receivers_stand_on_a_ring_of_eight_kilometres():
    places = [receiver.info.place for receiver in ring()]
    for receiver, place in zip(ring(), places, strict=True):
        metres = distance_m(45.07, 7.69, place.latitude_deg, place.longitude_deg)
        assert abs(float(metres) - 8_000) < 20
        assert math.isclose(math.hypot(receiver.east_m, receiver.north_m), 8_000)
    assert len({place.latitude_deg + place.longitude_deg for place in places}) == len(places)


def test_every_receiver_hears_and_those_of_one_scene_differ():
    scene = heard_by(ring(), n_shared=0, rng=np.random.default_rng(0))
    assert all(o.heard and o.level_dbfs > LIMIT_DBFS for o in scene)
    assert len({o.level_dbfs for o in scene}) == len(scene)
    assert all(o.snippet is None for o in scene)


def test_arrival_times_can_be_measured_between_those_that_share_a_clock():
    scene = heard_by(ring(), n_shared=4, rng=np.random.default_rng(0))
    arrivals = arrival_times([at(o, "a", START_UTC_NS) for o in scene], systematic_sigma_us=0.3)
    assert [a is not None for a in arrivals] == [True] * 4 + [False] * 6
    spread_us = max(a.toa_us for a in arrivals[:4])
    assert 0 < spread_us < 16_000 / 299.8  # across the ring at the speed of light


def test_a_scene_can_be_put_on_any_channel_at_any_time():
    scene = heard_by(ring(), n_shared=1, rng=np.random.default_rng(0))
    heard = at(scene[0], "a", START_UTC_NS)
    later = at(scene[0], "b", START_UTC_NS + 1)
    assert (heard.channel, heard.start_utc_ns) == ("a", START_UTC_NS)
    assert heard.end_utc_ns == START_UTC_NS + round(DURATION_S * 1e9)
    assert heard.snippet.start_utc_ns == START_UTC_NS
    assert heard.observation_id != later.observation_id

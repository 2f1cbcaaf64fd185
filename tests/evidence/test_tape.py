"""Where the tape is cut."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from heimdall_edge.evidence.tape import MAX_OPEN_CUTS, Tape
from heimdall_edge.types import NS_PER_S

from .radio import CHANNELS, RECEIVER, START_UTC_NS, blocks, observation, observed, rule

SILENCE = blocks(8.0)


class Cutter:
    """A tape, and what came of it."""

    def __init__(self, **fields):
        self.clips, self.counts = [], Counter()
        self.tape = Tape(
            receiver=RECEIVER,
            channels=CHANNELS,
            capture=rule(**fields),
            deliver=self.clips.append,
            count=lambda reason: self.counts.update([reason]),
        )

    def run(self, until_s, *, made=SILENCE, from_s=0.0):
        for block in made:
            at_s = (block.start_utc_ns - START_UTC_NS) / NS_PER_S
            if from_s <= at_s < until_s:
                self.tape.block(block)
        return self


def span_s(clip):
    ends = (clip.blocks[0].start_utc_ns, clip.blocks[-1].end_utc_ns)
    return [(ns - START_UTC_NS) / NS_PER_S for ns in ends]


def test_a_burst_is_kept_with_what_came_before_and_after_it():
    cutter = Cutter().run(2.1)
    cutter.tape.burst(observation(1.0, 1.0))
    cutter.run(2.2, from_s=2.1)
    assert cutter.clips == [], "what follows has not come in yet"
    cutter.run(2.3, from_s=2.2)
    (clip,) = cutter.clips
    assert span_s(clip) == [0.5, 2.25]
    assert [o.channel for o in clip.observations] == ["pmr1"]
    assert clip.channel is not None
    assert clip.channel.name == "pmr1"
    assert cutter.counts == {}


def test_the_start_of_a_real_burst_is_in_it():
    made = blocks(4.0, (1.0, 2.0, -50e3))
    (heard,) = [o for o in observed(made) if o.channel == "pmr1"]
    cutter = Cutter().run(2.6, made=made)
    cutter.tape.burst(heard)
    cutter.run(4.0, made=made, from_s=2.6)
    (clip,) = cutter.clips
    begin_s, end_s = span_s(clip)
    assert begin_s <= 0.55
    assert end_s >= 2.2


def test_bursts_that_touch_share_a_recording_of_their_channel():
    cutter = Cutter().run(2.5)
    cutter.tape.burst(observation(1.0, 0.5))
    cutter.tape.burst(observation(1.8, 0.5))
    cutter.tape.burst(observation(1.2, 0.5, channel="pmr8"))
    cutter.run(4.0, from_s=2.5)
    assert [[o.channel for o in c.observations] for c in cutter.clips] == [
        ["pmr1", "pmr1"],
        ["pmr8"],
    ]
    assert span_s(cutter.clips[0]) == [0.5, 2.55]


def test_the_band_is_kept_once_for_all_its_channels():
    cutter = Cutter(scope="band").run(2.5)
    cutter.tape.burst(observation(1.2, 0.5, channel="pmr8"))
    cutter.tape.burst(observation(1.0, 0.5))
    cutter.run(4.0, from_s=2.5)
    (clip,) = cutter.clips
    assert [o.channel for o in clip.observations] == ["pmr1", "pmr8"], "in order of time"
    assert clip.channel is None
    assert {c.name for c in clip.channels} == {"pmr1", "pmr8"}


def test_a_recording_does_not_grow_without_bound():
    cutter = Cutter(max_burst_s=1.0).run(3.5)
    for number in range(3):
        cutter.tape.burst(observation(1.0 + 0.8 * number, 0.8))
    cutter.run(5.0, from_s=3.5)
    assert len(cutter.clips) == 3
    assert all(b - a <= 1.75 + 0.1 for a, b in map(span_s, cutter.clips))


@pytest.mark.parametrize(
    ("fields", "heard"),
    [
        ({"channels": ("pmr8",)}, {}),
        ({"min_snr_db": 25.0}, {}),
        ({"min_snr_db": 10.0}, {"snr_db": None}),
        ({"min_duration_s": 2.0}, {}),
        ({}, {"heard": False}),
    ],
)
def test_what_the_rule_does_not_want_is_not_kept(fields, heard):
    cutter = Cutter(**fields).run(2.5)
    cutter.tape.burst(replace(observation(1.0), **heard))
    cutter.run(8.0, from_s=2.5)
    cutter.tape.end()
    assert cutter.clips == []
    assert cutter.counts == {}


def test_the_end_of_the_data_ends_what_is_open():
    cutter = Cutter().run(2.0)
    cutter.tape.burst(observation(1.0, 1.0))
    cutter.tape.end()
    (clip,) = cutter.clips
    assert span_s(clip) == [0.5, 2.0]
    cutter.tape.end()
    assert len(cutter.clips) == 1


def test_a_start_that_memory_did_not_hold_is_counted():
    cutter = Cutter(ring_max_bytes=2**20).run(8.0)  # two seconds
    cutter.tape.burst(observation(5.5, 2.0))
    cutter.tape.end()
    (clip,) = cutter.clips
    assert span_s(clip)[0] > 5.6
    assert cutter.counts == {"no_start": 1}


def test_a_burst_of_which_nothing_is_left_is_counted():
    cutter = Cutter(max_burst_s=1.0).run(8.0)
    cutter.tape.burst(observation(1.0, 1.0))
    cutter.tape.end()
    assert cutter.clips == []
    assert cutter.counts == {"no_samples": 1}


def test_only_blocks_of_the_bursts_own_centre_are_kept():
    made = [
        replace(b, center_freq_hz=145e6) if 1.5 <= i * 0.05 < 2.0 else b
        for i, b in enumerate(SILENCE)
    ]
    cutter = Cutter(before_s=2.0).run(4.0, made=made)
    cutter.tape.burst(observation(2.5, 1.0))
    cutter.tape.end()
    (clip,) = cutter.clips
    assert {b.center_freq_hz for b in clip.blocks} == {446.05e6}
    assert span_s(clip) == [0.5, 3.75]


def test_bursts_of_two_centres_never_share_a_recording():
    made = [replace(b, center_freq_hz=145e6) if i >= 30 else b for i, b in enumerate(SILENCE)]
    cutter = Cutter(scope="band").run(3.0, made=made)
    cutter.tape.burst(observation(1.0, 0.4))
    cutter.tape.burst(observation(1.6, 0.4, channel="pmr8"))
    cutter.tape.end()
    first, second = cutter.clips
    assert {b.center_freq_hz for b in first.blocks} == {446.05e6}
    assert {b.center_freq_hz for b in second.blocks} == {145e6}
    assert [len(c.observations) for c in cutter.clips] == [1, 1]


def test_a_burst_whose_channel_a_reload_took_away_is_counted():
    cutter = Cutter().run(2.0)
    cutter.tape.follow(CHANNELS[1:])
    cutter.tape.burst(observation(1.0, 0.5))
    assert cutter.counts == {"no_channel": 1}


def test_channels_may_change_while_it_runs():
    cutter = Cutter().run(2.0)
    cutter.tape.burst(observation(1.0, 0.5))
    cutter.tape.follow(CHANNELS[1:])
    cutter.run(4.0, from_s=2.0)
    cutter.tape.burst(observation(2.5, 0.5, channel="pmr8"))
    cutter.tape.end()
    assert [[o.channel for o in c.observations] for c in cutter.clips] == [["pmr1"], ["pmr8"]]


def test_a_channel_that_moved_is_cut_out_where_it_was_when_it_was_heard():
    cutter = Cutter().run(2.0)
    cutter.tape.burst(observation(1.0, 0.5))
    moved = CHANNELS[0].model_copy(update={"frequency_hz": 446.02e6})
    cutter.tape.follow([moved])
    cutter.tape.burst(observation(1.4, 0.5))
    cutter.tape.end()
    assert [c.channel.frequency_hz for c in cutter.clips] == [446.0e6, 446.02e6]


def test_cuts_whose_end_never_comes_are_bounded():
    cutter = Cutter().run(2.0)
    for number in range(MAX_OPEN_CUTS + 5):
        cutter.tape.burst(observation(1e4 + 20.0 * number, 1.0))
    assert cutter.counts == {"no_samples": 5}

"""What a recording is made of."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from heimdall_edge.evidence.clip import pieces_of
from heimdall_edge.types import NS_PER_S, Place, frozen_array

from .radio import CENTER_HZ, RATE_HZ, RECEIVER, START_UTC_NS, blocks, clip, observation, with_gap


def test_the_whole_band_is_the_blocks_as_they_came():
    made = blocks(0.5)
    pieces = list(pieces_of(clip(made, observation())))
    assert all(p.samples is b.samples for p, b in zip(pieces, made, strict=True))
    assert [p.stream_index for p in pieces] == [b.sample_start for b in made]
    assert [p.follows for p in pieces] == [False] + 9 * [True]
    assert {p.center_freq_hz for p in pieces} == {CENTER_HZ}
    assert {p.place for p in pieces} == {RECEIVER.place}
    assert {p.gain_db for p in pieces} == {30.0}


def test_a_receiver_that_moves_says_where_itself():
    pieces = pieces_of(clip(blocks(0.1, place=Place(46.0, 8.0)), observation()))
    assert next(pieces).place == Place(46.0, 8.0)


def test_a_channels_iq_holds_its_tone_at_its_offset():
    made = blocks(1.0, (0.0, 1.0, -50e3 + 1500.0))
    pieces = list(pieces_of(clip(made, observation(), whole_band=False)))
    assert {p.datatype for p in pieces} == {"cf32_le"}
    assert {p.center_freq_hz for p in pieces} == {446.0e6}
    rate_hz = pieces[0].sample_rate_hz
    iq = np.concatenate([p.samples for p in pieces]).view(np.complex64)
    assert 0.9 < len(iq) / rate_hz <= 1.0
    spectrum = np.abs(np.fft.fft(iq))
    peak_hz = np.fft.fftfreq(len(iq), 1 / rate_hz)[np.argmax(spectrum)]
    assert peak_hz == pytest.approx(1500.0, abs=2.0)
    assert np.sqrt(np.mean(np.abs(iq) ** 2)) == pytest.approx(0.1, rel=0.05)


@pytest.mark.parametrize("whole_band", [True, False])
def test_a_gap_is_counted_by_the_stream_and_passes_in_time(whole_band):
    made = with_gap(blocks(1.0), at=10, lost=25_000)
    pieces = list(pieces_of(clip(made, observation(), whole_band=whole_band)))
    gaps = [(a, b) for a, b in pairwise(pieces) if not b.follows]
    assert len(gaps) == 1
    for before, piece in pairwise(pieces):
        touching = before.stream_index + before.n_samples
        assert piece.stream_index >= touching
        assert (piece.stream_index == touching) is piece.follows
        counted_s = (piece.stream_index - before.stream_index) / piece.sample_rate_hz
        stamped_s = (piece.start_utc_ns - before.start_utc_ns) / NS_PER_S
        assert counted_s == pytest.approx(stamped_s, abs=1 / piece.sample_rate_hz)
    assert pieces[0].start_utc_ns >= START_UTC_NS


@pytest.mark.parametrize("whole_band", [True, False])
def test_a_receiver_that_was_opened_anew_goes_on_in_the_same_count(whole_band):
    made = blocks(1.0)
    anew = [
        replace(b, sample_start=i * 12_500, start_utc_ns=b.start_utc_ns + 2 * NS_PER_S)
        for i, b in enumerate(made[10:])
    ]
    pieces = list(pieces_of(clip([*made[:10], *anew], observation(), whole_band=whole_band)))
    (reopened,) = [n for n, p in enumerate(pieces) if n and not p.follows]
    before, after = pieces[reopened - 1], pieces[reopened]
    counted = after.stream_index - before.stream_index
    stamped_s = (after.start_utc_ns - before.start_utc_ns) / NS_PER_S
    assert counted == pytest.approx(stamped_s * after.sample_rate_hz, abs=1)
    for one, other in pairwise(pieces):
        assert other.stream_index >= one.stream_index + one.n_samples


def test_a_block_without_sense_is_a_gap_in_the_channels_iq():
    made = blocks(0.6)
    floats = [
        replace(
            b, samples=frozen_array((b.samples.astype(np.float32) - 127.5) / 127.5),
            datatype="cf32_le",
        )
        for b in made
    ]  # fmt: skip
    bad = floats[5].samples.copy()
    bad[7] = np.nan
    floats[5] = replace(floats[5], samples=frozen_array(bad))
    pieces = list(pieces_of(clip(floats, observation(), whole_band=False)))
    assert sum(not p.follows for p in pieces) == 2
    assert all(np.isfinite(p.samples).all() for p in pieces)


def test_what_it_takes_is_known_before_it_is_written():
    band = clip(blocks(1.0), observation())
    assert band.n_bytes == 2 * RATE_HZ
    assert band.recording_bytes >= band.n_bytes
    channel = clip(blocks(1.0), observation(), whole_band=False)
    written = sum(p.samples.nbytes for p in pieces_of(channel))
    assert written < channel.recording_bytes < 2.5 * written
